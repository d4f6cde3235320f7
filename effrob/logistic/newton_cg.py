"""Truncated Newton's method (Newton-CG) with a line search, for a loss whose Hessian products are cheap.

Nocedal and Wright, Numerical Optimization (2006; N&W below), algorithm 7.1: each step solves  Hessian x step = -gradient
inexactly by preconditioned conjugate gradients (algorithm 5.3), then searches along it. Compare scikit-learn's
`sklearn.utils.optimize._newton_cg`. What differs here:

- The preconditioner is softmax's own, measured again when the gap has fallen far.
- Hessian products, changes of gradients, and far from the optimum changes of logits are made in bfloat16 where the device is
  faster at it. Each is wrong by about a hundredth of a *change*; `gradient_error` and `value_error` keep account of that.
- Conjugate gradients stop by the decrease still to come, relative to f, and not by the norm of the residual.

Stopping. The decrease still to come in a solve follows from those of the last steps (Hestenes and Stiefel 1952; Strakos and
Tichy 2002). At a new iterate f - f* is estimated as ½ g'Mg, with the preconditioner M ~ the inverse Hessian, times the factor
`gap_ratio` by which that fell short in the last solve; as `convexity_floor` where that is more. It stops where that is tol x f.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from effrob.logistic.in_memory_loss import InMemoryLoss
from effrob.logistic.losses import VALUE_NOISE, Iterate, ValueAndGradient, convexity_floor, dot, remove_common
from effrob.logistic.preconditioner import Preconditioner
from effrob.logistic.solution import Callback, Minimum, Reason


@dataclass(frozen=True)
class NewtonCGSettings:
    """Dimensionless, but for counts. docs/decisions/007 has what halving or doubling costs, for those that matter."""

    # when conjugate gradients stop; "relative" decreases are of f, and all decreases the quadratic model's
    solve_gap: float = 0.5  # of the gap asked: what the last solve may leave
    forcing: float = 0.5  # x root of its relative decrease: the part of its decrease that another solve may leave,
    max_forcing: float = 0.3  # and the largest such part
    model_error: float = 0.05  # x relative decrease ** 1.5: the model's relative error; under tol, a solve is the last
    trusted_decrease: float = 0.03  # relative decrease above which no solve is the last
    untrusted_products: int = 5  # of such a solve, at most: later directions are flat in the model and not in f
    max_decrease: float = 0.5  # relative decrease at which a solve ends, as no loss falls under 0
    # at least, or one more than the decimal digits by which the decrease so far exceeds what may be left, where that is fewer:
    final_products: int = 4  # of the last solve, whose first decreases do not show slow directions
    window: int = 2  # conjugate gradient steps whose decreases are compared with those of as many before
    max_products: int = 200  # of a solve
    max_float32_steps: int = 15  # Newton steps, after which a fit ends for "rounding": the path may go on in float64
    # the preconditioner is measured again after the gap has fallen by this, while it is `remeasure_above` x what is asked
    remeasure_after: float = 150.0
    remeasure_above: float = 3000.0
    min_gap_ratio: float = 0.7  # gap over ½ g'Mg, at least
    first_gap_ratio: float = 5.0  # and before any solve: 1 to 5 were measured
    min_estimate: float = 1e-9  # of `convexity_floor`: a solve goes no deeper, however little of it M sees
    armijo: float = 1e-4  # part of the decrease promised by the directional derivative that a step must bring (N&W 3.4)
    max_end_slope: float = 0.5  # directional derivative at a step's end over minus that at its start, at most
    min_step: float = 1e-7  # of a full step: shorter ones are none
    # low precision
    combined_noise: float = 30.0  # x VALUE_NOISE: of a value whose logits are a linear combination of others
    gradient_loss: float = 1e-5  # of the gap, as a gap: what a step in low precision leaves wrong in the gradient
    max_gradient_error: float = 0.1  # of the gap asked, as a gap: what the gradient may be wrong by
    value_loss: float = 0.01  # of decreases since the last exact value: error of a value with low-precision logits
    floor_ratio: float = 0.5  # a full step from a gap under `floor_gap` that leaves more than this part of it,
    floor_gap: float = 1e-4  # or a stalled one, is the last in low precision;  relative gap


class _Solve(NamedTuple):
    """step (K, D + 1);  gap_ratio  the largest (decrease to come) / (½ r'Mr) on the way;  within_tol  its end seems so."""

    step: Tensor
    gap_ratio: float
    products: int
    within_tol: bool


class _Trial(NamedTuple):
    """Where a line search ended;  low_precision  of the gradient there."""

    length: float
    theta: Tensor
    evaluation: ValueAndGradient
    evaluations: int
    low_precision: bool


@dataclass(frozen=True)
class NewtonCG:
    """The solver of one loss."""

    loss: InMemoryLoss
    settings: NewtonCGSettings = NewtonCGSettings()

    def minimize(
        self, start: Iterate, penalty: float, tol: float, max_evaluations: int, callback: Callback = lambda *_: None
    ) -> Minimum:
        """From `start` to a relative gap of `tol`; the value is exact, and theta is what the loss evaluated last."""
        loss, opt, dtype = self.loss, self.settings, self.loss.dtype
        noise = VALUE_NOISE[dtype] * (1 if start.logits is None else opt.combined_noise)
        theta = remove_common(start.theta)
        value, gradient = loss.evaluate(theta, penalty, start.logits)
        preconditioner = Preconditioner.of(loss.moments(theta, penalty), penalty)
        gap_ratio, stalled, value_error = opt.first_gap_ratio, 0, 0.0
        gap, depth = self._gap(preconditioner, gradient, value, gap_ratio, penalty)
        measured = gap
        evaluations, steps, low_precision, low_value, gradient_error = 1, 0, True, False, 0.0
        while True:
            callback(evaluations, gap)
            if low_value and (evaluations >= max_evaluations or gap <= tol or stalled >= 2):
                value, gradient = loss.evaluate(theta, penalty)
                gap, depth = self._gap(preconditioner, gradient, value, gap_ratio, penalty)
                evaluations, low_value, gradient_error, value_error = evaluations + 1, False, 0.0, 0.0
            if gap <= tol or stalled >= 2 or evaluations >= max_evaluations:
                reason: Reason = "gap" if gap <= tol else "rounding" if stalled >= 2 else "cap"
                return Minimum(theta, value, gradient, evaluations, gap, reason)
            limit = max(1, min(opt.max_products, max_evaluations - evaluations))
            size = max(abs(value), sys.float_info.min)
            solve = self._solve(gradient, preconditioner, penalty, size, depth * tol, limit, low_precision)
            gradient_error += gap * opt.gradient_loss
            able = low_precision and loss.has_low_precision
            gradient_good = gradient_error < opt.max_gradient_error * tol
            # 2.25 = 1.5²: about what a second step, of the order that `model_error` has, would leave
            low_value = able and not solve.within_tol and (gradient_good or opt.model_error * gap**2.25 > tol)
            here = ValueAndGradient(value, gradient)
            low_gradient = low_value or (able and gradient_good)
            trial = self._search(
                theta, here, solve.step, penalty, noise * abs(value) + value_error, low_gradient, low_value
            )
            evaluations, steps = evaluations + solve.products + trial.evaluations, steps + 1
            low_value = low_value and trial.low_precision
            gradient_error = gradient_error if trial.low_precision else 0.0
            decrease = value - trial.evaluation.value
            stalled = stalled + 1 if decrease <= noise * abs(value) and value_error == 0 else 0
            value_error = value_error + abs(decrease) * opt.value_loss if low_value else 0.0
            theta, (value, gradient), gap_ratio = trial.theta, trial.evaluation, solve.gap_ratio
            before, noise = gap, VALUE_NOISE[dtype]
            gap, depth = self._gap(preconditioner, gradient, value, gap_ratio, penalty)
            unsolved = solve.products == opt.max_products
            if dtype == torch.float32 and (steps >= opt.max_float32_steps or (unsolved and not low_precision)):
                stalled = 2  # float32 would need many more steps: the path may go on in float64
            floor = (gap > opt.floor_ratio * before and before < opt.floor_gap) or stalled > 0
            low_precision = low_precision and not unsolved and not (gap > tol and trial.length == 1 and floor)
            if gap < measured / opt.remeasure_after and gap > opt.remeasure_above * tol:
                preconditioner = Preconditioner.of(loss.moments(theta, penalty), penalty)
                gap, depth = self._gap(preconditioner, gradient, value, gap_ratio, penalty)
                measured = gap

    def _solve(
        self, g: Tensor, preconditioner: Preconditioner, penalty: float, size: float, tol: float, limit: int, low: bool
    ) -> _Solve:
        """Conjugate gradients until the decrease to come is small beside tol x size, or beside the model's own error."""
        opt = self.settings
        r = g.to(self.loss.dtype, copy=True)
        step = torch.zeros_like(r)
        z = preconditioner.apply(r)
        p, rho = -z, dot(r, z)
        decreases: list[float] = []
        norms: list[float] = []
        to_come = math.inf
        while len(decreases) < limit:
            p, product = self.loss.hessian_product(p, penalty, low)
            derivative, curvature = dot(r, p), dot(p, product)
            if not (curvature > 0 and derivative < 0):
                break
            alpha = -derivative / curvature
            decreases.append(-alpha * derivative / 2)
            norms.append(rho / 2)
            step.add_(p, alpha=alpha)
            r.add_(product, alpha=alpha)
            to_come = self._decrease_to_come(decreases)
            decrease = sum(decreases)
            relative = decrease / size
            final = opt.model_error * relative**1.5 < tol and relative < opt.trusted_decrease
            forcing = 0.0 if final else min(opt.forcing * math.sqrt(relative), opt.max_forcing)
            digits = math.log10(max(relative / (opt.solve_gap * tol), sys.float_info.min))
            early = final and len(decreases) < 1 + min(digits, opt.final_products - 1)
            enough = to_come <= opt.solve_gap * tol * size or to_come <= forcing * decrease
            untrusted = relative >= opt.trusted_decrease and len(decreases) >= opt.untrusted_products
            if (enough and not early) or relative >= opt.max_decrease or untrusted:
                break
            z = preconditioner.apply(r)
            rho_new = dot(r, z)
            p, rho = torch.add(-z, p, alpha=rho_new / rho if rho else 0.0), rho_new
        gap_ratio, tail = opt.min_gap_ratio, to_come if math.isfinite(to_come) else 0.0
        for decrease, norm in zip(reversed(decreases), reversed(norms)):
            tail += decrease
            gap_ratio = max(gap_ratio, tail / norm if norm else 0.0)
        return _Solve(remove_common(step.double()), gap_ratio, len(decreases), to_come <= opt.solve_gap * tol * size)

    def _decrease_to_come(self, decreases: list[float]) -> float:
        """The rest of a geometric series of the last decreases; three times that while fewer than two windows are known."""
        if len(decreases) < 2:
            return math.inf
        width = self.settings.window if len(decreases) >= 2 * self.settings.window else 1
        now, before = sum(decreases[-width:]), sum(decreases[-2 * width : -width])
        rate = min(max(now / before, 0.0), 0.95) if before else 0.0
        return now * rate / (1 - rate) * (1 if width == self.settings.window else 3)

    def _search(
        self,
        theta: Tensor,
        here: ValueAndGradient,
        step: Tensor,
        penalty: float,
        slack: float,
        low_gradient: bool,
        low_logits: bool,
    ) -> _Trial:
        """Backtracking to a step with Armijo's decrease, but for `slack`, that does not end far uphill.

        The first trial is in low precision on request (see `InMemoryLoss.evaluate`); refused, it is evaluated exactly.
        """
        opt = self.settings
        derivative = float((here.gradient * step).sum())
        length, evaluations = 1.0 if math.isfinite(derivative) else 0.0, 0
        while True:
            trial = theta + length * step if length else theta
            there = self.loss.evaluate(
                trial, penalty, None, here if low_gradient else None, low_precision_logits=low_logits
            )
            evaluations += 1
            end = float((there.gradient * step).sum())
            decreased = here.value - there.value >= -opt.armijo * length * derivative - slack
            if (decreased and end <= -opt.max_end_slope * derivative) or not length:
                return _Trial(length, trial, there, evaluations, low_gradient)
            if not low_gradient:  # shorten to where the derivative would vanish, were it linear
                secant = derivative / (derivative - end) if math.isfinite(end) and end != derivative else 0.1
                length = 0.0 if length < opt.min_step else length * min(max(secant, 0.1), 0.7)
            low_gradient = low_logits = False

    def _gap(
        self, preconditioner: Preconditioner, gradient: Tensor, value: float, gap_ratio: float, penalty: float
    ) -> tuple[float, float]:
        """The relative gap, at least `convexity_floor`; and the estimate over that, by which the next solve goes deeper."""
        r = gradient.to(preconditioner.mean.dtype)
        estimate, bound = gap_ratio * dot(r, preconditioner.apply(r)) / 2, convexity_floor(gradient, penalty)
        gap = max(estimate, bound) / max(abs(value), sys.float_info.min)
        if not (gap >= 0 and estimate >= 0):
            return math.inf, 1.0  # rounding has made the preconditioner indefinite
        return gap, max(estimate / bound, self.settings.min_estimate) if bound > estimate else 1.0
