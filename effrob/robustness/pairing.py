"""Shared images: how test-set noise cancels where target and baseline models answered the same images.

Each image's influence on the departure from the line is written down (the infinitesimal jackknife) and its spread over
images gives the sampling variance, covariances included. Needs per-image answers; see docs/statistics.md.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from effrob.robustness.answers import Table
from effrob.robustness.effective import Pairing
from effrob.robustness.fit import RobustnessFit
from effrob.robustness.line import Line
from effrob.robustness.scale import Scale

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def pairing(line: Line, shift: Table, clean: Table, target_shift: Bools, target_clean: Bools) -> Pairing:
    """Sampling variance of one model's departure from `line`.

    shift, clean   answers of the baseline, the line's models among them
    target_shift   (n,) right or wrong of the model on shift.ids; target_clean (m,) on clean.ids
    """
    shift, clean = shift.only(line.models), clean.only(line.models)
    scale, y, x = line.scale, float(target_shift.mean()), float(target_clean.mean())
    tx = scale.to(x)
    height = line.at(tx)
    density = scale.density(height)
    on_line = height_influence(line, tx, shift, clean)
    own = line.slope / scale.density(tx) * (target_clean - x)
    gap = target_shift - y
    variance = _mean_variance(gap - density * on_line[0]) + _mean_variance(density * (own + on_line[1]))
    own_noise = unshared_noise(line.scale, line.ty, shift.correct)
    own_noise += line.slope**2 * unshared_noise(line.scale, line.tx, clean.correct)
    if not 0.0 < y < 1.0:
        return Pairing(variance, math.inf, own_noise)
    on_scale = _mean_variance(gap / scale.density(scale.to(y)) - on_line[0]) + _mean_variance(own + on_line[1])
    return Pairing(variance, on_scale, own_noise)


def height_influence(line: Line, tx: float, shift: Table, clean: Table) -> tuple[Floats, Floats]:
    """What each shift image (n,) and each clean image (m,) adds to the line's height at `tx`, on the scale, times n or m.

    Derivatives of least squares: by a member's Y, 1/N + (X - mean)(X_i - mean) / Sxx; by its X,
    (X - mean)(r_i - a (X_i - mean)) / Sxx - a/N.
    """
    scale = line.scale
    away, dx = tx - line.x_mean, line.tx - line.x_mean
    by_y = (1.0 / line.n + away * dx / line.sxx) / scale.slope_at(line.ty)
    by_x = (away * (line.residuals - line.slope * dx) / line.sxx - line.slope / line.n) / scale.slope_at(line.tx)
    return (
        np.asarray(by_y @ shift.correct - float(by_y @ shift.correct.mean(axis=1)), dtype=np.float64),
        np.asarray(by_x @ clean.correct - float(by_x @ clean.correct.mean(axis=1)), dtype=np.float64),
    )


def unshared_noise(scale: Scale, t: Floats, correct: Bools) -> float:
    """Mean variance over models of an accuracy's test noise on the scale, less what all models have in common.

    t (M,) accuracies on the scale; correct (M, N). An image's common effect is its mean over models.
    """
    noise: Floats = (correct - correct.mean(axis=1, keepdims=True)) / scale.slope_at(t)[:, None]
    noise -= noise.mean(axis=0)
    models, images = noise.shape
    return float((noise * noise).sum() / ((models - 1) * images * images))


def _mean_variance(influence: Floats) -> float:
    """Variance of a mean whose images contribute `influence`."""
    centred = influence - influence.mean()
    return float(centred @ centred) / (len(centred) * max(len(centred) - 1, 1))


def pairing_for(
    fit: RobustnessFit,
    shift_ids: NDArray[np.str_],
    shift_correct: Bools,
    clean_ids: NDArray[np.str_],
    clean_correct: Bools,
) -> Pairing | None:
    """The pairing of one evaluated model with the baseline of `fit`, whose answers need not be in the same image order.

    None where the baseline keeps no answers on the shift and axis, or answered other images: the interval then counts images
    as not shared.
    """
    answers, shift = fit.baseline.answers, fit.shift
    if answers is None or shift not in answers.shift or shift not in answers.clean:
        return None
    tables = answers.shift[shift], answers.clean[shift]
    matched = [(m.clean[shift].n, m.clean_full) for m in fit.baseline.members if shift in m.clean]
    if fit.axis == "full" and any(full is None or full.n != n for n, full in matched):
        return None
    if any(
        len(table.ids) != len(ids) or not np.array_equal(np.sort(table.ids), np.sort(ids))
        for table, ids in zip(tables, (shift_ids, clean_ids))
    ):
        return None
    on_shift, on_clean = shift_correct[tables[0].order(shift_ids)], clean_correct[tables[1].order(clean_ids)]
    if not 0.0 < float(on_clean.mean()) < 1.0:
        return None
    return pairing(fit.segment_at(float(on_clean.mean())), *tables, on_shift, on_clean)
