"""Agreement on the line (Baek et al. 2022): shift accuracy predicted without shift labels.

Where accuracies lie on a line, agreements of pairs of models lie on the same one, and agreement needs no labels. Reads
prediction tables alone; refuses where the agreements themselves are no line.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from effrob.errors import UsageProblem
from effrob.results.answers import PredictionMatrix
from effrob.robustness.scale import PROBIT

Floats = NDArray[np.float64]
LINEAR_ENOUGH = 0.95
KEPT = (0.05, 0.98)  # agreements outside carry no slope: the probit is steep and the counts are few


@dataclass(frozen=True, eq=False)
class AgreementLine:
    """probit(agreement under shift) = slope * probit(agreement on clean images) + intercept over pairs of models.

    aline_s, aline_d  (M,) predicted shift accuracies, by the line alone and by every pair's disagreement with it
    holds             whether r2 reaches 0.95; below, the predictions are not to be believed
    """

    models: tuple[str, ...]
    slope: float
    intercept: float
    r2: float
    pairs: int
    aline_s: Floats
    aline_d: Floats

    @property
    def holds(self) -> bool:
        return self.r2 >= LINEAR_ENOUGH

    def error(self, shift_accuracy: Floats) -> tuple[float, float]:
        """Mean absolute error of ALine-S and of ALine-D, in accuracy, where labels turn up after all."""
        return (
            float(np.abs(self.aline_s - shift_accuracy).mean()),
            float(np.abs(self.aline_d - shift_accuracy).mean()),
        )


def agreements(predicted: NDArray[np.int64]) -> Floats:
    """(P,) share of images on which each pair i < j of the (M, N) rows predicts the same class."""
    first, second = np.triu_indices(len(predicted), k=1)
    return np.array([float((predicted[i] == predicted[j]).mean()) for i, j in zip(first, second)])


def agreement_on_the_line(clean: PredictionMatrix, shift: PredictionMatrix) -> AgreementLine:
    """Predict each model's shift accuracy from clean labels and two prediction tables of the same models.

    The shift table's `target` and `correct` are not read. Raises UsageProblem for fewer than three models or usable pairs.
    """
    if clean.models != shift.models:
        shift = shift.only(clean.models)
    if len(clean.models) < 3:
        raise UsageProblem(f"agreement wants at least three models; {len(clean.models)} were given")
    on_clean, on_shift = agreements(clean.predicted), agreements(shift.predicted)
    kept = (on_clean > KEPT[0]) & (on_clean < KEPT[1]) & (on_shift > KEPT[0]) & (on_shift < KEPT[1])
    if kept.sum() < 3 or float(np.ptp(on_clean[kept])) == 0.0:
        raise UsageProblem(
            f"agreement wants at least three pairs that agree on {KEPT[0]:.0%} to {KEPT[1]:.0%} of the images; "
            f"{int(kept.sum())} of {len(kept)} do: add models"
        )
    first, second = (index[kept] for index in np.triu_indices(len(clean.models), k=1))
    x, y = PROBIT.forward(on_clean[kept]), PROBIT.forward(on_shift[kept])
    dx = x - x.mean()
    slope = float(dx @ y) / float(dx @ dx)
    intercept = float(y.mean() - slope * x.mean())
    gap, dy = y - slope * x - intercept, y - y.mean()
    r2 = 1.0 - float(gap @ gap) / float(dy @ dy) if float(dy @ dy) > 0 else 0.0
    accuracy = PROBIT.forward(clean.correct.mean(axis=1))
    if not np.isfinite(accuracy).all():
        worst = clean.models[int(np.flatnonzero(~np.isfinite(accuracy))[0])]
        raise UsageProblem(f"{worst} is all right or all wrong on the clean images: leave it out")
    design = np.zeros((len(x), len(clean.models)))
    design[np.arange(len(x)), first] = 0.5
    design[np.arange(len(x)), second] = 0.5
    wanted = y + slope * ((accuracy[first] + accuracy[second]) / 2 - x)
    # Models in no kept pair would be free: the minimum-norm solution about the line's own prediction keeps them on it.
    start = slope * accuracy + intercept
    heights = start + np.linalg.lstsq(design, wanted - design @ start, rcond=None)[0]
    return AgreementLine(
        models=clean.models,
        slope=slope,
        intercept=intercept,
        r2=r2,
        pairs=int(kept.sum()),
        aline_s=PROBIT.inverse(start),
        aline_d=PROBIT.inverse(heights),
    )
