"""L-BFGS with a preconditioner and a backtracking line search, for a loss of which nothing is kept between passes.

Nocedal and Wright, Numerical Optimization (2006; N&W below), algorithms 7.4 and 7.5. It asks for values and gradients only, and
every pass moves it on, where Newton's method would spend passes on Hessian products. What differs here:

- The initial matrix H0 is softmax's preconditioner, times s'y / y'H0 y of the last pair, measured again while the gap is large.
- From one strength to the next, the change of theta and of its gradient under the new penalty is a first curvature pair.
- Where no step makes progress, it restarts without pairs and with Böhning's largest weight: a heuristic.

Stopping. f - f* is estimated as the largest of four numbers: `decrement_ratio` x -½ g'd, d the full step; ½ g'Mg over
`preconditioner_ratio`, with the preconditioner M ~ the inverse Hessian, which no old pair misleads; Aitken's extrapolation of
the last decreases of f, which sees slow directions that no model does; and `convexity_floor`. It stops where that is tol x f.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, field

import torch
from torch import Tensor

from effrob.logistic.losses import VALUE_NOISE, Iterate, convexity_floor, dot, remove_common
from effrob.logistic.preconditioner import Preconditioner
from effrob.logistic.solution import Callback, Minimum, Reason
from effrob.logistic.streamed_loss import StreamedLoss


@dataclass(frozen=True)
class LBFGSSettings:
    """Dimensionless, but for counts. docs/decisions/007 has what halving or doubling costs, for those that matter."""

    pairs: int = 10  # curvature pairs (s, y)
    low_precision_tol: float = 1e-2  # relative gap from which passes are in bfloat16, which cannot tell smaller ones
    decrement_ratio: float = 5.0  # gap over -½ g'd: 1 to 20 were measured, 20 only where Aitken's number is larger
    preconditioner_ratio: float = 4.0  # ½ g'Mg over the gap: 1 to 4 near the optimum, 20 far from it
    window: int = 4  # steps, at least, in each of the two decreases that Aitken's extrapolation compares,
    window_part: int = 8  # and one in so many of all steps: a few of many tell little of the rate
    remeasure_at: tuple[int, ...] = (1, 6, 16, 40, 90)  # steps after which the preconditioner is measured again,
    remeasure_above: float = 1e3  # while the gap is this many times what is asked
    first_step: float = 0.2  # of a full step: the steepest direction has more curvature than M assumes
    max_decrease: float = 0.5  # of f, that the first step may promise
    step_growth: float = 2.0  # x the accepted step: the next one tried, where a full step was too long
    restarts: int = 2  # of one solve, at most
    armijo: float = 1e-4  # part of the decrease promised by the directional derivative that a step must bring (N&W 3.4)
    min_step: float = 1e-7  # of a full step: shorter ones are none


@dataclass
class _State:
    """The iterate, what was learned on the way to it, and the next step."""

    theta: Tensor
    value: float
    gradient: Tensor
    preconditioner: Preconditioner
    derivative: float = -1.0
    step: float = 1.0
    least_decrement: float = math.inf
    stalled: int = 0  # steps since the decrement was last clearly smaller than ever before
    restarts: int = 0
    direction: Tensor = field(default_factory=lambda: torch.empty(0))
    values: list[float] = field(default_factory=list)
    pairs: list[tuple[Tensor, Tensor, float]] = field(default_factory=list)  # s, y, 1 / s'y

    def aim(self, dtype: torch.dtype) -> None:
        """Make the next step a full one along minus the inverse Hessian x gradient, by the two-loop recursion."""
        q = self.gradient.to(dtype)
        alphas = []
        for s, y, rho in reversed(self.pairs):
            alphas.append(rho * dot(s, q))
            q = q - alphas[-1] * y
        q = self.preconditioner.apply(q)
        if self.pairs:
            s, y, rho = self.pairs[-1]
            length = dot(self.preconditioner.apply(y), y)
            if length > 0 and math.isfinite(1.0 / (rho * length)):
                q = q / (rho * length)
        for (s, y, rho), alpha in zip(self.pairs, reversed(alphas)):
            q = q + (alpha - rho * dot(y, q)) * s
        self.direction = remove_common(-q.double())
        self.derivative, self.step = float((self.gradient * self.direction).sum()), 1.0

    def learn(self, s: Tensor, y: Tensor, dtype: torch.dtype, keep: int) -> None:
        """A curvature pair: a step, and the change of the gradient along it."""
        s, y = s.to(dtype), y.to(dtype)
        curvature = dot(s, y)
        if curvature > torch.finfo(dtype).tiny and math.isfinite(1.0 / curvature):
            self.pairs = [*self.pairs[1 - keep :], (s, y, 1.0 / curvature)]

    def gap(self, penalty: float, settings: LBFGSSettings) -> float:
        """Estimated, relative to f."""
        g = self.gradient.to(self.preconditioner.mean.dtype)
        decrement = dot(g, self.preconditioner.apply(g)) / 2 / settings.preconditioner_ratio
        gap = max(-settings.decrement_ratio * self.derivative / 2, convexity_floor(self.gradient, penalty), decrement)
        window = max(settings.window, (len(self.values) - 1) // settings.window_part)
        if len(self.values) > 2 * window:
            middle = self.values[-1 - window]
            before, now = self.values[-1 - 2 * window] - middle, middle - self.value
            rate = min(max(now / before, 0.0), 0.95) if before > 0 else 0.0
            gap = max(gap, max(now, 0.0) * rate / (1 - rate))
        gap /= max(abs(self.value), sys.float_info.min)
        return gap if math.isfinite(gap) else math.inf


@dataclass
class LBFGS:
    """The solver of one loss. exact_value: whether a low-precision solve ends with a pass for its exact value."""

    loss: StreamedLoss
    exact_value: bool = True
    settings: LBFGSSettings = LBFGSSettings()
    last: tuple[Tensor, Tensor, float] | None = None  # theta, gradient and penalty of the last solve

    def minimize(
        self, start: Iterate, penalty: float, tol: float, max_evaluations: int, callback: Callback = lambda *_: None
    ) -> Minimum:
        """From `start` to a relative gap of `tol`."""
        opt, loss, dtype = self.settings, self.loss, self.loss.features.dtype
        theta, low_precision = remove_common(start.theta), tol >= opt.low_precision_tol
        there = loss.evaluate(theta, penalty, low_precision=low_precision)
        preconditioner = Preconditioner.of(loss.moments(theta, penalty), penalty)
        now = _State(theta, there.value, there.gradient, preconditioner)
        known = self.known_gradient(penalty)
        if known is not None:
            now.learn(theta - known[0], there.gradient - known[1], dtype, opt.pairs)
        now.aim(dtype)
        if not now.pairs and now.derivative < 0:
            now.step = min(opt.first_step, opt.max_decrease * now.value / -now.derivative)
        now.values.append(now.value)
        evaluations, accepted, noise = 1, 0, VALUE_NOISE[dtype]
        while True:
            gap = now.gap(penalty, opt)
            callback(evaluations, gap)
            now.stalled = 0 if -now.derivative < 0.7 * now.least_decrement else now.stalled + 1
            now.least_decrement = -now.derivative if now.stalled == 0 else now.least_decrement
            flat = now.values[max(0, len(now.values) - 1 - 2 * opt.window)] - now.value <= noise * now.value
            no_step = now.step < opt.min_step or not now.derivative < 0
            if no_step and now.restarts < opt.restarts and gap > tol:
                now.preconditioner = now.preconditioner.with_maximal_curvature(penalty)
                now.pairs, now.restarts = [], now.restarts + 1
                now.aim(dtype)
                no_step = not now.derivative < 0
            stuck = (now.stalled > 3 * opt.window and flat) or no_step
            if gap <= tol or stuck or evaluations >= max_evaluations:
                reason: Reason = "gap" if gap <= tol else "rounding" if stuck else "cap"
                self.last = now.theta, now.gradient, penalty
                if low_precision and self.exact_value:
                    now.value, evaluations = loss.value(now.theta, penalty), evaluations + 1
                return Minimum(now.theta, now.value, now.gradient, evaluations, gap, reason)
            trial = now.theta + now.step * now.direction
            there = loss.evaluate(trial, penalty, low_precision=low_precision)
            evaluations += 1
            decrease = now.value - there.value
            if decrease >= -opt.armijo * now.step * now.derivative - noise * abs(now.value):
                now.learn(trial - now.theta, there.gradient - now.gradient, dtype, opt.pairs)
                now.theta, now.value, now.gradient = trial, there.value, there.gradient
                now.values.append(now.value)
                accepted += 1
                if accepted in opt.remeasure_at and now.gap(penalty, opt) > opt.remeasure_above * tol:
                    now.preconditioner = Preconditioner.of(loss.moments(now.theta, penalty), penalty)
                step = min(1.0, opt.step_growth * now.step) if len(now.pairs) > 1 else 1.0
                now.aim(dtype)
                now.step = step
            else:  # to the minimum of the parabola through f, its derivative and the failed trial
                curve = -(decrease + now.step * now.derivative)
                shorter = -now.derivative * now.step / (2 * curve) if math.isfinite(curve) and curve > 0 else 0.1
                now.step *= min(max(shorter, 0.1), 0.5)

    def known_gradient(self, penalty: float) -> tuple[Tensor, Tensor] | None:
        """The theta of the last solve, and its gradient under another penalty."""
        if self.last is None:
            return None
        theta, gradient, before = self.last
        gradient = gradient.clone()
        gradient[:, :-1] += (penalty - before) * theta[:, :-1]
        return theta, gradient
