"""Studies as text, and records of measured arms, for the tests of this directory."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from effrob.studies.finding import Finding, run
from effrob.studies.reader import find, shipped

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
        folder = tmp_path / "results" / f"{model}-{head}-{prompts}-{shift}".replace(":", "-").replace("@", "-")
        folder.mkdir(parents=True)
        ids = np.array([f"{i:05d}.jpg" for i in range(IMAGES)])
        zeros, right = np.zeros(IMAGES, dtype=np.int64), {}
        for name, share in (("predictions", accuracy), ("clean", clean)):
            right[name] = np.arange(IMAGES) < round(share * IMAGES)
            np.savez(
                folder / f"{name}.npz", id=ids, correct=right[name], target=zeros, predicted=zeros, predicted_1000=zeros
            )
        counts: dict[str, Any] = {n: {"n": IMAGES, "n_correct": int(r.sum())} for n, r in right.items()}
        content = {
            "asked": {"model": model, "shift": shift, "head": head, "prompts": prompts, "protocol": "effrob"},
            "counts": counts["predictions"],
            "clean": counts["clean"],
            "clean_full": counts["clean"],
            "partial": partial,
        }
        (folder / "record.json").write_text(json.dumps(content), encoding="utf-8")
        return tmp_path / "results"

    return make
