"""Results: where a solver ended, in its own coordinates (`Minimum`) and on the features as they were given (`ProbePoint`).

The objective reported is scikit-learn's, C x sum of weight x loss + ½ ||W||².
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from effrob.logistic.feature_blocks import FeatureBlocks, RowSpace
from effrob.logistic.losses import IN_MEMORY_LIMIT, squared_weights

Reason = Literal["gap", "rounding", "cap"]
Callback = Callable[[int, float], None]  # gets the evaluations so far and the relative gap, at every step

# Freed blocks that malloc keeps: at the shape of ImageNet, streamed, peaks were 0.76 to 1.11 times what is held at once
ALLOCATOR = 1.25


@dataclass(frozen=True)
class Minimum:
    """A solver's last iterate.

    theta (K, D + 1) float64;  value  f there;  gradient (K, D + 1);  evaluations  passes over the rows, Hessian products
    among them;  gap  estimated (f - f*) / f;  reason  it stopped: the gap asked, no more progress for rounding, or the cap
    """

    theta: Tensor
    value: float
    gradient: Tensor
    evaluations: int
    gap: float
    reason: Reason


@dataclass(frozen=True)
class SolverReport:
    """How a fit ended.

    objective    C x sum of weight x loss + ½ ||W||² at the returned coefficients
    gap          estimated (objective - optimum) / objective; `reason` "gap": it is at most the tolerance
    gap_bound    ½ ||gradient in W||² / objective: an upper bound by strong convexity, where the intercept is at its optimum
    evaluations  passes over the rows at this strength, Hessian products among them
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
        """JSON-ready, for a record: a number that is not finite is None."""
        fields = dict(self.__dict__)
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in fields.items()}


@dataclass(frozen=True)
class ProbePoint:
    """coef (K, D) float64, intercept (K,) float64 and how they were reached; two classes have two opposite rows."""

    coef: NDArray[np.float64]
    intercept: NDArray[np.float64]
    report: SolverReport


def memory_bound(features: FeatureBlocks, n_classes: int, basis: NDArray[np.float64] | None = None) -> int:
    """Bytes at most while a solver works: ALLOCATOR times what it holds at once.

    With N, D and K, B rows a block and F = max(4 D, 16 K, 1024), half of N at most, it holds:
    Always 8 B (2 D + 4 K) + 240 K (D + 1) + 48 D² + 40 N: blocks; vectors of solvers; preconditioner; rows' labels. Resident
    rows: 6 D (N + F), a copy in two bytes beside the four (8 D in float64). With N x K up to IN_MEMORY_LIMIT, 11 numbers of
    each; with more, IN_MEMORY_LIMIT / 4 K rows are kept so, and never N x K. Where fewer rows than features span the space,
    N stands for D above, and making the `basis` (D, N) and coming back takes 56 D N + 24 K D.
    """
    n, d, b = len(features), features.dimension, min(features.block_rows, len(features))
    size = features.dtype.itemsize
    lead_in = min(max(4 * d, 16 * n_classes, 1024), n // 2)
    rows = (6 if size == 4 else size) * d * (lead_in + (n if features.resident is not None else 0))
    limit = IN_MEMORY_LIMIT.get(features.device.type, 0)
    logits = n * n_classes if n * n_classes <= limit else limit // 4
    spanned = 0 if basis is None else 56 * basis.size + 24 * n_classes * len(basis)
    vectors = 240 * n_classes * (d + 1)
    held = spanned + 8 * b * (2 * d + 4 * n_classes) + vectors + 48 * d * d + 40 * n + rows + 11 * size * logits
    return round(ALLOCATOR * held)


def probe_point(
    minimum: Minimum, space: RowSpace, c: float, n_classes: int, total: float, dtype: torch.dtype, memory: int
) -> ProbePoint:
    """A minimum of the mean loss in a row space, as coefficients on the features as given; total: summed weights."""
    theta = minimum.theta.cpu().numpy()
    coef, intercept = space.to_features(theta[:, :-1], theta[:, -1])
    scaled = softmax_strength(c, n_classes) * total
    common = coef.mean(axis=0)  # changes no probability, and is 0 at the optimum
    coef, intercept = coef - common, intercept - intercept.mean()
    saved = 0.5 * n_classes * float(common @ common) * c / softmax_strength(c, n_classes)
    squared_gradient = squared_weights(minimum.gradient) * scaled * space.blocks.unit * space.blocks.unit
    report = SolverReport(
        C=c,
        objective=minimum.value * c * total - saved,
        gap=minimum.gap,
        gap_bound=squared_gradient / 2 / max(minimum.value, sys.float_info.min),
        evaluations=minimum.evaluations,
        reason=minimum.reason,
        precision=str(dtype).removeprefix("torch."),
        memory=memory,
    )
    return ProbePoint(coef, intercept, report)


def softmax_strength(c: float, n_classes: int) -> float:
    """C of the softmax form. Two classes are penalised on their one difference w, and softmax's rows are ±w/2: ¼ ||w||²."""
    return c / 2 if n_classes == 2 else c
