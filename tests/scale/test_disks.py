"""A full disk, a disk that goes away, a folder that may not be written: a sentence each, and what was computed stays."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from effrob import files as writing
from effrob.cli import sentence
from effrob.errors import describe_error
from effrob.evaluation import worker
from effrob.evaluation.data import load_shift
from effrob.evaluation.evaluator import Evaluation
from effrob.evaluation.request import Request
from effrob.evaluation.worker import ENCODERS
from shifts.storage.tree import TreeSource


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    yield
    load_shift.cache_clear()
    ENCODERS.clear()


@pytest.fixture
def request_(tmp_path: Path, pocket_data: Path) -> Request:
    return Request(
        ("pocket:linear", "pocket:lenet"), ("pocket", "pocket-v2"), suite="pocket", data=pocket_data, limit=80,
        results=tmp_path / "results", cache=tmp_path / "cache", device="cpu", progress=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("number", "words"), [(errno.ENOSPC, "disk is full"), (errno.EDQUOT, "quota"), (errno.EROFS, "read-only")]
)
def test_a_disk_that_refuses_a_shard_is_named_and_the_rest_stays(
    request_: Request, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    sync, left = os.fsync, 3

    def fsync(handle: int) -> None:
        nonlocal left
        if Path(f"/proc/self/fd/{handle}").readlink().name.startswith(".rows-"):
            left -= 1
            if left < 0:
                raise OSError(number, os.strerror(number))
        sync(handle)

    monkeypatch.setattr(writing.os, "fsync", fsync)
    report = Evaluation(request_).run()
    assert len(report.failures) == 1 and words in report.failures[0] and "rows-000000000" in report.failures[0]
    assert len(report.stored) == 3
    monkeypatch.undo()
    assert Evaluation(request_).plan().forwards == 80
    assert not Evaluation(request_).run().failures
    assert not list(request_.cache.rglob("*.effrob-tmp"))


def test_a_full_disk_under_the_results_costs_no_features(request_: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("effrob.results.predictions.np.savez_compressed", full)
    report = Evaluation(request_).run()
    assert len(report.failures) == 4 and all(
        "disk is full" in f and str(request_.results) in f for f in report.failures
    )
    assert not list(request_.results.rglob("*.effrob-tmp"))
    monkeypatch.undo()
    again = Evaluation(request_)
    assert again.plan().jobs == () and len(again.run().stored) == 4


def test_a_data_folder_that_vanishes_is_named(
    request_: Request, tmp_path: Path, pocket_data: Path, monkeypatch
) -> None:
    data = tmp_path / "data"
    for name in ("pocket", "pocket-v2-format-val"):
        shutil.copytree(pocket_data / name, data / name)
    request = replace(request_, data=data, models=("pocket:linear",))
    read, reads = TreeSource.read, []

    def vanishing(source: TreeSource, index: int) -> bytes:
        reads.append(index)
        if len(reads) == 100:
            (data / "pocket-v2-format-val").rename(tmp_path / "gone")
        return read(source, index)

    evaluation = Evaluation(request)
    monkeypatch.setattr(TreeSource, "read", vanishing)
    report = evaluation.run()
    assert len(report.stored) == 1 and len(report.failures) == 1
    assert "is gone; put it back and run this again" in report.failures[0]
    (tmp_path / "gone").rename(data / "pocket-v2-format-val")
    assert len(Evaluation(request).run().stored) == 2


def test_a_folder_that_cannot_be_written_is_seen_before_a_model_is_loaded(request_: Request, monkeypatch) -> None:
    monkeypatch.setattr(worker.model_zoo, "load", lambda *_: pytest.fail("a model was loaded"))
    evaluation = Evaluation(replace(request_, results=Path("/proc/effrob-results")))
    with pytest.raises(OSError, match="/proc"):
        evaluation.run()


def test_errors_of_the_system_say_what_mends_them() -> None:
    for number in (errno.ENOSPC, errno.EACCES, errno.EROFS, errno.ENOENT, errno.EIO, errno.ESTALE, errno.EISDIR):
        error = OSError(number, os.strerror(number), "/data/x")
        assert describe_error(error).startswith("/data/x: ") and "Errno" not in describe_error(error)
        assert sentence(error) == describe_error(error)
    assert describe_error(ValueError("two\nlines")) == "two lines" and describe_error(KeyError()) == "KeyError"
