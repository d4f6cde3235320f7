"""Shared images: how test-set noise cancels where target and baseline models answered the same images.

Each image's influence on the departure from the line is written down (the infinitesimal jackknife) and its spread over
images gives the sampling variance, covariances included. Needs per-image answers; see docs/statistics.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from effrob.results.answers import PredictionMatrix, read_npz, same_names
from effrob.robustness.fit import RobustnessFit
from effrob.robustness.line import BaselineLine
from effrob.robustness.scale import Scale

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Pairing:
    """Sampling variance of effective robustness in accuracy, with images shared between target and baseline.

    variance   of accuracy minus the line, from per-image answers;  variance_scale  of the residual on the scale
    own_noise  the part of the baseline's residual variance that is test noise no two models share: it is in `variance`
               already, through the line, and must not count again as scatter of models
    """

    variance: float
    variance_scale: float
    own_noise: float


def pairing(
    line: BaselineLine, shift: PredictionMatrix, clean: PredictionMatrix, target_shift: Bools, target_clean: Bools
) -> Pairing:
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


def height_influence(
    line: BaselineLine, tx: float, shift: PredictionMatrix, clean: PredictionMatrix
) -> tuple[Floats, Floats]:
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
    tables = answers_of(fit)
    if tables is None:
        return None
    on_shift, on_clean = _matched(tables[0], shift_ids), _matched(tables[1], clean_ids)
    if on_shift is None or on_clean is None:
        return None
    return _paired(fit, tables, shift_correct[on_shift], clean_correct[on_clean])


def pairing_from(fit: RobustnessFit, folder: Path) -> Pairing | None:
    """The same from a record's folder; its files are read only where the baseline has answers to set beside them.

    None, too, where one image is said to show different classes: two sets may name their files alike.
    """
    tables = answers_of(fit)
    paths = folder / "predictions.npz", folder / "clean.npz"
    if tables is None or not all(path.is_file() for path in paths):
        return None
    matched = []
    for table, path in zip(tables, paths):
        columns = read_npz(path, ("id", "target", "correct"))
        order = _matched(table, columns["id"].astype(str))
        if order is None or not np.array_equal(columns["target"][order], table.target):
            return None
        matched.append(columns["correct"].astype(np.bool_)[order])
    return _paired(fit, tables, *matched)


def answers_of(fit: RobustnessFit) -> tuple[PredictionMatrix, PredictionMatrix] | None:
    """The baseline's answers on the fit's shift and on its clean axis; None where they were not kept."""
    answers, shift = fit.baseline.answers, fit.shift
    if answers is None or shift not in answers.shift or shift not in answers.clean:
        return None
    matched = [(m.clean[shift].n, m.full(shift)) for m in fit.baseline.members if shift in m.clean]
    if fit.axis == "full" and any(full is None or full.n != n for n, full in matched):
        return None
    return answers.shift[shift], answers.clean[shift]


def _matched(table: PredictionMatrix, ids: NDArray[np.str_]) -> NDArray[np.int64] | None:
    """Positions in `ids` of the table's images; None where the two are not the same images, each once."""
    if len(ids) != len(table.ids):
        return None
    known, ids = same_names(table.ids, ids)
    order = np.argsort(ids)
    mine, theirs = ids[order], np.sort(known)
    if not np.array_equal(mine, theirs) or bool((mine[1:] == mine[:-1]).any()):
        return None
    return np.asarray(order[np.searchsorted(mine, known)], dtype=np.int64)


def _paired(
    fit: RobustnessFit, tables: tuple[PredictionMatrix, PredictionMatrix], on_shift: Bools, on_clean: Bools
) -> Pairing | None:
    accuracy = float(on_clean.mean())
    return pairing(fit.segment_at(accuracy), *tables, on_shift, on_clean) if 0.0 < accuracy < 1.0 else None
