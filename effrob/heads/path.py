"""Multinomial logistic regression on feature blocks, at every strength asked, walked from strong to weak penalty.

Objective, scikit-learn's: C x Σ weight x loss + ½ ||W||², the intercept free; for two classes the penalty is on their
one difference. Each strength starts where the last two point to, so a path costs little more than its weakest member.
Streams its rows; knows no estimator, no cache and no files.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from effrob.heads.blocks import FeatureBlocks
from effrob.heads.metric import ClassMetric
from effrob.heads.minimise import Minimum, Reason, minimise
from effrob.heads.softmax import Batch, SoftmaxLoss, stream

MEMORY = 10  # curvature pairs: 5 to 40 take the same number of evaluations
TOL = 1e-6
SAMPLE = (8, 32)  # curvature is measured on this many rows a feature, or a class, whichever is more


@dataclass(frozen=True)
class SolverReport:
    """How a fit ended.

    objective    C x Σ weight x loss + ½ ||W||² at the returned coefficients
    gap          estimated (objective - optimum) / objective; `reason` "gap": it is at most the tolerance
    gap_bound    ½ ||gradient in W||² / objective: a bound by strong convexity where the intercept is at its optimum, and a loose one
    evaluations  passes over the rows at this strength;  precision  of the arithmetic that ended it
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
        """JSON-ready, for a record."""
        return dict(self.__dict__)


@dataclass(frozen=True)
class ProbePoint:
    """coef (K, D) float64, intercept (K,) float64 and how they were found; two classes give two opposite rows."""

    coef: NDArray[np.float64]
    intercept: NDArray[np.float64]
    report: SolverReport


def memory_bound(features: FeatureBlocks, n_classes: int, memory: int = MEMORY) -> int:
    """Bytes the solver holds at once: 8 B (2 D + 3 K) + 8 K (D + 1) (2 memory + 14) + 48 D², + 8 N; + N D size if resident.

    B rows a block, two copies of its rows and three of its logits; L-BFGS pairs, points and gradients; the metric. Never N x K.
    """
    n, d, b = len(features), features.dimension, min(features.block_rows, len(features))
    kept = n * d * features.dtype.itemsize if features.resident is not None else 0
    return 8 * b * (2 * d + 3 * n_classes) + 8 * n_classes * (d + 1) * (2 * memory + 14) + 48 * d * d + 8 * n + kept


def check_strengths(strengths: Sequence[float]) -> list[float]:
    """Floats, in the order given. Raises ValueError where one is not a finite positive number, or there are none."""
    found = [float(c) for c in strengths]
    if not found or not all(math.isfinite(c) and c > 0 for c in found):
        raise ValueError(f"C must be finite and above 0, and it was {found if found else 'an empty list'}")
    return found


def check_labels(labels: NDArray[np.int64], n_rows: int, n_classes: int, weights: NDArray[np.float64] | None) -> None:
    """Raises ValueError for lengths that differ, labels out of range, one class, and classes without a row of weight."""
    if len(labels) != n_rows:
        raise ValueError(f"the probe has {n_rows} rows of features and {len(labels)} labels: they must be as many")
    if weights is not None and (len(weights) != n_rows or not np.isfinite(weights).all() or (weights < 0).any()):
        raise ValueError("sample weights must be one finite number of at least 0 for each row")
    if n_classes < 2:
        raise ValueError(f"a probe needs rows of at least 2 classes, and there is {n_classes} class")
    if labels.min() < 0 or labels.max() >= n_classes:
        raise ValueError(f"labels must lie in 0..{n_classes - 1}, and they span {labels.min()}..{labels.max()}")
    missing = np.flatnonzero(np.bincount(labels, weights, minlength=n_classes) <= 0)
    if len(missing):
        shown = ", ".join(str(c) for c in missing[:5]) + (", …" if len(missing) > 5 else "")
        raise ValueError(f"{len(missing)} of {n_classes} classes have no training row ({shown}): the free intercept has no optimum")


def fit_path(
    features: FeatureBlocks,
    labels: NDArray[np.int64],
    n_classes: int,
    strengths: Sequence[float],
    *,
    weights: NDArray[np.float64] | None = None,
    tol: float = TOL,
    max_evaluations: int = 1000,
    start: ProbePoint | None = None,
    progress: bool = False,
    seed: int = 0,
) -> list[ProbePoint]:
    """Fit every strength C to a relative gap of `tol`; points in the order of `strengths`.

    labels (N,) in 0..n_classes-1, weights (N,) >= 0. Float32 features that cannot reach `tol` are finished in float64.
    `start` warms the first strength. `max_evaluations` (a strength) is a safety: reached, it warns. ValueError: `check_labels`.
    """
    order = sorted(set(check_strengths(strengths)))
    check_labels(labels, len(features), n_classes, weights)
    span = features.span() if len(features) <= features.dimension else features.plain()
    walk = _Walk(span.blocks, labels, n_classes, weights, seed)
    found: dict[float, ProbePoint] = {}
    last: list[tuple[float, torch.Tensor]] = []
    with tqdm(order, desc="probe", unit="C", disable=not progress) as bar:
        for c in bar:
            theta = walk.origin(None if start is None else span.inward(start.coef), start) if not last else _ahead(last, c)
            done = walk.solve(theta, c, tol, max_evaluations, bar)
            if done.reason == "cap":
                warnings.warn(
                    f"the probe at C = {c:g} stopped at {max_evaluations} evaluations with a relative gap near {done.gap:.1e}",
                    _convergence_warning(),
                    stacklevel=2,
                )
            last = [*last[-1:], (c, done.theta)]
            found[c] = walk.point(done, c, span)
    return [found[float(c)] for c in strengths]


def _convergence_warning() -> type[Warning]:
    from sklearn.exceptions import ConvergenceWarning

    return ConvergenceWarning  # type: ignore[no-any-return]


def _ahead(last: list[tuple[float, torch.Tensor]], c: float) -> torch.Tensor:
    """Where the path points to: linear in log C through the last two optima, at most two of their steps away."""
    now, theta = last[-1]
    if len(last) == 1:
        return theta
    before, theta_before = last[0]
    stride = min(2.0, math.log(c / now) / math.log(now / before))
    return theta + stride * (theta - theta_before)
