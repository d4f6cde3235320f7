"""Effective robustness class by class: which classes a model's distance from the line comes from.

A class has few images (ten in ImageNetV2), so accuracies are shrunk towards the model's mean by as much as the classes'
own spread warrants (empirical Bayes, beta-binomial); each class has its own height, all share one slope.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from effrob.errors import UsageProblem
from effrob.results.answers import PredictionMatrix
from effrob.robustness.line import BaselineLine
from effrob.robustness.per_image.hierarchical import class_counts

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class PerClass:
    """classes (C,) indices; effective_robustness (C,) fractions; weight (C,) share of the shift's images

    overall   the model's effective robustness on the whole set; gap: overall minus the weighted mean over classes, what
              the bend of the scale and the shrinkage leave (Jensen)
    top_share share of the weighted sum that the tenth of the classes farthest in its direction carry; None near zero
    duplicates pairs of classes with one name: equal text gives equal scores, so the later one can never win
    """

    classes: NDArray[np.int64]
    effective_robustness: Floats
    weight: Floats
    overall: float
    gap: float
    top_share: float | None
    shrinkage: float
    duplicates: tuple[tuple[int, int], ...]


def per_class(
    line: BaselineLine,
    shift: PredictionMatrix,
    clean: PredictionMatrix,
    target_shift: Bools,
    target_clean: Bools,
    class_names: Sequence[str] | None = None,
) -> PerClass:
    """Decompose a model's distance from `line` over the classes both views have.

    target_shift (n,) and target_clean (m,) right or wrong in the tables' image order. class_names: of each class index.
    """
    shift, clean = shift.only(line.models), clean.only(line.models)
    classes = np.intersect1d(shift.target, clean.target)
    if len(classes) < 2:
        raise UsageProblem(f"per-class effective robustness wants classes common to both views; {len(classes)} are")
    on_shift, on_clean = np.isin(shift.target, classes), np.isin(clean.target, classes)
    ky, ny = class_counts(shift.target[on_shift], np.vstack([shift.correct, target_shift])[:, on_shift], classes)
    kx, nx = class_counts(clean.target[on_clean], np.vstack([clean.correct, target_clean])[:, on_clean], classes)
    alpha = np.array([prior_strength(row, ny) for row in ky])
    ty = line.scale.forward(shrink(ky, ny, alpha))
    tx = line.scale.forward(shrink(kx, nx, np.array([prior_strength(row, nx) for row in kx])))
    members_x, members_y = tx[:-1], ty[:-1]
    dx = members_x - members_x.mean(axis=0)
    sxx = float((dx * dx).sum())
    if sxx == 0.0:
        raise UsageProblem("per-class effective robustness wants baseline models that differ on the clean images")
    slope = float((dx * members_y).sum()) / sxx
    height = members_y.mean(axis=0) + slope * (tx[-1] - members_x.mean(axis=0))
    distances = line.scale.inverse(ty[-1]) - line.scale.inverse(height)
    weight = ny / ny.sum()
    y, x = float(target_shift.mean()), float(target_clean.mean())
    overall = y - line.scale.back(line.at(line.scale.to(x)))
    parts = weight * distances
    total = float(parts.sum())
    top = np.sort(parts * np.sign(total))[::-1][: max(1, len(classes) // 10)].sum()
    return PerClass(
        classes=classes,
        effective_robustness=distances,
        weight=weight,
        overall=overall,
        gap=overall - total,
        top_share=float(top) / abs(total) if abs(total) > 1e-6 else None,
        shrinkage=float((alpha[-1] / (ny + alpha[-1])).mean()),
        duplicates=() if class_names is None else duplicate_names(class_names, classes),
    )


def shrink(right: Floats, images: Floats, alpha: Floats) -> Floats:
    """(k + alpha m) / (n + alpha) per model row, m its mean with half an answer either way, so never 0 or 1."""
    total = images.sum()
    mean = (right.sum(axis=1, keepdims=True) + 0.5) / (total + 1.0)
    return np.asarray((right + alpha[:, None] * mean) / (images + alpha[:, None]), dtype=np.float64)


def prior_strength(right: Floats, images: Floats) -> float:
    """The prior's weight in images, by moments of the beta-binomial: strong where classes differ no more than chance."""
    mean = float(right.sum() / images.sum())
    binomial = mean * (1 - mean)
    if binomial == 0.0:
        return float(images.mean())
    share = right / images
    seen = float(((share - mean) ** 2).mean())
    chance = float((binomial / images).mean())
    between = (seen - chance) / max(1.0 - float((1.0 / images).mean()), 1e-9)
    return float(np.clip(binomial / between - 1.0, 0.1, 1e4)) if between > 0 else 1e4


def duplicate_names(names: Sequence[str], classes: NDArray[np.int64]) -> tuple[tuple[int, int], ...]:
    """Pairs (first, later) of class indices with the same name."""
    first: dict[str, int] = {}
    distances = []
    for index in classes.tolist():
        earlier = first.setdefault(names[index], index)
        if earlier != index:
            distances.append((earlier, index))
    return tuple(distances)
