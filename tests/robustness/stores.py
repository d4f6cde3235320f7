"""A results folder as the evaluator leaves one: seven native models on a line, a zero-shot model above it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.special import expit
from worlds import World

from effrob.results.predictions import Predictions
from effrob.results.provenance import here
from effrob.results.record import EvalRecord, EvalSpec
from effrob.results.store import ResultStore, count

IMAGES, CLASSES = 400, 8
MODELS = tuple(f"timm:resnet{18 + i}.a1_in1k" for i in range(7))
ROBUST = "openclip:tiny@x"
SHIFTS = ("pocket-v2", "pocket-r")


def predictions(correct: np.ndarray, prefix: str, seed: int) -> Predictions:
    """Rows with these answers right; a wrong one names another class, the same for all models that err alike."""
    n = len(correct)
    target = np.arange(n) % CLASSES
    wrong = (target + 1 + np.random.default_rng(seed).integers(CLASSES - 1, size=n)) % CLASSES
    predicted = np.where(correct, target, wrong)
    top5 = np.full((n, 5), -1)
    top5[:, 0] = predicted
    return Predictions(
        index=np.arange(n),
        id=np.array([f"{prefix}/{i:04d}.jpg" for i in range(n)]),
        target=target,
        predicted=predicted,
        top5=top5,
        predicted_1000=predicted,
        correct=correct,
        correct_1000=correct,
        correct_top5=np.ones(n, dtype=bool),
        margin=np.ones(n, dtype=np.float32),
        confidence=np.full(n, 0.5, dtype=np.float32),
        entropy=np.ones(n, dtype=np.float32),
    )


def fill(root: Path) -> Path:
    """Write the store; the answers depend on nothing but this file."""
    world, rng = World(shared=0.6), np.random.default_rng(11)
    target = np.zeros(IMAGES, dtype=int)
    x = np.append(np.linspace(-0.5, 2.2, len(MODELS)), 0.8)
    clean = world.answer(rng, expit(x), target)
    heights = {"pocket-v2": (0.95, -0.3, 0.0), "pocket-r": (0.8, -0.8, 1.2)}
    store = ResultStore(root)
    asked = EvalSpec(
        "", "d" * 64, "default", {"size": [32, 32]}, "exact", "fp32", "native", None, "native", "effrob",
        "", "pocket-8", "s" * 64, "q" * 64, "c" * 64, "r" * 64,
    )  # fmt: skip
    for shift, (slope, intercept, gain) in heights.items():
        y = slope * x + intercept
        y[-1] += gain
        answers = world.answer(rng, expit(y), target)
        for i, model in enumerate((*MODELS, ROBUST)):
            head = "zero-shot" if model == ROBUST else "native"
            question = replace(asked, model=model, shift=shift, head=head, head_digest=head)
            on_clean = predictions(clean[i], "clean", 1)
            on_shift = predictions(answers[i], shift, 2)
            _write(store, question, on_shift, on_clean)
    for i, model in enumerate((*MODELS, ROBUST)):
        head = "zero-shot" if model == ROBUST else "native"
        question = replace(
            asked, model=model, shift="pocket", head=head, head_digest=head, clean_source=None, clean_question=None
        )
        _write(store, question, predictions(clean[i], "clean", 1), None)
    return root


def _write(store: ResultStore, asked: EvalSpec, rows: Predictions, clean: Predictions | None) -> None:
    record = EvalRecord(
        asked=asked,
        weights=None,
        model_asked=asked.model,
        counts=count(rows),
        n_expected=len(rows),
        partial=False,
        clean=None if clean is None else count(clean),
        clean_full=None if clean is None else count(clean),
        files={},
        resolved={},
        provenance=here("cpu", "fp32"),
    )
    store.write(record, rows, clean)
