"""Nonlinear conjugate gradients from zero weights, for one small problem in the eigenbasis of its rows' covariance.

Nocedal and Wright, Numerical Optimization (2006), section 5.2, with the direction's factor by Hestenes and Stiefel (5.46), never
negative. What differs here:

- Preconditioned by a diagonal, which in the eigenbasis is as good as the full matrix at any mean probabilities.
- Logits are linear along a direction, so the line search makes no matrix product. It is therefore nearly exact, which keeps directions
  conjugate far from the optimum, where Newton's quadratic model does not hold. A step costs two products.
- Both products may be made in bfloat16, and then only *change* what is known. The error that leaves is about 1e-5 of the decrease so
  far, so f and its gradient are evaluated exactly whenever ½ g'Mg has fallen by `exact_after`, and at the end.

For penalties of at least a millionth of rows x summed variance; below that Newton's method takes fewer products.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from effrob.logistic.losses import balance_right_class_, convexity_bound, dot, softmax_residuals_
from effrob.logistic.solution import Minimum, Reason
from effrob.logistic.warm_start import LEAD_IN_TOL


@dataclass(frozen=True)
class NonlinearCGSettings:
    """Dimensionless, but for counts. docs/decisions/007 has the evaluations each costs when halved or doubled."""

    remeasure_at: tuple[int, ...] = (2, 6, 14, 30)  # steps after which the diagonal is measured again
    slope_tol: float = 0.07  # of the directional derivative: what a line search may leave (c2 in N&W 3.6)
    max_line_search: int = 20  # evaluations of a line search, none of which makes a matrix product
    exact_after: float = 2e-3  # of ½ g'Mg at the last exact evaluation: under it the next step is evaluated exactly
    saturation_margin: float = (
        10.0  # logits between right and wrong class at an optimum, about: see `_Problem.preconditioner`
    )
    window: int = 6  # steps whose ½ g'Mg are compared with what f fell since; half as many suffice at first
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


class _Step(NamedTuple):
    """A line search's end: length, logits and probabilities there, ||W||² there, decrease of the quadratic model."""

    length: float
    logits: Tensor
    probability: Tensor
    squared: float
    decrease: float


class _Problem:
    """Mean loss + penalty / 2 x ||W||² of rows (N, d + 1) whose last column is 1; the penalty is an argument."""

    def __init__(
        self, rows: Tensor, rows_low: Tensor, labels: Tensor, n_classes: int, settings: NonlinearCGSettings
    ) -> None:
        self.rows, self.rows_low, self.labels, self.k, self.settings = rows, rows_low, labels, n_classes, settings
        self.right, self.n = labels.unsqueeze(1), len(labels)
        self.buffer = rows.new_empty(self.n, n_classes)

    def zero(self) -> _State:
        """No weights, equal probabilities."""
        sums = self.rows.new_zeros(self.k, self.rows.shape[1]).index_add_(0, self.labels, self.rows)
        gradient = (sums.sum(0) / self.k - sums).div_(self.n)
        probability = torch.full_like(self.buffer, 1.0 / self.k)
        theta, logits = torch.zeros_like(sums), torch.zeros_like(probability)
        return _State(theta, logits, probability, math.log(self.k), gradient, 0.0)

    def preconditioner_at_zero(self, variances: Tensor, penalty: float) -> _Preconditioner:
        """variances (d,) of the coordinates."""
        weight = (1 - 1 / self.k) / self.k
        mean = self.rows.mean(0)
        mean[-1] = 0.0
        classes = self.rows.new_full((self.k,), weight)
        return self._preconditioner(variances.to(mean) * weight, mean.expand(self.k, -1), classes, penalty)

    def preconditioner(self, here: _State, penalty: float) -> _Preconditioner:
        """Mean rows of every class and pooled variances, weighted by the curvature at `here`, or by what it will come to be at least."""
        p = here.probability
        curvature = torch.addcmul(p, p, p, value=-1.0, out=self.buffer)
        weight, by_row = curvature.sum(0).clamp_min_(torch.finfo(p.dtype).tiny), curvature.sum(1)
        mean = torch.mm(curvature.to(self.rows_low.dtype).T, self.rows_low).to(p.dtype).div_(weight.unsqueeze(1))
        mean[:, -1] = 0.0
        squares = torch.mv(self.rows.square().T, by_row) - torch.mv(mean.square().T, weight)
        least = penalty * here.squared / self.settings.saturation_margin
        factor = max(1.0, least / (float(weight.sum()) / self.n))
        variances = squares[:-1].clamp_min_(0.0) * (factor / (self.n * self.k))
        return self._preconditioner(variances, mean, weight * (factor / self.n), penalty)

    def _preconditioner(self, curvature: Tensor, mean: Tensor, weight: Tensor, penalty: float) -> _Preconditioner:
        inverse = torch.cat([(curvature + penalty).reciprocal_(), curvature.new_zeros(1)])
        return _Preconditioner(inverse.unsqueeze(0), mean, weight)

    def search(
        self,
        here: _State,
        direction: Tensor,
        direction_low: Tensor,
        penalty: float,
        logits: Tensor,
        probability: Tensor,
    ) -> _Step | None:
        """Newton's method on the step length, safeguarded by a bracket, to `slope_tol`; None where no length can be found.

        direction_low is the direction in the low precision; logits and probability (N, K) are overwritten. Slopes are the exact one
        at 0 plus changes, since low-precision rows would give another at 0, and searches near the optimum would not move.
        """
        along = torch.mm(self.rows_low, direction_low.T).to(here.logits.dtype)
        along.sub_(along.gather(1, self.right))
        squared, inner = _weights_dot(direction, direction), _weights_dot(here.theta, direction)
        length, low, high, slope_at_zero = 0.0, 0.0, math.inf, 0.0
        start = slope = dot(here.gradient, direction)
        trial = here.probability
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
                return None
            torch.add(here.logits, along, alpha=length, out=logits)
            trial = torch.softmax(logits, 1, out=probability)
        if not (start < 0 and math.isfinite(slope)):
            return None
        end = here.squared + 2 * length * inner + length * length * squared
        return _Step(length, logits, probability, end, -length * start / 2)

    def move(self, here: _State, step: _Step, direction: Tensor, penalty: float, exact: bool) -> Tensor:
        """Move `here` by a step, by changes alone or evaluated exactly; the gradient's change."""
        before = here.gradient
        here.theta.add_(direction, alpha=step.length)
        if exact:
            here.logits, here.probability = step.logits, step.probability
            self.evaluate(here, penalty, by_change=False)
            return here.gradient - before
        change = self._gradient_change(torch.sub(step.probability, here.probability, out=self.buffer))
        change[:, :-1].add_(direction[:, :-1], alpha=penalty * step.length)
        here.gradient = before + change
        here.logits, here.probability, here.squared = step.logits, step.probability, step.squared
        right = here.probability.gather(1, self.right).clamp_min_(torch.finfo(change.dtype).tiny)
        here.value = -float(right.log_().sum()) / self.n + penalty / 2 * here.squared
        return change

    def evaluate(self, here: _State, penalty: float, by_change: bool) -> None:
        """`here` in the rows' own arithmetic; its gradient by the change that brings, or whole."""
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


def minimize_from_zero(
    rows: Tensor,
    labels: Tensor,
    n_classes: int,
    penalties: Sequence[float],
    variances: Tensor,
    *,
    rows_low: Tensor | None = None,
    tol: float,
    max_evaluations: int,
    settings: NonlinearCGSettings = NonlinearCGSettings(),
) -> Minimum:
    """From zero weights, through rough optima of all penalties but the last, to an estimated relative gap of `tol`.

    rows (N, d + 1) float32 in an eigenbasis, the last column 1;  labels (N,) of classes that all have rows;  variances (d,) of the
    coordinates;  rows_low  the rows in a faster, less precise dtype, if there is one worth using. The gap's estimate is ½ g'Mg times
    what that fell short of the decreases that followed and those that their rate promises, and never less than `convexity_bound`.
    """
    may_drift, rows_low = rows_low is not None, rows if rows_low is None else rows_low
    problem = _Problem(rows, rows_low, labels, n_classes, settings)
    penalty, *weaker = penalties
    here, preconditioner = problem.zero(), problem.preconditioner_at_zero(variances, penalty)
    spare_logits, spare_probability = torch.empty_like(here.logits), torch.empty_like(here.logits)
    decrements: list[float] = []  # ½ g'Mg at every step of a window, and what f fell by
    decreases: list[float] = []
    direction = change = None
    gap_ratio, last_exact, evaluations, steps, exact, failed = settings.max_gap_ratio, math.inf, 1, 0, True, False
    while True:
        step = preconditioner.apply(here.gradient)
        decrement = dot(here.gradient, step) / 2
        gap, wanted = gap_ratio * decrement / here.value if decrement >= 0 else math.nan, LEAD_IN_TOL if weaker else tol
        if gap <= wanted:
            gap = max(gap, convexity_bound(here.gradient, penalty) / here.value)
        failed = failed or not math.isfinite(gap)
        last_exact = decrement if exact else last_exact
        done = failed or evaluations >= max_evaluations or gap <= wanted
        if done and weaker and not failed:
            before, penalty = penalty, weaker.pop(0)
            here.gradient[:, :-1].add_(here.theta[:, :-1], alpha=penalty - before)
            here.value += (penalty - before) / 2 * here.squared
            preconditioner, direction, change, steps = problem.preconditioner(here, penalty), None, None, 0
            gap_ratio, decrements, decreases = settings.max_gap_ratio, [], []
            continue
        if done and not exact:
            problem.evaluate(here, penalty, by_change=True)
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
        direction_low = direction.to(rows_low.dtype)
        trial = problem.search(
            here, direction.copy_(direction_low), direction_low, penalty, spare_logits, spare_probability
        )
        if trial is None:
            failed = True
            continue
        spare_logits, spare_probability = here.logits, here.probability
        exact = may_drift and decrement < settings.exact_after * last_exact
        change = problem.move(here, trial, direction, penalty, exact)
        evaluations, steps = evaluations + 1, steps + 1
        decrements = [*decrements[1 - settings.window :], decrement]
        decreases = [*decreases[1 - settings.window :], trial.decrease]
        if len(decreases) >= settings.window // 2:
            ratio = _gap_ratio(decrements, decreases, settings.max_rate)
            gap_ratio = min(max(settings.min_gap_ratio, ratio), settings.max_gap_ratio)
        if steps in settings.remeasure_at:
            preconditioner = problem.preconditioner(here, penalty)


def _gap_ratio(decrements: list[float], decreases: list[float], max_rate: float) -> float:
    """What f fell since a step, and will fall by the decreases' rate, over ½ g'Mg there: the largest of the window's steps."""
    middle = len(decreases) // 2
    now, before = sum(decreases[middle:]), sum(decreases[:middle])
    rate = min(now / before, max_rate) if before > 0 else max_rate
    to_come = now * rate / (1 - rate)
    return max((sum(decreases[i:]) + to_come) / decrement for i, decrement in enumerate(decrements))


def _weights_dot(a: Tensor, b: Tensor) -> float:
    """The inner product without the intercepts in the last column."""
    return dot(a, b) - float(torch.dot(a[:, -1], b[:, -1]))
