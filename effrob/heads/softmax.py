"""The loss of multinomial logistic regression, its gradient and its curvature, in one pass over blocks of rows.

Problems come in stacks: P of them share a shape and differ in rows, labels or weights; a single probe is P = 1. N x K is
never held: a block of logits is made, turned into residuals in place, and contracted. Arithmetic is the rows' dtype,
sums over rows are float64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch

from effrob.heads.blocks import FeatureBlocks

Places = slice | torch.Tensor


class Batch(NamedTuple):
    """Rows of the first p problems of a stack: x (p, n, D), y (p, n) int64, w (p, n) float64 or None for all ones."""

    x: torch.Tensor
    y: torch.Tensor
    w: torch.Tensor | None


class Evaluation(NamedTuple):
    """value (p,) float64 and gradient (p, K, D + 1) float64, the last column the intercept's."""

    value: torch.Tensor
    gradient: torch.Tensor


class Moments(NamedTuple):
    """Second-order facts of p problems, rows weighted by p_k (1 - p_k): what a class's curvature sees.

    mass (p, K) the mean weight of a class;  centre (p, K, D) its weighted mean row;
    spread (p, D, D) the weighted covariance about those centres, pooled over classes and divided by the summed mass.
    """

    mass: torch.Tensor
    centre: torch.Tensor
    spread: torch.Tensor


def residuals_(logits: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(..., n, K) logits -> loss (..., n) float64 and softmax minus one-hot (..., n, K).

    The loss of a row that is nearly right is taken from the sum of the wrong classes, so that it keeps its relative
    precision in float32 where log-sum-exp minus a logit would cancel.
    """
    probability = torch.softmax(logits, dim=-1)
    index = y.unsqueeze(-1)
    right = probability.gather(-1, index).squeeze(-1)
    probability.scatter_(-1, index, 0.0)
    wrong = probability.sum(-1).clamp_(max=1.0)
    probability.scatter_(-1, index, -wrong.unsqueeze(-1))
    tiny = torch.finfo(logits.dtype).tiny
    loss = torch.where(wrong < 0.5, -torch.log1p(-wrong.double()), -torch.log(right.clamp_min(tiny).double()))
    lost = right < 1e4 * tiny
    if bool(lost.any()):  # the right class underflowed: take the loss from the logits
        exact = logits[lost].double()
        loss[lost] = torch.logsumexp(exact, -1) - exact.gather(-1, y[lost].unsqueeze(-1)).squeeze(-1)
    return loss, probability


@dataclass(frozen=True)
class SoftmaxLoss:
    """Mean weighted loss + penalty / 2 x ||W||² of a stack of problems.

    batches  gives the rows of a stack, block by block; later batches may hold fewer problems (the first p)
    sample   the same for the rows that curvature is measured on, a seeded part of them
    mass     (P,) summed weights;  sampled  (P,) those of `sample`;  penalty (P,);  scale (P, D) of the rows (see FeatureBlocks)
    """

    batches: Callable[[], Iterator[Batch]]
    sample: Callable[[], Iterator[Batch]]
    mass: torch.Tensor
    sampled: torch.Tensor
    penalty: torch.Tensor
    scale: torch.Tensor
    dtype: torch.dtype

    def _scorer(self, theta: torch.Tensor, ids: torch.Tensor) -> Callable[[Places, torch.Tensor], torch.Tensor]:
        """Rows (p, n, D) of the problems at these places -> logits (p, n, K), in the arithmetic's dtype."""
        weight = (theta[..., :-1] * self.scale[ids].unsqueeze(1)).to(self.dtype).mT
        bias = theta[..., -1:].to(self.dtype).mT
        return lambda places, x: torch.baddbmm(bias[places], x, weight[places])

    @staticmethod
    def _share(batch: Batch, ids: torch.Tensor) -> tuple[Places, Batch]:
        """The places in `ids` that this batch has rows of, and those rows."""
        if batch.x.shape[0] == 1 and len(ids) == 1 and int(ids[0]) == 0:
            return slice(None), batch
        places = (ids < batch.x.shape[0]).nonzero()[:, 0]
        mine = ids[places]
        return places, Batch(batch.x[mine], batch.y[mine], None if batch.w is None else batch.w[mine])

    def evaluate(self, theta: torch.Tensor, ids: torch.Tensor) -> Evaluation:
        """Value and gradient of the problems `ids` (p,) at theta (p, K, D + 1) float64."""
        value = torch.zeros(len(ids), dtype=torch.float64, device=theta.device)
        gradient = torch.zeros_like(theta)
        score = self._scorer(theta, ids)
        for whole in self.batches():
            places, batch = self._share(whole, ids)
            if batch.x.shape[0] == 0:
                continue
            loss, residual = residuals_(score(places, batch.x), batch.y)
            if batch.w is not None:
                loss = loss * batch.w
                residual *= batch.w.unsqueeze(-1).to(residual.dtype)
            value[places] += loss.sum(-1)
            gradient[places, :, :-1] += torch.bmm(residual.mT, batch.x)
            gradient[places, :, -1] += residual.sum(1)
        mass, penalty = self.mass[ids], self.penalty[ids]
        weight = theta[..., :-1]
        gradient /= mass[:, None, None]
        gradient[..., :-1] *= self.scale[ids].unsqueeze(1)
        gradient[..., :-1] += penalty[:, None, None] * weight
        return Evaluation(value / mass + penalty / 2 * weight.square().sum((1, 2)), gradient)

    def moments(self, theta: torch.Tensor, ids: torch.Tensor) -> Moments:
        """Curvature of the problems `ids` at theta, from the sampled rows."""
        p, k, d = len(ids), theta.shape[1], theta.shape[2] - 1
        mass = torch.zeros(p, k, dtype=torch.float64, device=theta.device)
        first = torch.zeros(p, k, d, dtype=torch.float64, device=theta.device)
        second = torch.zeros(p, d, d, dtype=torch.float64, device=theta.device)
        score = self._scorer(theta, ids)
        for whole in self.sample():
            places, batch = self._share(whole, ids)
            if batch.x.shape[0] == 0:
                continue
            curve = torch.softmax(score(places, batch.x), dim=-1)
            curve = curve.addcmul_(curve, curve, value=-1.0)
            if batch.w is not None:
                curve *= batch.w.unsqueeze(-1).to(curve.dtype)
            mass[places] += curve.sum(1)
            first[places] += torch.bmm(curve.mT, batch.x)
            second[places] += torch.bmm((batch.x * curve.sum(-1, keepdim=True)).mT, batch.x)
        floor = torch.finfo(torch.float64).tiny
        centre = first / mass.clamp_min(floor).unsqueeze(-1)
        spread = (second - torch.bmm((centre * mass.unsqueeze(-1)).mT, centre)) / mass.sum(1).clamp_min(floor)[
            :, None, None
        ]
        scale = self.scale[ids]
        spread = spread * scale.unsqueeze(2) * scale.unsqueeze(1)
        return Moments(mass / self.sampled[ids].unsqueeze(-1), centre * scale.unsqueeze(1), spread)


def stream(features: FeatureBlocks, y: torch.Tensor, weights: torch.Tensor | None) -> Callable[[], Iterator[Batch]]:
    """Batches of a single problem, read from its blocks."""

    def batches() -> Iterator[Batch]:
        for span, rows in features.blocks():
            yield Batch(
                rows.unsqueeze(0), y[span].unsqueeze(0), None if weights is None else weights[span].unsqueeze(0)
            )

    return batches
