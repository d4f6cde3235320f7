"""Submissions: folders of records with predictions, as `effrob eval` leaves them, made without a model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from effrob.results.store import Stored
from tests.honest import keep, small_sets

SHIFTS = {"imagenet-v2": 0.56, "imagenet-r": 0.69, "imagenet-sketch": 0.42, "objectnet": 0.44, "imagenet-a": 0.31}


@pytest.fixture(autouse=True, scope="module")
def _small_sets() -> Iterator[None]:
    """Official sets of a thousand images each."""
    with small_sets():
        yield


def submit(
    root: Path,
    model: str,
    shift: str,
    accuracy: float,
    n: int | None = None,
    clean: float = 0.63,
    origin: str = "measured",
    **resolved: object,
) -> Stored:
    """One record with predictions below `root`."""
    return keep(root, model, shift, accuracy, clean, n=n, origin=origin, resolved=resolved)


@pytest.fixture
def submission(tmp_path: Path) -> Path:
    """One model on the five shifts."""
    for shift, accuracy in SHIFTS.items():
        submit(tmp_path / "submission", "my-model", shift, accuracy)
    return tmp_path / "submission"
