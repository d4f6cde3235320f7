"""Submissions: folders of records with predictions, as `effrob eval` leaves them, made without a model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from effrob.results.predictions import Predictions
from effrob.results.provenance import here
from effrob.results.record import EvalRecord, EvalSpec, imported_digest
from effrob.results.store import ResultStore, Stored, count

SHIFTS = {"imagenet-v2": 0.56, "imagenet-r": 0.69, "imagenet-sketch": 0.42, "objectnet": 0.44, "imagenet-a": 0.31}


def answers(n: int, accuracy: float, classes: int = 20) -> Predictions:
    """n images, the first round(accuracy * n) of them answered right."""
    target = np.arange(n) % classes
    predicted = np.where(np.arange(n) < round(accuracy * n), target, (target + 1) % classes)
    top5 = np.full((n, 5), -1)
    top5[:, 0] = predicted
    return Predictions(
        index=np.arange(n),
        id=np.array([f"n{i:08d}.jpg" for i in range(n)]),
        target=target,
        predicted=predicted,
        top5=top5,
        predicted_1000=predicted,
        correct=predicted == target,
        correct_1000=predicted == target,
        correct_top5=predicted == target,
        margin=np.ones(n, dtype=np.float32),
        confidence=np.full(n, 0.5, dtype=np.float32),
        entropy=np.ones(n, dtype=np.float32),
    )


def submit(
    root: Path,
    model: str,
    shift: str,
    accuracy: float,
    n: int = 1000,
    clean: float = 0.63,
    origin: str = "measured",
    **resolved: object,
) -> Stored:
    """One record with predictions below `root`."""
    asked = EvalSpec(
        model=model,
        model_digest="d" * 64 if origin == "measured" else imported_digest(model),
        layer="default",
        pixels={"size": [224, 224]},
        pixel_path="exact",
        precision="fp32",
        head="native",
        prompts=None,
        head_digest="native",
        protocol="effrob",
        shift=shift,
        label_space=shift,
        source=f"{shift} of {n}",
        question="q",
        clean_source=f"the clean set of {n}",
        clean_question="c",
    )
    rows, clean_rows = answers(n, accuracy), answers(n, clean)
    counts = count(clean_rows)
    record = EvalRecord(
        asked,
        None,
        model,
        count(rows),
        n,
        False,
        counts,
        counts,
        {},
        {"kind": "logits", **resolved},
        here("cpu", "fp32"),
        origin=origin,
    )
    return ResultStore(root).write(record, rows, clean_rows)


@pytest.fixture
def submission(tmp_path: Path) -> Path:
    """One model on the five shifts."""
    for shift, accuracy in SHIFTS.items():
        submit(tmp_path / "submission", "my-model", shift, accuracy)
    return tmp_path / "submission"
