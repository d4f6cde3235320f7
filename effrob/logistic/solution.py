"""What a fit came to: coefficients on the features as they were given, and how the solver ended.

Knows no path and no labels; the objective is scikit-learn's, C x Σ weight x loss + ½ ||W||².
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from effrob.heads.classifier import LinearClassifier
from effrob.logistic.feature_blocks import FeatureBlocks, RowSpace
from effrob.logistic.in_memory_loss import CELLS
from effrob.logistic.newton_cg import Minimum, Reason


@dataclass(frozen=True)
class SolverReport:
    """How a fit ended.

    objective    C x Σ weight x loss + ½ ||W||² at the returned coefficients
    gap          estimated (objective - optimum) / objective; `reason` "gap": it is at most the tolerance
    gap_bound    ½ ||gradient in W||² / objective: a loose bound, by strong convexity, where the intercept is at its optimum
    evaluations  passes over the rows at this strength, products with the curvature among them
    precision    of the arithmetic that ended it
    memory       bytes at most, beside the features given (see `memory_bound`)
    """

    C: float
    objective: float
    gap: float
    gap_bound: float
    evaluations: int
    reason: Reason
    precision: str
    memory: int

    def facts(self) -> dict[str, Any]:
        """JSON-ready, for a record: a gap that could not be estimated is None."""
        told = dict(self.__dict__)
        return {name: None if isinstance(one, float) and not math.isfinite(one) else one for name, one in told.items()}


@dataclass(frozen=True)
class ProbePoint:
    """coef (K, D) float64, intercept (K,) float64 and how they were found; two classes give two opposite rows."""

    coef: NDArray[np.float64]
    intercept: NDArray[np.float64]
    report: SolverReport

    def readout(self, facts: dict[str, Any]) -> LinearClassifier:
        """The readout that scores with it."""
        weight, bias = torch.from_numpy(self.coef).float(), torch.from_numpy(self.intercept).float()
        return LinearClassifier(weight, bias, torch.arange(len(bias)), normalise=False, facts=facts)


def memory_bound(features: FeatureBlocks, n_classes: int, basis: NDArray[np.float64] | None = None) -> int:
    """Bytes the solver holds at once, with N, D and K, B rows a block and F = max(4 D, 16 K, 1024), half of N at most.

    Always 8 B (2 D + 4 K) + 30 x 8 K (D + 1) + 48 D² + 40 N: blocks, L-BFGS pairs or conjugate gradients, points, the metric.
    Rows held: 6 D (N + F), a copy in two bytes beside the four (8 D in float64). With N x K up to CELLS, 11 numbers of each;
    of more rows CELLS / 4 K are kept so. Never N x K of more. Where fewer rows than features, D, span the space, N stands
    for D above, and making the `basis` (D, N) and coming back takes 56 D N + 24 K D.
    """
    n, d, b = len(features), features.dimension, min(features.block_rows, len(features))
    size = features.dtype.itemsize
    few = min(max(4 * d, 16 * n_classes, 1024), n // 2)
    held = (6 if size == 4 else size) * d * (few + (n if features.resident is not None else 0))
    most = CELLS.get(features.device.type, 0)
    cells = n * n_classes if n * n_classes <= most else most // 4
    vectors = 30 * 8 * n_classes * (d + 1)
    spanned = 0 if basis is None else 56 * basis.size + 24 * n_classes * len(basis)
    return spanned + 8 * b * (2 * d + 4 * n_classes) + vectors + 48 * d * d + 40 * n + held + 11 * size * cells


def point_of(
    done: Minimum, space: RowSpace, c: float, n_classes: int, mass: float, dtype: torch.dtype, memory: int
) -> ProbePoint:
    """A minimum of the mean loss in a row space as coefficients on the features as they were given; mass: summed weights."""
    theta = done.theta.cpu().numpy()
    coef, intercept = space.outward(theta[:, :-1], theta[:, -1])
    scaled = softmax_strength(c, n_classes) * mass
    shared = coef.mean(axis=0)  # adding to every class alike changes no probability: at the optimum that is nothing
    coef, intercept = coef - shared, intercept - intercept.mean()
    saved = 0.5 * n_classes * float(shared @ shared) * c / softmax_strength(c, n_classes)
    steep = float(done.gradient[:, :-1].square().sum()) * scaled * space.blocks.unit * space.blocks.unit
    report = SolverReport(
        C=c,
        objective=done.value * c * mass - saved,
        gap=done.gap,
        gap_bound=steep / 2 / max(done.value, sys.float_info.min),
        evaluations=done.evaluations,
        reason=done.reason,
        precision=str(dtype).removeprefix("torch."),
        memory=memory,
    )
    return ProbePoint(coef, intercept, report)


def softmax_strength(c: float, n_classes: int) -> float:
    """Of the softmax form: two classes share one penalised vector, ¼ ||w||² in softmax's terms."""
    return c / 2 if n_classes == 2 else c
