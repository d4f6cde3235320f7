"""Multinomial logistic regression on feature blocks, at every strength asked, walked from strong to weak penalty.

Objective, scikit-learn's: C x Σ weight x loss + ½ ||W||², the intercept free; for two classes the penalty is on their
one difference. Each strength starts from the best mixture of the last three optima, so a path costs little more than its
weakest member. Newton's method where rows and classes are few enough to keep their probabilities, L-BFGS on streamed rows
beyond. Knows no estimator, no cache and no files.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from effrob.logistic.feature_blocks import FeatureBlocks, RowSpace
from effrob.logistic.in_memory_loss import CELLS, InMemoryLoss
from effrob.logistic.lbfgs import minimise
from effrob.logistic.newton_cg import Minimum, newton
from effrob.logistic.solution import ProbePoint, memory_bound, point_of, softmax_strength
from effrob.logistic.streamed_loss import StreamedLoss
from effrob.logistic.validation import check_labels, check_strengths
from effrob.logistic.warm_start import ROUGH, Trail, lead_in

TOL = 5e-7
BLENDED = 512  # rows that a start is mixed by at least, where it is not by all
COARSE = 1e-2  # relative gap that products in few digits can tell
SAMPLE = (8, 32)  # rows a feature, or a class, whichever is more, that curvature of streamed rows is measured on
FEW = (4, 16)  # ... and that strengths on the way from nothing are fitted on, where there are twice as many
LEAST = 1024  # of those, at least
MISLED = 5.0  # x the loss of the few rows a place was fitted on: all rows' there from which it is not believed
PATIENT = 500  # evaluations allowed from which such a fit may begin once more
ASTRAY = 1e-2  # relative gap that a fit which no longer moves must be near, or it begins once more from nothing


@dataclass(frozen=True)
class Rules:
    """When a fit stops, and what it shows.

    tol              relative gap to the optimum;  max_evaluations  of one strength, a safety: reached above TOL, it warns
    progress         a bar;  seed  of the rows that strengths on the way from nothing are fitted on
    """

    tol: float = TOL
    max_evaluations: int = 1000
    progress: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.tol < np.inf:
            raise ValueError(f"the tolerance must be finite and above 0, and it was {self.tol}")


def fit_path(
    features: FeatureBlocks,
    labels: NDArray[np.int64],
    n_classes: int,
    strengths: Sequence[float],
    *,
    weights: NDArray[np.float64] | None = None,
    start: ProbePoint | None = None,
    rules: Rules = Rules(),
) -> list[ProbePoint]:
    """Fit every strength C; points in the order of `strengths`.

    labels (N,) in 0..n_classes-1, weights (N,) >= 0. Float32 features that cannot reach the tolerance are finished in
    float64. `start` warms the first strength. Raises ValueError as `check_labels` does.
    """
    walked = walk_path(features, labels, n_classes, strengths, weights=weights, start=start, rules=rules)
    found = {point.report.C: point for point in walked}
    return [found[float(c)] for c in strengths]


def walk_path(
    features: FeatureBlocks,
    labels: NDArray[np.int64],
    n_classes: int,
    strengths: Sequence[float],
    *,
    weights: NDArray[np.float64] | None = None,
    start: ProbePoint | None = None,
    rules: Rules = Rules(),
) -> Iterator[ProbePoint]:
    """The same points one by one, from the strongest penalty to the weakest: who has seen enough stops asking."""
    order = sorted(set(check_strengths(strengths)))
    check_labels(labels, len(features), n_classes, weights)
    walk = _Walk(RowSpace.of(features, weights), labels, n_classes, weights, rules)
    with tqdm(order, desc="probe", unit="C", disable=not rules.progress) as walk.bar:
        for c in walk.bar:
            done = walk.walked(c, start)
            if done.reason != "gap" and done.gap > max(rules.tol, TOL):
                warn_short(c, done)
            yield walk.point(done, c)


def warn_short(c: float, done: Minimum) -> None:
    """Say of a fit that it stopped before its optimum."""
    told = f"the probe at C = {c:g} stopped after {done.evaluations} evaluations, relative gap near {done.gap:.1e}"
    warnings.warn(told, _convergence_warning(), stacklevel=4)


def _convergence_warning() -> type[Warning]:
    from sklearn.exceptions import ConvergenceWarning

    return ConvergenceWarning  # type: ignore[no-any-return]


@dataclass(frozen=True)
class _Last:
    """Where the strength before ended: theta and its gradient (K, D + 1) under `penalty`."""

    loss: StreamedLoss
    theta: torch.Tensor
    gradient: torch.Tensor
    penalty: float

    def under(self, penalty: float) -> tuple[torch.Tensor, torch.Tensor]:
        """theta, and its gradient under another penalty."""
        gradient = self.gradient.clone()
        gradient[:, :-1] += (penalty - self.penalty) * self.theta[:, :-1]
        return self.theta, gradient


class _Walk:
    """One path in progress: the rows, and those of them that lead there."""

    def __init__(
        self,
        space: RowSpace,
        labels: NDArray[np.int64],
        n_classes: int,
        weights: NDArray[np.float64] | None,
        rules: Rules,
    ) -> None:
        self.space, self.blocks, self.n_classes, self.rules = space, space.blocks, n_classes, rules
        self.bar: tqdm[float] = tqdm(disable=True)
        device = self.blocks.device
        self.y = torch.from_numpy(labels).to(device)
        self.w = None if weights is None else torch.from_numpy(weights).to(device)
        self.mass = float(len(labels)) if weights is None else float(weights.sum())
        self.prior = np.bincount(labels, weights, minlength=n_classes) / self.mass
        self.trail = Trail()
        self.last: _Last | None = None
        self.whole = self._loss()
        self.few: InMemoryLoss | StreamedLoss | None = None
        self.others: InMemoryLoss | None = None  # rows that no strength was fitted on alone
        heavy = np.arange(len(labels)) if weights is None else np.flatnonzero(weights)
        wanted = max(FEW[0] * self.blocks.dimension, FEW[1] * n_classes, LEAST)
        if len(heavy) >= 2 * wanted:
            drawn = np.random.default_rng(rules.seed).permutation(heavy)
            lacking = np.setdiff1d(np.arange(n_classes), labels[drawn[:wanted]])
            lent = [np.flatnonzero(labels[drawn] == one)[0] for one in lacking]  # a class without a row has no optimum
            self.few = self._loss(np.sort(np.concatenate([drawn[:wanted], drawn[lent]])))
            most = CELLS.get(device.type, 0) // (4 * n_classes)
            if isinstance(self.whole, StreamedLoss) and most >= BLENDED:
                self.others = self._kept(np.sort(drawn[wanted : wanted + most]))

    def _loss(self, places: NDArray[np.int64] | None = None) -> InMemoryLoss | StreamedLoss:
        """The loss of all rows, or of those at these places; its penalty is set by strength."""
        n = len(self.blocks) if places is None else len(places)
        held = self.blocks.resident is not None or places is not None
        if held and n * self.n_classes <= CELLS.get(self.y.device.type, 0):
            return self._kept(places)
        blocks, y, w = self.blocks, self.y, self.w
        if places is not None:
            at = torch.from_numpy(places).to(y.device)
            blocks = blocks.changed(
                rows=places if blocks.rows is None else blocks.rows[places], resident=blocks.take(places)
            )
            y, w = y[at], None if w is None else w[at]
        total = float(len(y)) if w is None else float(w.sum())
        wanted = max(SAMPLE[0] * blocks.dimension, SAMPLE[1] * self.n_classes)
        sample = None
        if len(y) > wanted:
            sample = np.sort(np.random.default_rng(self.rules.seed).choice(len(y), wanted, replace=False))
        return StreamedLoss(blocks, y, w, total, 1.0, sample)

    def _kept(self, places: NDArray[np.int64] | None) -> InMemoryLoss:
        blocks, y, w = self.blocks, self.y, self.w
        x = blocks.resident if places is None else blocks.take(places)
        if places is not None:
            at = torch.from_numpy(places).to(y.device)
            y, w = y[at], None if w is None else w[at]
        assert x is not None
        return InMemoryLoss(x, y, w, 1.0, blocks.scale, self.n_classes, blocks.block_rows)

    def origin(self, start: ProbePoint | None) -> torch.Tensor:
        """(K, D + 1): the given point, or no weights and the intercepts of the class frequencies."""
        theta = np.zeros((self.n_classes, self.blocks.dimension + 1))
        if start is None:
            theta[:, -1] = np.log(self.prior) - np.log(self.prior).mean()
        else:
            theta[:, :-1], theta[:, -1] = self.space.inward(start.coef, start.intercept)
            theta[:, :-1] *= (self.blocks.scale > 0).cpu().numpy()  # no step could take what a constant feature has
        return torch.from_numpy(theta).to(self.blocks.device)

    def walked(self, c: float, start: ProbePoint | None) -> Minimum:
        """A strength that was asked for, and those on the way to it; from nothing once more where it went astray."""
        tol, size = self.rules.tol, self.mass * self.blocks.spread
        least, most = c * self.mass * self.blocks.unit**2, c * max(size, self.mass * self.blocks.unit**2)
        if not (least > 0 and most < math.inf):
            raise ValueError(
                f"C = {c:g} with features near {self.blocks.unit:g} is beyond float64: rescale one of them"
            )
        before = self.trail.seen[-1].c if self.trail.seen else None if start is None else c
        spent = 0
        for led in lead_in(c, size, self.n_classes, before):
            spent += self.solve(led, ROUGH, start, few=before is None).evaluations
        if before is None and spent and self.few is not None and self._misled():
            spent += self._led_by_all(c, size)
        done = self.solve(c, tol, start, spent)
        if done.reason == "gap" or done.gap <= ASTRAY or self.rules.max_evaluations < PATIENT:
            return done
        again = self.solve(c, tol, None, self._led_by_all(c, size), finer=True)
        best = again if again.value <= done.value else done
        return replace(best, evaluations=done.evaluations + again.evaluations)

    def _led_by_all(self, c: float, size: float) -> int:
        """Forget the way so far, and come from nothing to c by all rows; evaluations spent."""
        self.trail = Trail()
        return sum(self.solve(led, ROUGH, None).evaluations for led in lead_in(c, size, self.n_classes))

    def _misled(self) -> bool:
        """Whether rows in general lose far more than the few where the last strength ended."""
        assert self.few is not None
        theta, penalty, judge = self.trail.seen[-1].theta, self.few.penalty, self.others or self.whole
        judge.penalty = penalty
        held = penalty / 2 * float(theta[:, :-1].square().sum())
        few, general = (loss.value(theta) - held for loss in (self.few, judge))
        return not general <= MISLED * few

    def solve(
        self, c: float, tol: float, start: ProbePoint | None, spent: int = 0, few: bool = False, finer: bool = False
    ) -> Minimum:
        """One strength, from where those seen point to; in float64 from here on where float32 reached its floor first.

        `spent` evaluations led here, and count. `few`: of a part of the rows, where there are many. `finer`: so too where
        it stopped far from the optimum, since it began once more already.
        """
        loss = self.few if few and self.few is not None else self.whole
        loss.penalty = self._penalty(c)
        theta, logits = self.trail.ahead(loss, c, self.others) if self.trail.seen else (self.origin(None), None)
        if not self.trail.seen and start is not None:
            given = self.origin(start)  # which may be worse than nothing
            theta = given if loss.evaluate(given).value < loss.evaluate(theta).value else theta
        minimum = self._minimum(loss, theta, logits, c, tol, spent)
        near = minimum.gap <= ASTRAY or tol >= ROUGH or finer
        if minimum.reason == "rounding" and near and loss is self.whole and self.blocks.dtype != torch.float64:
            self.blocks = self.blocks.in_dtype(torch.float64)
            self.trail.forget_places()
            self.whole = loss = self._loss()
            loss.penalty = self._penalty(c)
            minimum = self._minimum(loss, minimum.theta, None, c, tol, minimum.evaluations)
        place = loss.place() if isinstance(loss, InMemoryLoss) and loss is self.whole else None
        self.trail.add(c, minimum.theta, tol, place)
        return minimum

    def _penalty(self, c: float) -> float:
        return 1.0 / (softmax_strength(c, self.n_classes) * self.mass * self.blocks.unit**2)

    def _minimum(
        self,
        loss: InMemoryLoss | StreamedLoss,
        theta: torch.Tensor,
        logits: torch.Tensor | None,
        c: float,
        tol: float,
        spent: int,
    ) -> Minimum:
        def watch(n: int, gap: float) -> None:
            self.bar.set_postfix_str(f"C={c:g}, {n} passes, gap {gap:.0e}", refresh=False)

        most = max(1, self.rules.max_evaluations - spent)
        if isinstance(loss, InMemoryLoss):
            minimum = newton(loss, theta, logits, tol=tol, max_evaluations=most, watch=watch)
        else:
            loss.quick = tol >= COARSE
            known = self.last.under(loss.penalty) if self.last is not None and self.last.loss is loss else None
            minimum = minimise(loss, theta, tol=tol, max_evaluations=most, known=known, watch=watch)
            self.last = _Last(loss, minimum.theta, minimum.gradient, loss.penalty)
            if loss.quick and loss is self.whole:  # what is told of it is exact
                told = loss.value(minimum.theta)
                minimum = replace(minimum, value=told, evaluations=minimum.evaluations + 1)
        return replace(minimum, evaluations=minimum.evaluations + spent)

    def point(self, done: Minimum, c: float) -> ProbePoint:
        """The minimum as coefficients on the features as they were given."""
        bound = memory_bound(self.blocks, self.n_classes, self.space.basis)
        return point_of(done, self.space, c, self.n_classes, self.mass, self.blocks.dtype, bound)
