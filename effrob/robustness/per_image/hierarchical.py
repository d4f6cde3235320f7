"""The hierarchical bootstrap: baseline models by family, classes, images; the same images for every model.

Each draw repeats the whole measurement: another set of families makes the line, other classes or other images the test.
Levels are drawn one unit short and weighted up, which makes the variance unbiased (Rao and Wu 1988).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from effrob.errors import UsageProblem
from effrob.results.answers import PredictionMatrix
from effrob.robustness.line import SEED, BaselineLine
from effrob.robustness.scale import Scale

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
_CHUNK = 64  # draws at once: bounds memory at 64 weights an image


@dataclass(frozen=True, eq=False)
class Draws:
    """(D,) effective robustness, in accuracy and on the scale, and the line's slope, one value a draw."""

    effective_robustness: Floats
    residual: Floats
    slope: Floats
    lost: int

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Percentile interval of effective robustness."""
        tail = 50 * (1 - level)
        low, high = np.percentile(self.effective_robustness, [tail, 100 - tail])
        return float(low), float(high)


def hierarchical_bootstrap(
    line: BaselineLine,
    shift: PredictionMatrix,
    clean: PredictionMatrix,
    target_shift: Bools,
    target_clean: Bools,
    *,
    classes: str = "resampled",
    draws: int = 1000,
    seed: int = SEED,
) -> Draws:
    """Effective robustness of a model over repeated measurements.

    classes  `resampled`: the test's classes are a sample of classes; a class comes with its images, whose noise its
             accuracy already holds (drawing them again inside it would count that noise twice; Davison and Hinkley 1997,
             section 3.8). `fixed`: these classes, other images of each.
    Raises UsageProblem where a level has one unit, and where more than a tenth of the draws have no line.
    """
    if classes not in ("resampled", "fixed"):
        raise UsageProblem(f"classes are resampled or fixed; got {classes!r}")
    shift, clean = shift.only(line.models), clean.only(line.models)
    rng = np.random.default_rng(seed)
    ys = np.vstack([shift.correct, target_shift])
    xs = np.vstack([clean.correct, target_clean])
    if classes == "resampled":
        y, x = _by_class(rng, draws, (shift.target, ys), (clean.target, xs))
    else:
        y, x = (_by_image(rng, draws, table.target, correct) for table, correct in ((shift, ys), (clean, xs)))
    weights = family_weights(rng, draws, line.families)
    er, residual, slope = refit(line.scale, x, y, weights)
    good = np.isfinite(er) & np.isfinite(slope)
    if good.sum() < 0.9 * draws:
        raise UsageProblem(f"{draws - int(good.sum())} of {draws} draws have no line: too few families or images")
    return Draws(er[good], residual[good], slope[good], int(draws - good.sum()))


def refit(scale: Scale, x: Floats, y: Floats, weights: Floats) -> tuple[Floats, Floats, Floats]:
    """Per draw: effective robustness, residual and slope. x, y (D, M + 1) accuracies, the last column the target's."""
    with np.errstate(divide="ignore", invalid="ignore"):
        # Weighted means of 0s and 1s can overshoot by a rounding error.
        tx, ty = scale.forward(np.clip(x, 0, 1)), scale.forward(np.clip(y, 0, 1))
        usable = weights * (np.isfinite(tx[:, :-1]) & np.isfinite(ty[:, :-1]))
        bx, by = np.where(usable > 0, tx[:, :-1], 0.0), np.where(usable > 0, ty[:, :-1], 0.0)
        total = usable.sum(axis=1)
        x_mean, y_mean = (usable * bx).sum(axis=1) / total, (usable * by).sum(axis=1) / total
        dx = bx - x_mean[:, None]
        sxx = (usable * dx * dx).sum(axis=1)
        slope = np.where(sxx > 1e-9, (usable * dx * by).sum(axis=1) / sxx, np.nan)
        height = y_mean + slope * (tx[:, -1] - x_mean)
        return y[:, -1] - scale.inverse(height), ty[:, -1] - height, slope


def family_weights(rng: np.random.Generator, draws: int, families: tuple[str, ...]) -> Floats:
    """(D, M) how often each model's family was drawn, weighted up for drawing one short."""
    names, member = np.unique(np.array(families), return_inverse=True)
    return multinomial_weights(rng, draws, len(names))[:, member]


def multinomial_weights(rng: np.random.Generator, draws: int, units: int) -> Floats:
    """(D, U) weights of mean 1 and covariance that of sampling U units: U - 1 drawn, times U / (U - 1)."""
    if units < 2:
        raise UsageProblem("a level of the bootstrap needs at least two families, classes or images; one was found")
    drawn = rng.integers(units, size=(draws, units - 1)) + units * np.arange(draws)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=draws * units).reshape(draws, units)
    return np.asarray(counts * (units / (units - 1)), dtype=np.float64)


def class_counts(target: NDArray[np.int64], correct: Bools, classes: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """(M, C) right answers and (C,) images a class."""
    place = np.searchsorted(classes, target)
    right = np.stack([np.bincount(place, weights=row, minlength=len(classes)) for row in correct.astype(np.float64)])
    return right.astype(np.float64), np.bincount(place, minlength=len(classes)).astype(np.float64)


def _by_class(rng: np.random.Generator, draws: int, *views: tuple[NDArray[np.int64], Bools]) -> list[Floats]:
    """(D, M) accuracies in each view with one draw of classes common to all views."""
    classes = np.unique(np.concatenate([target for target, _ in views]))
    weights = multinomial_weights(rng, draws, len(classes))
    accuracies = []
    for target, correct in views:
        right, images = class_counts(target, correct, classes)
        accuracies.append(np.asarray((weights @ right.T) / (weights @ images)[:, None], dtype=np.float64))
    return accuracies


def _by_image(rng: np.random.Generator, draws: int, target: NDArray[np.int64], correct: Bools) -> Floats:
    """(D, M) accuracies with images drawn inside each class."""
    order = np.argsort(target, kind="stable")
    sizes = np.unique(target, return_counts=True)[1]
    answers = correct[:, order].T.astype(np.float64)
    parts: list[Any] = []
    for start in range(0, draws, _CHUNK):
        count = min(_CHUNK, draws - start)
        weights = np.hstack([multinomial_weights(rng, count, n) if n > 1 else np.ones((count, 1)) for n in sizes])
        parts.append(weights @ answers / weights.sum(axis=1, keepdims=True))
    return np.vstack(parts)
