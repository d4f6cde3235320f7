"""Nonlinear conjugate gradients from zero weights, for one small problem in the eigenbasis of its rows' covariance.

Nocedal and Wright, Numerical Optimization (2006; N&W), 5.2, with the factor (5.46) of Hestenes and Stiefel, or 0. What differs:

- A diagonal M ~ the inverse Hessian preconditions: in the eigenbasis as good as the full matrix at any mean probabilities.
- Logits are linear along a direction, so the line search makes no matrix product and can be nearly exact. That keeps directions
  conjugate far from the optimum, where Newton's quadratic model does not hold. A step costs two products.
- Both products may be made in bfloat16, and then only *change* what is known. The error left is about 1e-5 of the decrease
  so far, so f and its gradient are evaluated exactly whenever ½ g'Mg has fallen by `exact_after`. At the end f is exact, and
  the gradient is updated by its change, in low precision.

For 1/C of at least a millionth of rows x summed variance; for weaker penalties Newton's method takes fewer products.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from effrob.logistic.losses import balance_right_class_, convexity_floor, dot, softmax_residuals_
from effrob.logistic.solution import Minimum, Reason
from effrob.logistic.warm_start import LEAD_IN_TOL


@dataclass(frozen=True)
class NonlinearCGSettings:
    """Dimensionless, but for counts. docs/decisions/007 has what halving or doubling costs, for those that matter."""

    remeasure_at: tuple[int, ...] = (2, 6, 14, 30)  # steps after which the diagonal is measured again
    slope_tol: float = 0.07  # part of the slope that a line search may leave (c2 in strong Wolfe, N&W 3.7b)
    max_line_search: int = 20  # evaluations of a line search, none of which makes a matrix product
    exact_after: float = 2e-3  # of ½ g'Mg at the last exact evaluation: under it the next step is evaluated exactly
    saturation_margin: float = 10.0  # logits between right and wrong class at an optimum, about
    window: int = 6  # steps whose ½ g'Mg are compared with the model's decreases since; half suffice at first
    max_rate: float = 0.9  # of half a window's decrease: the most that the next half is assumed to bring
    min_gap_ratio: float = 0.7  # gap over ½ g'Mg, at least,
    max_gap_ratio: float = 5.0  # and at most, and before half a window has passed


class _Preconditioner(NamedTuple):
    """Diagonal curvature about every class's own mean row, inverted.

    inverse (1, d + 1), 0 in the last column;  mean (K, d + 1), 0 there too;  weight (K,) mean p (1 - p)
    """

    inverse: Tensor
    mean: Tensor
    weight: Tensor

    @classmethod
    def of(cls, curvature: Tensor, mean: Tensor, weight: Tensor, penalty: float) -> _Preconditioner:
        inverse = torch.cat([(curvature + penalty).reciprocal_(), curvature.new_zeros(1)])
        return cls(inverse.unsqueeze(0), mean, weight)

    def apply(self, gradient: Tensor) -> Tensor:
        """(K, d + 1) gradients -> inverse curvature x gradient, without the component common to all classes."""
        intercepts = gradient[:, -1]
        step = torch.addcmul(gradient, intercepts.unsqueeze(1), self.mean, value=-1.0).mul_(self.inverse)
        step[:, -1] = intercepts / self.weight - torch.linalg.vecdot(self.mean, step)
        return step.sub_(step.mean(0))


@dataclass
class _State:
    """theta (K, d + 1), logits (N, K) less the right class's, probabilities, f, gradient, ||W||²."""

    theta: Tensor
    logits: Tensor
    probability: Tensor
    value: float
    gradient: Tensor
    squared: float


class NonlinearCG:
    """The solver of one problem: its loss is f of rows (N, d + 1) float32 in an eigenbasis, whose last column is 1.

    labels (N,) of classes that all have rows;  variances (d,) of the coordinates;  rows_low  the rows in a faster dtype, if
    there is one worth using
    """

    def __init__(
        self,
        rows: Tensor,
        labels: Tensor,
        n_classes: int,
        variances: Tensor,
        rows_low: Tensor | None = None,
        settings: NonlinearCGSettings = NonlinearCGSettings(),
    ) -> None:
        self.rows, self.labels, self.k, self.variances, self.settings = rows, labels, n_classes, variances, settings
        self.has_low_precision, self.rows_low = rows_low is not None, rows if rows_low is None else rows_low
        self.right, self.n = labels.unsqueeze(1), len(labels)
        self.buffer = rows.new_empty(self.n, n_classes)
        self.spare = torch.empty_like(self.buffer), torch.empty_like(self.buffer)

    def minimize(self, penalties: Sequence[float], tol: float, max_evaluations: int) -> Minimum:
        """From zero weights, through rough optima of all penalties but the last, to an estimated relative gap of `tol`.

        The gap is estimated as ½ g'Mg times what that fell short of the model's decreases since and of those that follow,
        and as `convexity_floor` where that is more.
        """
        opt = self.settings
        penalty, *weaker = penalties
        here, preconditioner = self._zero(penalty)
        decrements: list[float] = []  # ½ g'Mg at every step of a window, and the quadratic model's decreases
        model_decreases: list[float] = []
        direction = change = None
        gap_ratio, last_exact, evaluations, steps, exact, failed = opt.max_gap_ratio, math.inf, 1, 0, True, False
        while True:
            step = preconditioner.apply(here.gradient)
            decrement = dot(here.gradient, step) / 2
            gap = gap_ratio * decrement / here.value if decrement >= 0 else math.nan
            wanted = LEAD_IN_TOL if weaker else tol
            if gap <= wanted:
                gap = max(gap, convexity_floor(here.gradient, penalty) / here.value)
            failed = failed or not math.isfinite(gap)
            last_exact = decrement if exact else last_exact
            done = failed or evaluations >= max_evaluations or gap <= wanted
            if done and weaker and not failed:
                before, penalty = penalty, weaker.pop(0)
                here.gradient[:, :-1].add_(here.theta[:, :-1], alpha=penalty - before)
                here.value += (penalty - before) / 2 * here.squared
                preconditioner, direction, change, steps = self._measured(here, penalty), None, None, 0
                gap_ratio, decrements, model_decreases = opt.max_gap_ratio, [], []
                continue
            if done and not exact:
                self._evaluate(here, penalty, by_change=True)
                evaluations, exact = evaluations + 1, True
                continue
            if done:
                reason: Reason = "rounding" if failed else "gap" if gap <= tol else "cap"
                gap = gap if math.isfinite(gap) else math.inf
                return Minimum(here.theta.double(), here.value, here.gradient.double(), evaluations, gap, reason)
            if direction is None or change is None:
                direction = -step
            else:
                direction.mul_(max(0.0, dot(step, change) / dot(direction, change))).sub_(step)
            direction_low = direction.to(self.rows_low.dtype)
            slope = dot(here.gradient, direction.copy_(direction_low))
            length = self._search(here, direction, direction_low, penalty, slope)
            if not length:
                failed = True
                continue
            exact = self.has_low_precision and decrement < opt.exact_after * last_exact
            change = self._move(here, length, direction, penalty, exact)
            evaluations, steps = evaluations + 1, steps + 1
            decrements = [*decrements[1 - opt.window :], decrement]
            model_decreases = [*model_decreases[1 - opt.window :], -length * slope / 2]
            if len(model_decreases) >= opt.window // 2:
                ratio = _gap_ratio(decrements, model_decreases, opt.max_rate)
                gap_ratio = min(max(opt.min_gap_ratio, ratio), opt.max_gap_ratio)
            if steps in opt.remeasure_at:
                preconditioner = self._measured(here, penalty)

    def _zero(self, penalty: float) -> tuple[_State, _Preconditioner]:
        """No weights, equal probabilities; and the preconditioner there."""
        sums = self.rows.new_zeros(self.k, self.rows.shape[1]).index_add_(0, self.labels, self.rows)
        gradient = (sums.sum(0) / self.k - sums).div_(self.n)
        probability = torch.full_like(self.buffer, 1.0 / self.k)
        theta, logits = torch.zeros_like(sums), torch.zeros_like(probability)
        here = _State(theta, logits, probability, math.log(self.k), gradient, 0.0)
        weight = (1 - 1 / self.k) / self.k
        mean = self.rows.mean(0)
        mean[-1] = 0.0
        classes = self.rows.new_full((self.k,), weight)
        variances = self.variances.to(mean) * weight
        return here, _Preconditioner.of(variances, mean.expand(self.k, -1), classes, penalty)

    def _measured(self, here: _State, penalty: float) -> _Preconditioner:
        """Mean rows and pooled variances weighted by the curvature at `here`.

        At an optimum gradient · theta = 0, so the mean of wrong p x margin is penalty x ||W||²: a floor for saturated rows.
        """
        p = here.probability
        curvature = torch.addcmul(p, p, p, value=-1.0, out=self.buffer)
        weight, by_row = curvature.sum(0).clamp_min_(torch.finfo(p.dtype).tiny), curvature.sum(1)
        mean = torch.mm(curvature.to(self.rows_low.dtype).T, self.rows_low).to(p.dtype).div_(weight.unsqueeze(1))
        mean[:, -1] = 0.0
        squares = torch.mv(self.rows.square().T, by_row) - torch.mv(mean.square().T, weight)
        least = penalty * here.squared / self.settings.saturation_margin
        factor = max(1.0, least / (float(weight.sum()) / self.n))
        variances = squares[:-1].clamp_min_(0.0) * (factor / (self.n * self.k))
        return _Preconditioner.of(variances, mean, weight * (factor / self.n), penalty)

    def _search(self, here: _State, direction: Tensor, direction_low: Tensor, penalty: float, start: float) -> float:
        """A step's length, to `slope_tol` of the slope at its start, or 0 where there is none; fills `spare` with its end.

        By Newton's method on the length, safeguarded by a bracket. A slope is the exact one at the start plus a change: rows
        in low precision would give another at the start, and searches near the optimum would not move.
        """
        logits, probability = self.spare
        along = torch.mm(self.rows_low, direction_low.T).to(here.logits.dtype)
        along.sub_(along.gather(1, self.right))
        squared = _weights_dot(direction, direction)
        length, low, high, slope_at_zero = 0.0, 0.0, math.inf, 0.0
        slope, trial = start, here.probability
        for evaluation in range(self.settings.max_line_search):
            weighted = torch.mul(trial, along, out=self.buffer)
            means = weighted.sum(1)
            loss_slope = float(means.sum(dtype=torch.float64)) / self.n
            if evaluation == 0:
                slope_at_zero = loss_slope
            else:
                slope = start + loss_slope - slope_at_zero + penalty * length * squared
                if abs(slope) <= self.settings.slope_tol * abs(start):
                    break
                low, high = (length, high) if slope < 0 else (low, length)
            curvature = float(weighted.mul_(along).sum() - means.square_().sum()) / self.n + penalty * squared
            newton = length - slope / curvature if curvature > 0 else math.inf
            middle = (low + high) / 2 if high < math.inf else 4 * low
            length = newton if low < newton < high and (low == 0 or newton < 10 * low) else middle
            if not 0 < length < math.inf:
                return 0.0
            torch.add(here.logits, along, alpha=length, out=logits)
            trial = torch.softmax(logits, 1, out=probability)
        return length if start < 0 and math.isfinite(slope) else 0.0

    def _move(self, here: _State, length: float, direction: Tensor, penalty: float, exact: bool) -> Tensor:
        """Move `here` to what is in `spare`, by changes alone or evaluated exactly; the gradient's change."""
        before, last = here.gradient, (here.logits, here.probability)
        squared = length * length * _weights_dot(direction, direction)
        squared = here.squared + 2 * length * _weights_dot(here.theta, direction) + squared
        here.theta.add_(direction, alpha=length)
        (here.logits, here.probability), self.spare = self.spare, last
        if exact:
            self._evaluate(here, penalty, by_change=False)
            return here.gradient - before
        change = self._gradient_change(torch.sub(here.probability, last[1], out=self.buffer))
        change[:, :-1].add_(direction[:, :-1], alpha=penalty * length)
        here.gradient, here.squared = before + change, squared
        right = here.probability.gather(1, self.right).clamp_min_(torch.finfo(change.dtype).tiny)
        here.value = -float(right.log_().sum()) / self.n + penalty / 2 * here.squared
        return change

    def _evaluate(self, here: _State, penalty: float, by_change: bool) -> None:
        """`here` in the rows' own arithmetic; its gradient whole, or updated by its change, in low precision."""
        before = here.probability
        here.theta.sub_(here.theta.mean(0))  # rounded directions bring in a component common to all classes
        logits = torch.mm(self.rows, here.theta.T, out=here.logits)
        logits.sub_(logits.gather(1, self.right))
        here.probability = torch.softmax(logits, 1)
        loss, residual = softmax_residuals_(here.probability.clone(), logits, self.labels)
        weights = here.theta[:, :-1]
        here.squared = float(weights.double().square().sum())
        here.value = float(loss.sum()) / self.n + penalty / 2 * here.squared
        if by_change:
            change = torch.sub(here.probability, before, out=self.buffer)
            here.gradient = here.gradient + self._gradient_change(change)
        else:
            here.gradient = torch.mm(residual.T, self.rows).div_(self.n)
            here.gradient[:, :-1].add_(weights, alpha=penalty)

    def _gradient_change(self, change: Tensor) -> Tensor:
        """Of the loss, by changes of the probabilities (N, K), which are overwritten."""
        change = balance_right_class_(change, self.labels)
        return torch.mm(change.to(self.rows_low.dtype).T, self.rows_low).to(change.dtype).div_(self.n)


def _gap_ratio(decrements: list[float], model_decreases: list[float], max_rate: float) -> float:
    """The model's decreases since a step, and those to come at their rate, over ½ g'Mg there: the largest in the window."""
    middle = len(model_decreases) // 2
    now, before = sum(model_decreases[middle:]), sum(model_decreases[:middle])
    rate = min(now / before, max_rate) if before > 0 else max_rate
    to_come = now * rate / (1 - rate)
    return max((sum(model_decreases[i:]) + to_come) / decrement for i, decrement in enumerate(decrements))


def _weights_dot(a: Tensor, b: Tensor) -> float:
    return dot(a, b) - float(torch.dot(a[:, -1], b[:, -1]))  # without intercepts
