"""Splits of the training rows: a seeded, stratified part held out to choose a strength by, and few-shot draws.

Also the checks of a training set, and its digest.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from effrob.errors import UsageProblem
from effrob.heads.classifier import Training

Rows = NDArray[np.int64]
FRACTION = 0.1


@dataclass(frozen=True)
class Split:
    """Places in 0..N-1, ascending: `kept` to fit on, `held_out` to choose by."""

    kept: Rows
    held_out: Rows


def split(labels: Rows, fraction: float, seed: int) -> Split:
    """Hold out about `fraction` of every class, never its last row; at least one row of a class that has two.

    Raises ValueError where no class has two rows, or the fraction is not between 0 and 1.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"the part of the rows to hold out must lie between 0 and 1, and it was {fraction}")
    generator = np.random.default_rng(seed)
    order = np.argsort(labels, kind="stable")
    held: list[Rows] = []
    for places in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1):
        n = min(max(1, round(fraction * len(places))), len(places) - 1)
        held.append(generator.permutation(places)[:n])
    held_out = np.sort(np.concatenate(held))
    if len(held_out) == 0:
        raise ValueError(
            "a choice among strengths needs a class with at least 2 rows, to hold one out; give one strength"
        )
    mask = np.ones(len(labels), dtype=bool)
    mask[held_out] = False
    return Split(np.flatnonzero(mask), held_out)


def draw_shots(labels: Rows, n_classes: int, shots: int, seed: int) -> Rows:
    """(shots x n_classes,) ascending places, `shots` of every class. A seed's smaller draws lie inside its larger ones.

    Raises ValueError naming a class with fewer rows.
    """
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(labels))
    ranked = order[np.argsort(labels[order], kind="stable")]
    counts = np.bincount(labels, minlength=n_classes)
    short = np.flatnonzero(counts < shots)
    if len(short):
        raise ValueError(
            f"{shots} shots need {shots} training rows of every class, and class {short[0]} has {counts[short[0]]}"
            + (f" (so it is for {len(short)} classes)" if len(short) > 1 else "")
        )
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    return np.sort((ranked[(first[:, None] + np.arange(shots)).ravel()]).astype(np.int64))


def no_features(model: str) -> str:
    """Why no head learns from a network that gives logits alone."""
    return (
        f"{model} gives logits and no features, and a probe on logits learns what the network already decided: "
        "register it with --features LAYER"
    )


def missing_classes(name: str, targets: Rows, n_classes: int, head: str) -> str | None:
    """Why `head` cannot learn from a set whose rows have these classes: some have none. None where all have."""
    missing = np.flatnonzero(np.bincount(targets, minlength=n_classes) == 0)
    if not len(missing):
        return None
    shown = ", ".join(str(c) for c in missing[:5]) + (", …" if len(missing) > 5 else "")
    return (
        f"{name} has no image of {len(missing)} of the {n_classes} classes ({shown}), and {head} needs every "
        "class: complete the set or name another with --train (`python -m recipes.labelled --tower` learns from such lists)"
    )


def check_training(train: Training | None, head: str) -> Training:
    """The training set in ascending row order, or a UsageProblem that says why `head` cannot learn from it."""
    if train is None:
        raise UsageProblem(f"the head {head} learns from a labelled set: name one with --train")
    if train.kind == "logits":
        raise UsageProblem(no_features(train.model))
    if len(train.rows) == 0 or len(train.array) == 0:
        raise UsageProblem(f"{train.name} has no training images: see `effrob data check {train.name}`")
    missing = missing_classes(train.name, train.targets, train.n_classes, head)
    if missing is not None:
        raise UsageProblem(missing)
    order = np.argsort(train.rows, kind="stable")
    return Training(
        train.name,
        train.model,
        train.array,
        train.rows[order],
        train.targets[order],
        train.n_classes,
        train.kind,
        train.device,
    )


def train_facts(train: Training) -> dict[str, Any]:
    """What a record says of the set a head learned from."""
    return {"name": train.name, "rows": len(train.rows), "classes": train.n_classes, "digest": digest_of(train)}


def digest_of(train: Training) -> str:
    """SHA-256 of a training set's rows and classes and of the features there: what a record calls the train digest."""
    hashed = hashlib.sha256(f"{train.model} {train.array.shape} {train.n_classes}".encode())
    hashed.update(np.ascontiguousarray(train.rows).tobytes() + np.ascontiguousarray(train.targets).tobytes())
    for start in range(0, len(train.rows), 65536):
        hashed.update(np.ascontiguousarray(train.array[train.rows[start : start + 65536]]).tobytes())
    return hashed.hexdigest()
