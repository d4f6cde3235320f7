"""Variance components of a line's residuals: what the models of a family miss together, and what each misses alone.

y = X beta + family effect + own error, the two independent and normal; X holds 1 and the clean accuracy. Estimated by
restricted maximum likelihood (Patterson and Thompson 1971). The projection of the family indicators off X turns the
residuals into independent components of variance own + lambda * family (Searle, Casella and McCulloch 1992), so that one
ratio is searched.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
RATIOS = 81  # family over own variance, from e^-8 to e^8 in steps of a fifth


@dataclass(frozen=True, eq=False)
class Components:
    """own, family  variances on the line's scale

    by_own, by_family  (2, 2) what a unit of either gives to the covariance of intercept and slope of ordinary least squares
    uncertainty        (2, 2) covariance of the two estimates, from the information matrix; None where there is only `own`
    n                  models
    """

    own: float
    family: float
    by_own: Floats
    by_family: Floats
    uncertainty: Floats | None
    n: int

    @functools.cached_property
    def covariance(self) -> Floats:
        """(2, 2) of intercept and slope."""
        return np.asarray(self.own * self.by_own + self.family * self.by_family)

    @functools.cached_property
    def _forms(self) -> tuple[tuple[float, float, float], ...]:
        """`by_own`, `by_family` and `uncertainty` as (a, b, c) of the form a + b t + c t²: a board asks at 200,000 points."""
        assert self.uncertainty is not None
        each = (self.by_own, self.by_family, self.uncertainty)
        return tuple((float(m[0, 0]), float(m[0, 1] + m[1, 0]), float(m[1, 1])) for m in each)

    def freedom(self, tx: float) -> float:
        """Degrees of freedom of an unseen model's distance from the line at `tx`: Satterthwaite, of its variance's estimate."""
        return float(self.freedoms(np.float64(tx)))

    def freedoms(self, tx: Floats | np.float64) -> Floats:
        """`freedom` at each of tx."""
        if self.uncertainty is None:
            return np.full(np.shape(tx), float(self.n - 2))
        by_own, by_family, (a, b, c) = self._forms
        own = 1.0 + by_own[0] + by_own[1] * tx + by_own[2] * tx * tx
        family = 1.0 + by_family[0] + by_family[1] * tx + by_family[2] * tx * tx
        variance = a * own * own + b * own * family + c * family * family
        total = own * self.own + family * self.family
        with np.errstate(divide="ignore", invalid="ignore"):
            freedom = np.maximum(1.0, 2 * np.square(total) / variance)
        return np.asarray(np.where(variance > 0, freedom, float(self.n - 2)))


def components(x: Floats, residuals: Floats, families: NDArray[np.int64]) -> Components:
    """x, residuals (N,) on the scale; families (N,) indices from 0. N must be at least 3.

    Where every model is its own family, or all are one, the two variances cannot be told apart: all of it is `own`.
    """
    n, groups = len(x), int(families.max()) + 1
    design = np.column_stack([np.ones(n), x])
    inverse = np.linalg.inv(design.T @ design)
    sums = np.zeros((groups, 2))
    np.add.at(sums, families, design)
    total = float(residuals @ residuals)
    if groups in (1, n) or total == 0.0:
        return Components(total / (n - 2), 0.0, inverse, np.zeros((2, 2)), None, n)
    projected = np.diag(np.bincount(families).astype(np.float64)) - sums @ inverse @ sums.T
    weights, vectors = np.linalg.eigh(projected)
    kept = weights > 1e-9 * weights.max()
    weights, vectors = weights[kept], vectors[:, kept]
    by_family = np.bincount(families, weights=residuals, minlength=groups)
    squares = (vectors.T @ by_family) ** 2 / weights
    rest, others = max(total - float(squares.sum()), 0.0), n - 2 - len(weights)
    ratio = _ratio(weights, squares, rest, n - 2)
    own = (float((squares / (1 + ratio * weights)).sum()) + rest) / (n - 2)
    family = ratio * own
    spread = sums @ inverse
    return Components(own, family, inverse, spread.T @ spread, _uncertainty(own, family, weights, others), n)


def _ratio(weights: Floats, squares: Floats, rest: float, freedom: int) -> float:
    """The ratio of family to own variance of least restricted deviance; 0 where none is better than none."""

    def deviance(ratio: Floats) -> Floats:
        grown = 1 + np.multiply.outer(ratio, weights)
        own = ((squares / grown).sum(axis=1) + rest) / freedom
        return np.asarray(freedom * np.log(np.maximum(own, 1e-300)) + np.log(grown).sum(axis=1), dtype=np.float64)

    grid = np.exp(np.linspace(-8, 8, RATIOS))
    for _ in range(4):  # each pass narrows the neighbourhood of the best ratio by forty
        values = deviance(grid)
        best = int(values.argmin())
        low, high = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
        grid = np.exp(np.linspace(math.log(low), math.log(high), RATIOS))
    ends = np.array([0.0, float(grid[RATIOS // 2])])
    return float(ends[int(deviance(ends).argmin())])


def _uncertainty(own: float, family: float, weights: Floats, others: int) -> Floats | None:
    """(2, 2) asymptotic covariance of the two estimates."""
    if own <= 0:
        return None
    variances = own + family * weights
    of_own = float((1 / variances**2).sum()) + others / own**2
    both, of_family = float((weights / variances**2).sum()), float((weights**2 / variances**2).sum())
    return np.asarray(np.linalg.pinv(np.array([[of_own, both], [both, of_family]]) / 2), dtype=np.float64)
