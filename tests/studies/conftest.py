"""Studies as text, and records of measured arms, for the tests of this directory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from effrob.results.predictions import Predictions
from effrob.results.provenance import here
from effrob.results.record import EvalRecord, EvalSpec
from effrob.results.store import ResultStore, count
from effrob.studies.finding import Finding, run
from effrob.studies.reader import find, path_of, shipped

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
def record(tmp_path: Path) -> Write:
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
        rows = {name: _predictions(share) for name, share in (("shift", accuracy), ("clean", clean))}
        asked = EvalSpec(
            model, "d" * 64, "default", {}, "exact", "fp32", head, prompts, str(prompts), "effrob",
            shift, "labels", "s" * 64, "q" * 64, "c" * 64, "r" * 64,
        )  # fmt: skip
        made = EvalRecord(
            asked=asked,
            weights=None,
            model_asked=model,
            counts=count(rows["shift"]),
            n_expected=IMAGES,
            partial=partial,
            clean=count(rows["clean"]),
            clean_full=count(rows["clean"]),
            files={},
            resolved={},
            provenance=here("cpu", "fp32"),
        )
        ResultStore(tmp_path / "results").write(made, rows["shift"], rows["clean"])
        return tmp_path / "results"

    return make


def _predictions(share: float) -> Predictions:
    """Answers of which the first `share` are right."""
    zeros, right = np.zeros(IMAGES, dtype=np.int64), np.arange(IMAGES) < round(share * IMAGES)
    return Predictions(
        index=np.arange(IMAGES),
        id=np.array([f"{i:05d}.jpg" for i in range(IMAGES)]),
        target=zeros,
        predicted=np.where(right, 0, 1),
        top5=np.full((IMAGES, 5), -1),
        predicted_1000=np.where(right, 0, 1),
        correct=right,
        correct_1000=right,
        correct_top5=right,
        margin=np.ones(IMAGES, dtype=np.float32),
        confidence=np.full(IMAGES, 0.5, dtype=np.float32),
        entropy=np.ones(IMAGES, dtype=np.float32),
    )
