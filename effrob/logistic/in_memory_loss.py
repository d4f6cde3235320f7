"""The loss on rows few enough to keep all N x K probabilities: what Newton's method needs.

A Hessian product is then two matrix products and no softmax, and may be made in bfloat16 where the device is faster at it.
Logits are kept too, so that a linear combination of known iterates is evaluated without a matrix product.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from effrob.logistic.losses import (
    Iterate,
    ValueAndGradient,
    balance_right_class_,
    covariance_rows,
    dot,
    draw_by_curvature,
    linear_combination,
    low_precision_dtype,
    softmax_residuals_,
    squared_weights,
)
from effrob.logistic.preconditioner import TINY, Moments, centred_moments, diagonal_suffices

MIN_EIGENVALUE = 1e-6  # relative to the largest, of a Hessian among iterates: smaller ones are float32's rounding


class InMemoryLoss:
    """A `Loss` that keeps logits and probabilities of the theta evaluated last.

    x (N, D) rows in the arithmetic's dtype, in units of scale (D,);  y (N,) int64;  weights (N,) float64 or None
    """

    def __init__(
        self, x: Tensor, y: Tensor, weights: Tensor | None, scale: Tensor, n_classes: int, block_rows: int
    ) -> None:
        self.x, self.y, self.weights, self.scale, self.dtype = x, y, weights, scale, x.dtype
        self.x_low = x.to(low_precision_dtype(x.dtype, x.device))
        self.has_low_precision = self.x_low.dtype != x.dtype
        self.total = float(len(y)) if weights is None else float(weights.sum())
        size = max(64, block_rows)
        self.spans = [slice(first, first + size) for first in range(0, len(y), size)]
        self.logits = x.new_empty(len(y), n_classes)
        self.probability = torch.empty_like(self.logits)
        self.theta = torch.empty(0)

    def evaluate(
        self,
        theta: Tensor,
        penalty: float,
        logits: Tensor | None = None,
        previous: ValueAndGradient | None = None,
        *,
        low_precision_logits: bool = False,
    ) -> ValueAndGradient:
        """f and its gradient at theta, whose logits (N, K) may be known; `hessian_product` is at this theta from now on.

        With `previous`, the evaluation at the last theta, the gradient's change since then is made in low precision, and
        with `low_precision_logits` the logits' too: each is wrong by about a hundredth of the change.
        """
        value, gradient = 0.0, torch.zeros_like(theta)
        if previous is not None:
            step = theta - self.theta
            step_weights, step_intercepts = self._linear(step, self.x_low.dtype)
        weights, intercepts = self._linear(theta, self.dtype)
        self.theta = theta
        rows = self.x if previous is None else self.x_low
        for span in self.spans:
            if low_precision_logits and previous is not None:
                known = self.logits[span].add_(torch.mm(self.x_low[span], step_weights)).add_(step_intercepts)
            else:
                known = torch.addmm(intercepts, self.x[span], weights) if logits is None else logits[span]
                self.logits[span] = known
            probability = torch.softmax(known, dim=-1)
            change = probability - self.probability[span] if previous is not None else None
            self.probability[span] = probability
            loss, residual = softmax_residuals_(probability, known, self.y[span])
            residual = residual if change is None else balance_right_class_(change, self.y[span])
            if self.weights is not None:
                loss = loss * self.weights[span]
                residual *= self.weights[span].unsqueeze(-1).to(self.dtype)
            value += float(loss.sum())
            gradient[:, :-1] += torch.mm(residual.to(rows.dtype).T, rows[span])
            gradient[:, -1] += residual.sum(0)
        gradient /= self.total
        gradient[:, :-1] *= self.scale
        gradient[:, :-1] += penalty * (theta if previous is None else step)[:, :-1]
        if previous is not None:
            gradient += previous.gradient
        return ValueAndGradient(value / self.total + penalty / 2 * squared_weights(theta), gradient)

    def hessian_product(self, direction: Tensor, penalty: float, low_precision: bool) -> tuple[Tensor, Tensor]:
        """The direction (K, D + 1) as rounded to the arithmetic, and the Hessian times that rounded direction.

        Pairing the product with the unrounded direction would leave an error that the features' condition number amplifies.
        """
        rows = self.x_low if low_precision else self.x
        weights, intercepts = self._linear(direction, rows.dtype)
        scale = self.scale.to(self.dtype)
        inverse = torch.where(scale > 0, 1.0 / scale, 0.0)  # exact: scales are powers of two
        direction = torch.cat([weights.T.to(self.dtype) * inverse, direction[:, -1:]], dim=-1)
        product = torch.zeros_like(direction)
        for span in self.spans:
            x, probability = rows[span], self.probability[span]
            change = (torch.mm(x, weights) + intercepts).mul_(probability)
            change.addcmul_(probability, change.sum(-1, keepdim=True), value=-1.0)
            if self.weights is not None:
                change *= self.weights[span].unsqueeze(-1).to(self.dtype)
            product[:, :-1] += torch.mm(change.to(rows.dtype).T, x)
            product[:, -1] += change.sum(0)
        product /= self.total
        product[:, :-1] *= scale
        product[:, :-1] += penalty * direction[:, :-1]
        return direction, product

    def moments(self, theta: Tensor, penalty: float) -> Moments:
        """Of the curvature at theta: of all rows, but the covariance of `covariance_rows` of them at most."""
        if theta is not self.theta:
            self.evaluate(theta, penalty)
        n, d = self.x.shape
        weight = self.theta.new_zeros(len(self.theta))
        first = self.x.new_zeros(len(weight), d)
        by_row = self.x.new_empty(n)
        for span in self.spans:
            probability = self.probability[span]
            curvature = torch.addcmul(probability, probability, probability, value=-1.0)
            if self.weights is not None:
                curvature *= self.weights[span].unsqueeze(-1).to(self.dtype)
            weight += curvature.sum(0)
            by_row[span] = curvature.sum(-1)
            first += torch.mm(curvature.to(self.x_low.dtype).T, self.x_low[span])
        mean = first.double() / weight.clamp_min(TINY).unsqueeze(-1)
        if n > covariance_rows(d):
            rows = self.x[draw_by_curvature(by_row, d)]
            relative = by_row.new_full((len(rows),), 1.0 / len(rows))
        else:
            rows, relative = self.x, by_row / by_row.sum().clamp_min(torch.finfo(self.dtype).tiny)
        diagonal = centred_moments(weight, mean, relative @ rows.square(), self.total, self.scale)
        if diagonal_suffices(diagonal, rows, relative, self.scale, penalty, n * len(weight)):
            return diagonal
        second = torch.mm((rows * relative.unsqueeze(-1)).T, rows)
        return centred_moments(weight, mean, second, self.total, self.scale)

    def value(self, theta: Tensor, penalty: float) -> float:
        """f alone."""
        return self._value(theta, self._logits(theta), penalty)

    def iterate(self, theta: Tensor) -> Iterate:
        """theta and a copy of its logits."""
        return Iterate(theta, self.logits.clone() if theta is self.theta else self._logits(theta))

    def combine(self, iterates: Sequence[Iterate], coefficients: Sequence[float], penalty: float) -> Iterate:
        """The combination, or where f is smaller, one Newton step from it in all coefficients, whose sum is free.

        In terms of the last iterate and the others' differences from it, which conditions the Hessian better.
        """
        known = [(one.theta, self._logits(one.theta) if one.logits is None else one.logits) for one in iterates]
        begin = torch.tensor(coefficients, dtype=torch.float64, device=self.y.device)
        theta, logits = _combined(known, begin)
        last_theta, last_logits = known[-1]
        weights = [last_theta[:, :-1], *((one - last_theta)[:, :-1] for one, _ in known[:-1])]
        slope, hessian = torch.zeros_like(begin), begin.new_zeros(len(known), len(known))
        loss = 0.0
        for span in self.spans:
            right = self.y[span].unsqueeze(-1)
            probability = torch.softmax(logits[span], dim=-1)
            means: list[Tensor] = []
            directions = [last_logits[span], *(one[span] - last_logits[span] for _, one in known[:-1])]
            margins = [one - one.gather(-1, right) for one in directions]  # nothing cancels in saturated rows
            w = None if self.weights is None else self.weights[span]
            for i, margin in enumerate(margins):
                weighted = probability * margin
                means.append(weighted.sum(-1).double())
                weighted_mean = means[i] if w is None else means[i] * w
                weighted = weighted if w is None else weighted.mul_(w.unsqueeze(-1).to(self.dtype))
                slope[i] += weighted_mean.sum()
                for j in range(i + 1):
                    hessian[i, j] += dot(weighted, margins[j]) - dot(weighted_mean, means[j])
            losses, _ = softmax_residuals_(probability, logits[span], self.y[span])
            loss += float((losses if w is None else losses * w).sum())
        inner = hessian.new_tensor([[float((a * b).sum()) for b in weights] for a in weights])
        hessian = (hessian + hessian.tril(-1).T) / self.total + inner * penalty
        pull = slope.new_tensor([float((theta[:, :-1] * one).sum()) for one in weights])
        slope = slope / self.total + pull * penalty
        unit = hessian.diagonal().clamp_min(TINY).rsqrt()
        step = -unit * _minimum_norm_solution(unit.unsqueeze(1) * hessian * unit, unit * slope)
        step = torch.cat([step[1:], step[:1] - step[1:].sum()])
        other_theta, other_logits = _combined(known, begin + step)
        value = loss / self.total + penalty / 2 * squared_weights(theta)
        if self._value(other_theta, other_logits, penalty) < value:
            return Iterate(other_theta, other_logits)
        return Iterate(theta, logits)

    def _linear(self, theta: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """theta as (D, K) weights of the scaled rows in `dtype`, and (K,) intercepts in the arithmetic's."""
        return (theta[:, :-1] * self.scale.to(theta.dtype)).to(dtype).T, theta[:, -1].to(self.dtype)

    def _logits(self, theta: Tensor) -> Tensor:
        weights, intercepts = self._linear(theta, self.dtype)
        return torch.cat([torch.addmm(intercepts, self.x[span], weights) for span in self.spans])

    def _value(self, theta: Tensor, logits: Tensor, penalty: float) -> float:
        loss = 0.0
        for span in self.spans:
            block = logits[span]
            losses, _ = softmax_residuals_(torch.softmax(block, dim=-1), block, self.y[span])
            loss += float((losses if self.weights is None else losses * self.weights[span]).sum())
        return loss / self.total + penalty / 2 * squared_weights(theta)


def _combined(known: Sequence[tuple[Tensor, Tensor]], coefficients: Tensor) -> tuple[Tensor, Tensor]:
    """The sums of the thetas and of their logits with float64 coefficients (n,)."""
    factors = [float(factor) for factor in coefficients]
    logits = known[0][1] * factors[0]
    for factor, (_, other) in zip(factors[1:], known[1:]):
        logits.add_(other, alpha=factor)
    return linear_combination([theta for theta, _ in known], factors), logits


def _minimum_norm_solution(matrix: Tensor, right: Tensor) -> Tensor:
    """x (n,) of matrix (n, n) x = right, in the span of eigenvectors above MIN_EIGENVALUE."""
    if not bool(torch.isfinite(matrix).all() & torch.isfinite(right).all()):
        return torch.zeros_like(right)  # iterates so far apart that float32 overflows on their logits' squares
    roots, basis = torch.linalg.eigh(matrix)
    clear = roots > MIN_EIGENVALUE * roots[-1:]
    solution: Tensor = basis @ torch.where(clear, (basis.T @ right) / roots.clamp_min(1e-300), 0.0)
    return solution
