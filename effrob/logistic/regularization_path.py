"""Multinomial logistic regression at several strengths C, fitted from the strongest penalty to the weakest.

The objective is scikit-learn's: C x sum of weight x loss + ½ ||W||², the intercept free; for two classes the penalty is on the
one difference of their rows. Strength means C: a larger one is a weaker penalty. Compare scikit-learn's
`_logistic_regression_path`. What differs: a strength starts from a combination of the last three optima (`warm_start`), so a
path costs little more than its weakest member; the first one is led in to by stronger penalties, on a part of the rows where
they are many; and a relative gap to the optimum stops a fit. `NewtonCG` solves where N x K probabilities are kept, `LBFGS`
beyond (docs/decisions/007); for few shots heads/few_shot.py has `NonlinearCG`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from effrob.logistic.feature_blocks import FeatureBlocks, RowSpace
from effrob.logistic.in_memory_loss import InMemoryLoss
from effrob.logistic.lbfgs import LBFGS
from effrob.logistic.losses import IN_MEMORY_LIMIT, Iterate, squared_weights
from effrob.logistic.newton_cg import NewtonCG
from effrob.logistic.solution import Minimum, ProbePoint, memory_bound, probe_point, softmax_strength
from effrob.logistic.streamed_loss import StreamedLoss
from effrob.logistic.warm_start import LEAD_IN_TOL, WarmStart, lead_in

Solver = NewtonCG | LBFGS  # each has its loss
Labels = NDArray[np.int64]
Weights = NDArray[np.float64] | None

DEFAULT_TOL = 5e-7  # relative gap: half of the 1e-6 by which objectives may differ from scikit-learn's best
CURVATURE_ROWS = 8, 32  # rows a feature, or a class, whichever is more, that streamed rows' curvature is measured on
LEAD_IN_ROWS = 4, 16  # likewise, that a lead-in is fitted on where there are twice as many,
MIN_LEAD_IN_ROWS = 1024  # and so many at least
MIN_COMBINE_ROWS = 512  # rows in memory that combine the optima of streamed ones: of fewer, the combination is linear
MAX_LOSS_RATIO = 5.0  # other rows' loss over the lead-in's rows', at its end: above, the lead-in is made again on all
RESTART_GAP = 1e-2  # relative gap above which a fit stopped short of tol is made again from zero weights, on all rows
MIN_RESTART_EVALUATIONS = 500  # max_evaluations under which that is not tried


@dataclass(frozen=True)
class FitSettings:
    """tol  relative gap to stop at;  max_evaluations  passes a solve, lead-ins counted; a restart has as many again, and a
    fit that ends above `tol` and DEFAULT_TOL warns;  progress  a bar;  seed  of the rows drawn."""

    tol: float = DEFAULT_TOL
    max_evaluations: int = 1000
    progress: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.tol < np.inf:
            raise ValueError(f"the tolerance must be finite and above 0, and it was {self.tol}")


def fit_path(
    features: FeatureBlocks,
    labels: Labels,
    n_classes: int,
    strengths: Sequence[float],
    *,
    weights: Weights = None,
    start: ProbePoint | None = None,
    settings: FitSettings = FitSettings(),
) -> list[ProbePoint]:
    """Every strength C, in the order of `strengths`. Parameters as `RegularizationPath` has them."""
    path = RegularizationPath(features, labels, n_classes, weights, settings)
    by_strength = {point.report.C: point for point in path.points(strengths, start)}
    return [by_strength[float(c)] for c in strengths]


def check_strengths(strengths: Sequence[float]) -> list[float]:
    """Floats, in the order given. Raises ValueError where one is not a finite positive number, or there are none."""
    values = [float(c) for c in strengths]
    if not values or not all(math.isfinite(c) and c > 0 for c in values):
        raise ValueError(f"C must be finite and above 0, and it was {values if values else 'an empty list'}")
    return values


def check_labels(labels: Labels, n_rows: int, n_classes: int, weights: Weights) -> None:
    """Raises ValueError for no rows, lengths that differ, labels out of range, one class, and classes without weight."""
    if n_rows == 0:
        raise ValueError("a probe needs at least one row of features, and there are none")
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"labels must be whole numbers, the places of classes, and these are {labels.dtype}")
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
        raise ValueError(
            f"{len(missing)} of {n_classes} classes have no training row ({shown}): the free intercept has no optimum"
        )


class RegularizationPath:
    """The rows, the solvers on all and on some of them, and the last optima.

    labels (N,) in 0..n_classes-1, weights (N,) >= 0. Float32 features that cannot reach the tolerance are finished in
    float64. Raises ValueError as `check_labels` does.
    """

    def __init__(
        self,
        features: FeatureBlocks,
        labels: Labels,
        n_classes: int,
        weights: Weights = None,
        settings: FitSettings = FitSettings(),
    ) -> None:
        check_labels(labels, len(features), n_classes, weights)
        self.space, self.n_classes, self.settings = RowSpace.of(features, weights), n_classes, settings
        self.blocks = self.space.blocks
        self.bar: tqdm[float] = tqdm(disable=True)
        device = self.blocks.device
        self.y = torch.from_numpy(labels).to(device)
        self.w = None if weights is None else torch.from_numpy(weights).to(device)
        self.total = float(len(labels)) if weights is None else float(weights.sum())
        self.prior = np.bincount(labels, weights, minlength=n_classes) / self.total
        self.warm = WarmStart()
        self.subset: Solver | None = None  # for lead-ins
        self.other_rows: InMemoryLoss | None = None  # rows that are not in the subset, where not all are in memory
        weighted = np.arange(len(labels)) if weights is None else np.flatnonzero(weights)
        wanted = max(LEAD_IN_ROWS[0] * self.blocks.dimension, LEAD_IN_ROWS[1] * n_classes, MIN_LEAD_IN_ROWS)
        if len(weighted) >= 2 * wanted:
            drawn = np.random.default_rng(settings.seed).permutation(weighted)
            limit = IN_MEMORY_LIMIT.get(device.type, 0) // (4 * n_classes)
            if not self._fits(len(labels), self.blocks.resident is not None) and limit >= MIN_COMBINE_ROWS:
                self.other_rows = self._in_memory(np.sort(drawn[wanted : wanted + limit]))
            lacking = np.setdiff1d(np.arange(n_classes), labels[drawn[:wanted]])
            added = [np.flatnonzero(labels[drawn] == one)[0] for one in lacking]  # a class without a row has no optimum
            self.subset = self._solver(np.sort(np.concatenate([drawn[:wanted], drawn[added]])))
        self.full = self._solver()

    def points(self, strengths: Sequence[float], start: ProbePoint | None = None) -> Iterator[ProbePoint]:
        """One by one, from the strongest penalty to the weakest, so that a caller can stop early; `start` warms the first."""
        ascending = sorted(set(check_strengths(strengths)))
        with tqdm(ascending, desc="probe", unit="C", disable=not self.settings.progress) as self.bar:
            for c in self.bar:
                minimum = self._fit(c, start)
                if minimum.reason != "gap" and minimum.gap > max(self.settings.tol, DEFAULT_TOL):
                    from sklearn.exceptions import ConvergenceWarning  # which is slow to import

                    ended = f"stopped after {minimum.evaluations} evaluations, relative gap near {minimum.gap:.1e}"
                    warnings.warn(f"the probe at C = {c:g} {ended}", ConvergenceWarning, stacklevel=3)
                bound = memory_bound(self.blocks, self.n_classes, self.space.basis)
                yield probe_point(minimum, self.space, c, self.n_classes, self.total, self.blocks.dtype, bound)

    def _fits(self, n: int, resident: bool) -> bool:
        return resident and n * self.n_classes <= IN_MEMORY_LIMIT.get(self.y.device.type, 0)

    def _solver(self, places: NDArray[np.int64] | None = None) -> Solver:
        """For all rows, or for those at these places."""
        n = len(self.blocks) if places is None else len(places)
        if self._fits(n, self.blocks.resident is not None or places is not None):
            return NewtonCG(self._in_memory(places))
        blocks = self.blocks
        if places is not None:
            rows = places if blocks.rows is None else blocks.rows[places]
            blocks = replace(blocks, rows=rows, resident=blocks.take(places))
        y, w = self._targets(places)
        total = float(len(y)) if w is None else float(w.sum())
        wanted = max(CURVATURE_ROWS[0] * blocks.dimension, CURVATURE_ROWS[1] * self.n_classes)
        sample = None
        if len(y) > wanted:
            sample = np.sort(np.random.default_rng(self.settings.seed).choice(len(y), wanted, replace=False))
        # a lead-in's value is not reported, so it is not evaluated exactly
        return LBFGS(StreamedLoss(blocks, y, w, total, sample, self.other_rows), exact_value=places is None)

    def _in_memory(self, places: NDArray[np.int64] | None) -> InMemoryLoss:
        blocks, (y, w) = self.blocks, self._targets(places)
        x = blocks.take(slice(None) if places is None else places)
        return InMemoryLoss(x, y, w, blocks.scale, self.n_classes, blocks.block_rows)

    def _targets(self, places: NDArray[np.int64] | None) -> tuple[Tensor, Tensor | None]:
        at = slice(None) if places is None else torch.from_numpy(places).to(self.y.device)
        return self.y[at], None if self.w is None else self.w[at]

    def _initial(self, start: ProbePoint | None) -> Tensor:
        """theta (K, D + 1): the given point, or no weights and the intercepts of the class frequencies."""
        theta = np.zeros((self.n_classes, self.blocks.dimension + 1))
        if start is None:
            theta[:, -1] = np.log(self.prior) - np.log(self.prior).mean()
        else:
            theta[:, :-1], theta[:, -1] = self.space.from_features(start.coef, start.intercept)
            theta[:, :-1] *= (self.blocks.scale > 0).cpu().numpy()  # no step could remove a constant feature's weight
        return torch.from_numpy(theta).to(self.blocks.device)

    def _fit(self, c: float, start: ProbePoint | None) -> Minimum:
        """A strength that was asked for, led in to where needed; led in to by all rows and fitted again where it failed."""
        tol, size = self.settings.tol, self.total * self.blocks.spread
        least, most = c * self.total * self.blocks.unit**2, c * max(size, self.total * self.blocks.unit**2)
        if not (least > 0 and most < math.inf):
            raise ValueError(
                f"C = {c:g} with features near {self.blocks.unit:g} is beyond float64: rescale one of them"
            )
        before = self.warm.optima[-1].c if self.warm.optima else None if start is None else c
        spent = 0
        for strength in lead_in(c, size, self.n_classes, before):
            spent += self._solve(strength, LEAD_IN_TOL, start, on_subset=before is None).evaluations
        if before is None and spent and self.subset is not None and self._subset_overfits(self.subset):
            spent += self._lead_in_on_all(c, size)
        minimum = self._solve(c, tol, start, spent)
        restart = self.settings.max_evaluations >= MIN_RESTART_EVALUATIONS
        if minimum.reason == "gap" or minimum.gap <= RESTART_GAP or not restart:
            return minimum
        again = self._solve(c, tol, None, self._lead_in_on_all(c, size), restarted=True)
        best = again if again.value <= minimum.value else minimum
        return replace(best, evaluations=minimum.evaluations + again.evaluations)

    def _lead_in_on_all(self, c: float, size: float) -> int:
        """Forget the optima, and lead in to c from zero weights on all rows; evaluations spent."""
        self.warm = WarmStart()
        return sum(self._solve(one, LEAD_IN_TOL, None).evaluations for one in lead_in(c, size, self.n_classes))

    def _subset_overfits(self, subset: Solver) -> bool:
        """Whether rows in general lose far more at the last optimum than the subset it was fitted on."""
        last = self.warm.optima[-1]
        theta, penalty = last.iterate.theta, self._penalty(last.c)
        penalised = penalty / 2 * squared_weights(theta)
        general = (self.other_rows or self.full.loss).value(theta, penalty) - penalised
        return not general <= MAX_LOSS_RATIO * (subset.loss.value(theta, penalty) - penalised)

    def _solve(
        self,
        c: float,
        tol: float,
        start: ProbePoint | None,
        spent: int = 0,
        on_subset: bool = False,
        restarted: bool = False,
    ) -> Minimum:
        """One strength from the warm start; from here on in float64 where float32 stops making progress first.

        spent: evaluations of the lead-in, which count. Far from the optimum a restart comes before float64.
        """
        solver = self.subset if on_subset and self.subset is not None else self.full
        penalty = self._penalty(c)
        if self.warm.optima:
            iterate = self.warm.start(solver.loss, c, penalty)
        else:
            iterate = Iterate(self._initial(None))
            given = None if start is None else self._initial(start)  # which may be worse than zero weights
            if given is not None and solver.loss.value(given, penalty) < solver.loss.value(iterate.theta, penalty):
                iterate = Iterate(given)
        minimum = self._minimize(solver, iterate, c, tol, spent)
        near = minimum.gap <= RESTART_GAP or tol >= LEAD_IN_TOL or restarted
        if minimum.reason == "rounding" and near and solver is self.full and self.blocks.dtype != torch.float64:
            self.blocks = self.blocks.in_dtype(torch.float64)
            self.warm.forget_logits()
            self.full = solver = self._solver()
            minimum = self._minimize(solver, Iterate(minimum.theta), c, tol, minimum.evaluations)
        on_all = solver is self.full
        self.warm.add(c, solver.loss.iterate(minimum.theta) if on_all else Iterate(minimum.theta), tol)
        return minimum

    def _penalty(self, c: float) -> float:
        """On the mean loss, in the units of the solver's features."""
        return 1.0 / (softmax_strength(c, self.n_classes) * self.total * self.blocks.unit**2)

    def _minimize(self, solver: Solver, start: Iterate, c: float, tol: float, spent: int) -> Minimum:
        def callback(n: int, gap: float) -> None:
            self.bar.set_postfix_str(f"C={c:g}, {n} passes, gap {gap:.0e}", refresh=False)

        most = max(1, self.settings.max_evaluations - spent)
        minimum = solver.minimize(start, self._penalty(c), tol, most, callback)
        return replace(minimum, evaluations=minimum.evaluations + spent)
