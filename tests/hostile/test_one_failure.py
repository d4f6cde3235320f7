"""Whatever a network, a set or a folder raises is that one's sentence: the other models and sets are measured and kept."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

import model_zoo
from effrob.errors import stops_one_thing
from effrob.evaluation import data
from effrob.evaluation.data import load_shift
from effrob.evaluation.evaluator import Evaluation
from effrob.evaluation.request import Request
from effrob.evaluation.worker import ENCODERS
from shifts.shift import ImageSource


class Unforeseen(BaseException):
    """No Exception, as trio's Cancelled is none."""


class Silent(Exception):
    """Says nothing of itself."""

    def __str__(self) -> str:
        return ""


class Failing(nn.Module):
    """Answers among 20 classes, and raises once it is given more pictures than the proof takes."""

    def __init__(self, error: BaseException | None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear, self.error = nn.Linear(3, 20), error

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        if self.error is not None and len(pixels) > 8:
            raise self.error
        return self.linear(pixels.mean((2, 3)))


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    yield
    load_shift.cache_clear()
    ENCODERS.clear()


@pytest.fixture
def asked(tmp_path: Path, pocket_data: Path) -> Callable[..., Request]:
    def made(*models: str, shifts: tuple[str, ...] | None = ("pocket-r", "pocket")) -> Request:
        return Request(
            models, heads=("native",), shifts=shifts, suite="pocket", data=pocket_data, limit=40, progress=False,
            results=tmp_path / "results", cache=tmp_path / "cache", device="cpu",
        )  # fmt: skip

    return made


@pytest.mark.parametrize(
    "error",
    [SystemExit(3), GeneratorExit(), Unforeseen("gone"), Silent(), AssertionError(), StopIteration(), RecursionError()],
    ids=lambda error: type(error).__name__,
)
def test_a_network_that_raises_ends_itself_alone(error: BaseException, asked: Callable[..., Request]) -> None:
    pixels = model_zoo.PixelSpec((32, 32), (32, 32))
    model_zoo.register("failing", lambda: Failing(error), pixels=pixels, replace=True)
    model_zoo.register("sound", lambda: Failing(None), pixels=pixels, replace=True)
    report = Evaluation(asked("failing", "sound")).run()
    assert {stored.record.model_asked for stored in report.stored} == {"sound"} and len(report.stored) == 2
    assert report.failures and all("failing" in said for said in report.failures), report.failures
    assert any(type(error).__name__ in said for said in report.failures), report.failures


def test_an_interrupt_is_no_failure_of_a_model(asked: Callable[..., Request]) -> None:
    model_zoo.register(
        "failing", lambda: Failing(KeyboardInterrupt()), pixels=model_zoo.PixelSpec((32, 32), (32, 32)), replace=True
    )
    with pytest.raises(KeyboardInterrupt):
        Evaluation(asked("failing", "pocket:linear")).run()


@pytest.mark.parametrize(
    "error",
    [
        PermissionError(errno.EACCES, "Permission denied", "/data/pocket-r"),
        UnicodeEncodeError("utf-8", "\udce9", 0, 1, "surrogates not allowed"),
        RuntimeError("dictionary changed size during iteration"),
        FileNotFoundError(errno.ENOENT, "No such file or directory", "/data/pocket-r/a.png"),
        AssertionError(),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("at", ["opened", "digested"])
@pytest.mark.parametrize("named", [True, False])
def test_a_set_that_cannot_be_read_costs_no_other(
    error: Exception, at: str, named: bool, asked: Callable[..., Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    load, digest = data.load_set, data.source_digest

    def loading(request: Request, name: str) -> object:
        if name == "pocket-r" and at == "opened":
            raise error
        shift = load(request, name)
        if name == "pocket-r":
            monkeypatch.setattr(sys.modules[__name__], "BROKEN", shift.source)
        return shift

    def digesting(source: ImageSource, cache: Path, read: bool = True) -> str:
        if source is BROKEN:
            raise error
        return digest(source, cache, read)

    monkeypatch.setattr(data, "load_set", loading)
    monkeypatch.setattr(data, "source_digest", digesting)
    request = asked("pocket:linear", shifts=("pocket-r", "pocket") if named else None)
    evaluation = Evaluation(request)
    assert {task.shift.name for task in evaluation.tasks} >= {"pocket"}
    assert "pocket-r" not in {task.shift.name for task in evaluation.tasks}
    assert [said for said in evaluation.resolved.broken if said.startswith("pocket-r is left out")]


BROKEN: ImageSource | None = None


def test_a_head_that_raises_costs_no_other(asked: Callable[..., Request], monkeypatch: pytest.MonkeyPatch) -> None:
    finish = Evaluation._finish

    def failing(self: Evaluation, task: object) -> object:
        if task.shift.name == "pocket-r":  # type: ignore[attr-defined]
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")
        return finish(self, task)  # type: ignore[arg-type]

    monkeypatch.setattr(Evaluation, "_finish", failing)
    report = Evaluation(asked("pocket:linear")).run()
    assert [stored.record.asked.shift for stored in report.stored] == ["pocket"]
    assert len(report.failures) == 1 and "pocket:linear on pocket-r (native): RuntimeError: mat1" in report.failures[0]


def test_a_sentence_says_the_kind_of_what_nobody_foresaw() -> None:
    assert stops_one_thing(KeyError("x")) == "KeyError: 'x'"
    assert stops_one_thing(Silent()) == "Silent"
    assert stops_one_thing(PermissionError(errno.EACCES, "no", "/a")).startswith("/a: it may not be read")
    with pytest.raises(KeyboardInterrupt):
        stops_one_thing(KeyboardInterrupt())
