"""Studies as text, and records of measured arms, for the tests of this directory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from effrob.studies.finding import Finding, run
from effrob.studies.reader import find, path_of, shipped
from tests.honest import ASKED, keep, small_sets

HEAD = """\
question = "Does it?"
factor = "a factor"
decides = "this"
cannot_decide = "that"
"""
IMAGES = 2000
Write = Callable[..., Path]


@pytest.fixture(scope="session")
def findings() -> dict[str, Finding]:
    """Every shipped study, run."""
    return {name: run(find(name)) for name in shipped()}


@pytest.fixture(scope="session")
def as_if_alone(tmp_path_factory: pytest.TempPathFactory) -> Finding:
    """The study of distribution, run as if its headline's two models differed in the source alone: what a verdict would be."""
    text = path_of("distribution").read_text(encoding="utf-8")
    named = 'confounded = "a sixth fewer pairs, and a schedule that is stated for YFCC-15M alone"\n'
    assert text.count(named) == 1
    path = tmp_path_factory.mktemp("alone") / "alone.toml"
    path.write_text(text.replace(named, ""), encoding="utf-8")
    return run(find(str(path)))


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """write(text, name) -> a study file of that text below the four keys every study has."""

    def make(text: str, name: str = "mine.toml") -> Path:
        path = tmp_path / name
        path.write_text(HEAD + text, encoding="utf-8")
        return path

    return make


@pytest.fixture
def record(tmp_path: Path) -> Iterator[Write]:
    """record(model, shift, accuracy, clean) keeps a record with per-image answers and returns the results folder."""

    def make(
        model: str,
        shift: str,
        accuracy: float,
        clean: float,
        head: str = "native",
        partial: bool = False,
        prompts: str | None = None,
    ) -> Path:
        asked = replace(ASKED, head=head, prompts=prompts, head_digest=str(prompts))
        keep(tmp_path / "results", model, shift, accuracy, clean, asked=asked, partial=partial)
        return tmp_path / "results"

    with small_sets(IMAGES):
        yield make
