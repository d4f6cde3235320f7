"""Preconditioned L-BFGS on a stack of convex problems, stopped by the relative gap to their optima.

Every round evaluates one trial point of each unfinished problem: those that fell enough move on, the others shorten their
step. Knows no features and no softmax; needs an objective, a metric, and how small a gap is asked for.

Stopping. The gap f - f* is estimated, not certified, as the larger of two numbers: SAFETY times the quasi-Newton decrement
-g'd / 2 (exact where the model of the Hessian is), and Aitken's extrapolation of the last falls of f (which sees slow
directions that the model does not). It stops at gap <= tol x f. A problem that no longer moves has
reached the rounding floor of its arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

import torch

from effrob.heads.metric import ClassMetric, Measure, Metric
from effrob.heads.softmax import Evaluation, Moments

SAFETY = 5.0  # decrement of the model against the true gap: 1 to 20 seen, 20 only where Aitken's number is the larger
LOOSE = 1e9  # strong convexity's bound against the true gap: 2 to 40 seen, the more the weaker the penalty
WINDOW = 4  # accepted steps, at least, in each of the two falls that are compared
SHARE = 8  # ... and this part of all steps: where many were needed, a few of them tell too little of the rate
REFRESH = (1, 6, 16, 40, 90)  # accepted rounds after which the metric is measured again, while much is left to do
FAR = 1e3  # "much": the estimated gap is this many times what is asked
ROUNDING = {torch.float32: 1e-8, torch.float64: 1e-14}  # relative noise of a value summed over rows

SHORTEST = 1e-7  # step, of a whole one, at which a direction is given up
RESCUES = 2  # times a problem may start again from where it stands, with no memory and a cautious metric

Reason = Literal["gap", "rounding", "cap"]


class Objective(Protocol):
    """A stack of convex functions of theta (p, K, D + 1) float64; `ids` (p,) says which of the stack are asked."""

    def evaluate(self, theta: torch.Tensor, ids: torch.Tensor) -> Evaluation: ...

    def moments(self, theta: torch.Tensor, ids: torch.Tensor) -> Moments: ...


@dataclass(frozen=True)
class Minimum:
    """Where one problem ended: theta (K, D + 1), f, its gradient, evaluations spent, estimated relative gap, why it stopped."""

    theta: torch.Tensor
    value: float
    gradient: torch.Tensor
    evaluations: int
    gap: float
    reason: Reason


@dataclass
class _Run:
    """The unfinished problems: every tensor has one row for each."""

    ids: torch.Tensor
    theta: torch.Tensor
    value: torch.Tensor
    gradient: torch.Tensor
    metric: Metric
    slope: torch.Tensor
    direction: torch.Tensor
    step: torch.Tensor
    best: torch.Tensor  # the least decrement seen, and the rounds since
    idle: torch.Tensor
    rescues: torch.Tensor
    falls: list[torch.Tensor] = field(default_factory=list)
    pairs: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = field(default_factory=list)

    def keep(self, kept: torch.Tensor) -> None:
        """Drop the finished problems."""
        for name in ("ids", "theta", "value", "gradient", "slope", "direction", "step", "best", "idle", "rescues"):
            setattr(self, name, getattr(self, name)[kept])
        self.metric = self.metric.part(kept)
        self.falls = [f[kept] for f in self.falls]
        self.pairs = [(s[kept], y[kept], r[kept]) for s, y, r in self.pairs]


def _dot(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.einsum("pn,pn->p", a.flatten(1), b.flatten(1))


def _direction(run: _Run, dtype: torch.dtype) -> torch.Tensor:
    """Minus the L-BFGS inverse Hessian times the gradient; a pair with r = 0 (no curvature was learned) takes no part."""
    q = run.gradient.to(dtype)
    taken = []
    for s, y, r in reversed(run.pairs):
        a = r * _dot(s, q)
        taken.append(a)
        q = q - a[:, None, None] * y
    q = run.metric.apply(q)
    if run.pairs:
        s, y, r = run.pairs[-1]
        length = _dot(run.metric.apply(y), y)
        fit = torch.where((r > 0) & (length > 0), 1.0 / (r * length), 1.0)
        q = q * torch.where(torch.isfinite(fit), fit, 1.0)[:, None, None]
    for (s, y, r), a in zip(run.pairs, reversed(taken)):
        q = q + (a - r * _dot(y, q))[:, None, None] * s
    return -q.double()


def _gap(run: _Run, penalty: torch.Tensor) -> torch.Tensor:
    """Estimated relative gap (p,)."""
    size = run.value.abs().clamp_min(torch.finfo(torch.float64).tiny)
    steep = run.gradient[..., :-1].square().sum((1, 2)) / (2 * penalty[run.ids])
    gap = torch.maximum(-SAFETY * run.slope / 2, steep / LOOSE) / size
    window = max(WINDOW, (len(run.falls) - 1) // SHARE)
    if len(run.falls) > 2 * window:
        before, now = run.falls[-1 - 2 * window] - run.falls[-1 - window], run.falls[-1 - window] - run.value
        rate = torch.where(before > 0, now / before, 0.0).clamp(0.0, 0.95)
        gap = torch.maximum(gap, now.clamp_min(0) * rate / (1 - rate) / size)
    return gap


def minimise(
    objective: Objective,
    start: torch.Tensor,
    metric: Metric | None,
    penalty: torch.Tensor,
    *,
    tol: float,
    max_evaluations: int,
    dtype: torch.dtype,
    memory: int = 10,
    measure: Measure = ClassMetric.of,
    watch: Callable[[int, float], None] = lambda evaluations, gap: None,
) -> tuple[list[Minimum], Metric]:
    """Minimise P problems from `start` (P, K, D + 1) float64; `metric` None is measured at the start.

    Returns the minima in order and the last metric. `watch` hears evaluations so far and the largest gap.
    """
    ids = torch.arange(len(start), device=start.device)
    value, gradient = objective.evaluate(start, ids)
    if metric is None:
        metric = measure(objective.moments(start, ids), penalty, dtype)
    one = torch.ones_like(value)
    run = _Run(ids, start.clone(), value, gradient, metric, -one, gradient, one, torch.inf * one, 0 * one, 0 * one)
    run.direction = _direction(run, dtype)
    run.slope = (run.gradient * run.direction).sum((1, 2))
    run.falls.append(run.value)
    minima: dict[int, Minimum] = {}
    evaluations, accepted, last = 1, 0, metric
    noise = ROUNDING[dtype]
    while True:
        gap = _gap(run, penalty)
        watch(evaluations, float(gap.max()))
        better = -run.slope < 0.7 * run.best
        run.idle = torch.where(better, 0.0, run.idle + 1)
        run.best = torch.where(better, -run.slope, run.best)
        flat = run.falls[max(0, len(run.falls) - 1 - 2 * WINDOW)] - run.value <= noise * run.value
        lost = (run.step < SHORTEST) | ~(run.slope < 0)
        if bool((lost & (run.rescues < RESCUES) & (gap > tol)).any()):
            _rescue(run, lost & (run.rescues < RESCUES) & (gap > tol), dtype)
            lost = ~(run.slope < 0)
        stuck = ((run.idle > 3 * WINDOW) & flat) | lost
        done = (gap <= tol) | stuck | torch.tensor(evaluations >= max_evaluations, device=gap.device)
        for place in done.nonzero()[:, 0].tolist():
            reason: Reason = "gap" if gap[place] <= tol else "rounding" if stuck[place] else "cap"
            minima[int(run.ids[place])] = Minimum(
                run.theta[place], float(run.value[place]), run.gradient[place], evaluations, float(gap[place]), reason
            )
        if bool(done.all()):
            return [minima[i] for i in range(len(start))], last
        if bool(done.any()):
            run.keep(~done)
        trial = run.theta + run.step[:, None, None] * run.direction
        value, gradient = objective.evaluate(trial, run.ids)
        evaluations += 1
        fall = run.value - value
        ok = fall >= -1e-4 * run.step * run.slope - noise * run.value.abs()
        ok &= torch.isfinite(value)
        if bool(ok.any()):
            _accept(run, ok, trial, value, gradient, memory, dtype)
            accepted += 1
            if accepted in REFRESH and bool((_gap(run, penalty) > FAR * tol).any()):
                run.metric = measure(objective.moments(run.theta, run.ids), penalty[run.ids], dtype)
                last = run.metric if len(run.ids) == len(start) else last
            fresh = _direction(run, dtype)
            run.direction = torch.where(ok[:, None, None], fresh, run.direction)
            run.slope = (run.gradient * run.direction).sum((1, 2))
        curve = (fall + run.step * run.slope).neg()  # f(trial) - f - t f', for the parabola through the failed trial
        shorter = (-run.slope * run.step / (2 * curve)).nan_to_num(0.1).clamp(0.1, 0.5)
        run.step = torch.where(ok, 1.0, run.step * shorter)


def _rescue(run: _Run, lost: torch.Tensor, dtype: torch.dtype) -> None:
    """Let the problems `lost` forget their pairs and go on with a cautious metric."""
    run.metric = run.metric.cautious(lost)
    run.pairs = [(s, y, torch.where(lost, 0.0, r)) for s, y, r in run.pairs]
    fresh = _direction(run, dtype)
    run.direction = torch.where(lost[:, None, None], fresh, run.direction)
    run.slope = (run.gradient * run.direction).sum((1, 2))
    run.step = torch.where(lost, 1.0, run.step)
    run.rescues = run.rescues + lost


def _accept(
    run: _Run,
    ok: torch.Tensor,
    trial: torch.Tensor,
    value: torch.Tensor,
    gradient: torch.Tensor,
    memory: int,
    dtype: torch.dtype,
) -> None:
    """Move the problems `ok` to their trial points and learn a curvature pair from each."""
    s, y = (trial - run.theta).to(dtype), (gradient - run.gradient).to(dtype)
    curvature = _dot(s, y)
    useful = ok & (curvature > torch.finfo(dtype).tiny)
    rate = torch.where(useful, 1.0 / curvature, 0.0)
    if bool(useful.any()):
        run.pairs.append((s, torch.where(useful[:, None, None], y, 0.0), torch.where(torch.isfinite(rate), rate, 0.0)))
        del run.pairs[:-memory]
    run.theta = torch.where(ok[:, None, None], trial, run.theta)
    run.gradient = torch.where(ok[:, None, None], gradient, run.gradient)
    run.value = torch.where(ok, value, run.value)
    run.falls.append(run.value)
