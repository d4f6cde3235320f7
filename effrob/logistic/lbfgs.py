"""Preconditioned L-BFGS on a convex problem each of whose looks is a pass, stopped by the relative gap to its optimum.

For more rows and classes than Newton's method can keep probabilities of: it asks for nothing but values and gradients, and
every one of them moves it on. Knows no features and no softmax; needs an objective and how small a gap is asked for.

Stopping. The gap f - f* is estimated as the largest of four numbers: SAFETY times the quasi-Newton decrement -g'd / 2 (exact
where the model of the Hessian is), a part of the metric's own decrement (which is not misled by a pair learned far off),
Aitken's extrapolation of the last falls of f (which sees slow directions that no model does), and a seventieth of what strong
convexity makes certain. It stops at gap <= tol x f. A problem that no longer moves has reached its arithmetic's floor.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import torch

from effrob.logistic.newton_cg import ARMIJO, HALF, ROUNDING, SHORTEST, Minimum, Reason, certain
from effrob.logistic.preconditioner import Moments, Preconditioner, even
from effrob.logistic.streamed_loss import Evaluation, dot

SAFETY = 5.0  # decrement of the model against the true gap: 1 to 20 seen, 20 only where Aitken's number is the larger
LONG = 4.0  # the metric's own decrement against the true gap: 1 to 4 where steps are learned to be shorter, 20 far off
WINDOW = 4  # accepted steps, at least, in each of the two falls that are compared
SHARE = 8  # ... and this part of all steps: where many were needed, a few of them tell too little of the rate
REFRESH = (1, 6, 16, 40, 90)  # accepted rounds after which the metric is measured again, while much is left to do
FAR = 1e3  # "much": the estimated gap is this many times what is asked
BEGIN = 0.2  # of a whole step, the first: its curvature was not seen, and along the steepest way it is more than the metric has
LONGER = 2.0  # x the step that was taken, where a whole one was too long: the next to be tried, a whole one at most
RESCUES = 2  # times it may start again from where it stands, with no memory and a cautious metric
PAIRS = 10  # curvature pairs: 5 to 40 take the same number of evaluations


class Objective(Protocol):
    """A convex function of theta (K, D + 1) float64; dtype of its arithmetic."""

    penalty: float

    @property
    def dtype(self) -> torch.dtype: ...

    def evaluate(self, theta: torch.Tensor) -> Evaluation: ...

    def moments(self, theta: torch.Tensor) -> Moments: ...


@dataclass
class _Run:
    """Where it stands, what it learned there, and where to next."""

    theta: torch.Tensor
    value: float
    gradient: torch.Tensor
    metric: Preconditioner
    slope: float = -1.0
    step: float = 1.0
    best: float = math.inf  # the least decrement seen, and the rounds since
    idle: int = 0
    rescues: int = 0
    direction: torch.Tensor = field(default_factory=lambda: torch.empty(0))
    falls: list[float] = field(default_factory=list)
    pairs: list[tuple[torch.Tensor, torch.Tensor, float]] = field(default_factory=list)

    def aim(self, dtype: torch.dtype) -> None:
        """Take a whole step of L-BFGS for the next."""
        self.direction = _direction(self, dtype)
        self.slope, self.step = float((self.gradient * self.direction).sum()), 1.0


def _direction(run: _Run, dtype: torch.dtype) -> torch.Tensor:
    """Minus the L-BFGS inverse Hessian times the gradient."""
    q = run.gradient.to(dtype)
    taken = []
    for s, y, r in reversed(run.pairs):
        taken.append(r * dot(s, q))
        q = q - taken[-1] * y
    q = run.metric.apply(q)
    if run.pairs:
        s, y, r = run.pairs[-1]
        length = dot(run.metric.apply(y), y)
        if length > 0 and math.isfinite(1.0 / (r * length)):
            q = q / (r * length)
    for (s, y, r), a in zip(run.pairs, reversed(taken)):
        q = q + (a - r * dot(y, q)) * s
    return even(-q.double())


def _gap(run: _Run, penalty: float) -> float:
    """Estimated relative gap."""
    plain = run.gradient.to(run.metric.centre.dtype)
    metric = dot(plain, run.metric.apply(plain)) / 2
    gap = max(-SAFETY * run.slope / 2, certain(run.gradient, penalty), metric / LONG)
    window = max(WINDOW, (len(run.falls) - 1) // SHARE)
    if len(run.falls) > 2 * window:
        before, now = run.falls[-1 - 2 * window] - run.falls[-1 - window], run.falls[-1 - window] - run.value
        rate = min(max(now / before, 0.0), 0.95) if before > 0 else 0.0
        gap = max(gap, max(now, 0.0) * rate / (1 - rate))
    gap /= max(abs(run.value), sys.float_info.min)
    return gap if math.isfinite(gap) else math.inf


def minimise(
    objective: Objective,
    start: torch.Tensor,
    *,
    tol: float,
    max_evaluations: int,
    known: tuple[torch.Tensor, torch.Tensor] | None = None,
    watch: Callable[[int, float], None] = lambda evaluations, gap: None,
) -> Minimum:
    """Minimise from `start` (K, D + 1) float64. `watch` hears evaluations so far and the gap.

    `known`: another place and the gradient there, both (K, D + 1): what lies between tells of the curvature.
    """
    dtype, penalty = objective.dtype, objective.penalty
    start = even(start)
    there = objective.evaluate(start)
    run = _Run(start, there.value, there.gradient, Preconditioner.of(objective.moments(start), objective.penalty))
    if known is not None:
        _learn(run, start - known[0], there.gradient - known[1], dtype)
    run.aim(dtype)
    run.step = min(BEGIN, HALF * run.value / -run.slope) if not run.pairs and run.slope < 0 else 1.0
    run.falls.append(run.value)
    evaluations, accepted, noise = 1, 0, ROUNDING[dtype]
    while True:
        gap = _gap(run, penalty)
        watch(evaluations, gap)
        run.idle = 0 if -run.slope < 0.7 * run.best else run.idle + 1
        run.best = -run.slope if run.idle == 0 else run.best
        flat = run.falls[max(0, len(run.falls) - 1 - 2 * WINDOW)] - run.value <= noise * run.value
        lost = run.step < SHORTEST or not run.slope < 0
        if lost and run.rescues < RESCUES and gap > tol:
            run.metric, run.pairs, run.rescues = run.metric.cautious(objective.penalty), [], run.rescues + 1
            run.aim(dtype)
            lost = not run.slope < 0
        stuck = (run.idle > 3 * WINDOW and flat) or lost
        if gap <= tol or stuck or evaluations >= max_evaluations:
            reason: Reason = "gap" if gap <= tol else "rounding" if stuck else "cap"
            return Minimum(run.theta, run.value, run.gradient, evaluations, gap, reason)
        trial = run.theta + run.step * run.direction
        there = objective.evaluate(trial)
        evaluations += 1
        fall = run.value - there.value
        if fall >= -ARMIJO * run.step * run.slope - noise * abs(run.value):
            _accept(run, trial, there, dtype)
            accepted += 1
            if accepted in REFRESH and _gap(run, penalty) > FAR * tol:
                run.metric = Preconditioner.of(objective.moments(run.theta), objective.penalty)
            trusted = min(1.0, LONGER * run.step) if len(run.pairs) > 1 else 1.0
            run.aim(dtype)
            run.step = trusted
        else:  # the parabola through f, its slope and the failed trial
            curve = -(fall + run.step * run.slope)
            shorter = -run.slope * run.step / (2 * curve) if math.isfinite(curve) and curve > 0 else 0.1
            run.step *= min(max(shorter, 0.1), 0.5)


def _learn(run: _Run, s: torch.Tensor, y: torch.Tensor, dtype: torch.dtype) -> None:
    """A curvature pair: a step and the change of the gradient along it."""
    s, y = s.to(dtype), y.to(dtype)
    curvature = dot(s, y)
    if curvature > torch.finfo(dtype).tiny and math.isfinite(1.0 / curvature):
        run.pairs = [*run.pairs[1 - PAIRS :], (s, y, 1.0 / curvature)]


def _accept(run: _Run, trial: torch.Tensor, there: Evaluation, dtype: torch.dtype) -> None:
    """Move to a trial point, and learn from it."""
    _learn(run, trial - run.theta, there.gradient - run.gradient, dtype)
    run.theta, run.value, run.gradient = trial, there.value, there.gradient
    run.falls.append(run.value)
