"""The loss of multinomial logistic regression and its gradient in one pass over blocks of rows, and its curvature from some.

N x K is never held: a block of logits is made, turned into residuals in place, and contracted. Arithmetic is the rows'
dtype, sums over rows are float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from effrob.logistic.feature_blocks import FeatureBlocks
from effrob.logistic.preconditioner import Moments, moments_of

SPREAD = 2, 1024  # x D rows, and rows, that the spread of a metric is measured on at most


class Evaluation(NamedTuple):
    """A value, and the gradient (K, D + 1) float64; the last column is the intercept's."""

    value: float
    gradient: torch.Tensor


def dot(a: torch.Tensor, b: torch.Tensor) -> float:
    """The inner product of two tensors of one shape."""
    return float(torch.dot(a.reshape(-1), b.reshape(-1)))


def residuals_(probability: torch.Tensor, logits: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Softmax of (..., n, K) logits -> loss (..., n) float64, and in place, softmax minus one-hot.

    The loss of a row that is nearly right is taken from the sum of the wrong classes, so that it keeps its relative
    precision in float32 where log-sum-exp minus a logit would cancel.
    """
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


def balanced_(change: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Changed probabilities (n, K), in place: a right class loses what the wrong ones win. Of a sure row it has no digits."""
    right = y.unsqueeze(-1)
    change.scatter_(-1, right, 0.0)
    return change.scatter_(-1, right, -change.sum(-1, keepdim=True))


def quick_dtype(dtype: torch.dtype, device: torch.device) -> torch.dtype:
    """bfloat16 where float32 products are asked for and the device makes bfloat16's faster; otherwise the same."""
    if dtype != torch.float32:
        return dtype
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.get_device_capability(device) >= (8, 0) else dtype
    able = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    has = device.type == "cpu" and any(getattr(torch.cpu, name, lambda: False)() for name in able)
    return torch.bfloat16 if has else dtype


@dataclass
class StreamedLoss:
    """Mean weighted loss + penalty / 2 x ||W||² of rows that are read in every pass.

    labels (N,) int64;  weights (N,) float64 or None;  mass  summed weights
    sample  places of the rows that curvature is measured on, or None for all
    quick   whether products are made in the device's quickest dtype: right to a part in a hundred or so
    """

    features: FeatureBlocks
    labels: torch.Tensor
    weights: torch.Tensor | None
    mass: float
    penalty: float
    sample: NDArray[np.int64] | None = None
    quick: bool = False

    @property
    def dtype(self) -> torch.dtype:
        """Of the arithmetic, products apart."""
        return self.features.dtype

    def evaluate(self, theta: torch.Tensor) -> Evaluation:
        """Value and gradient at theta (K, D + 1) float64."""
        dtype = quick_dtype(self.dtype, theta.device) if self.quick else self.dtype
        weight, bias = self._linear(theta, dtype)
        value, gradient = 0.0, torch.zeros_like(theta)
        for span, rows in self.features.blocks():
            x = rows.to(dtype)
            logits = x @ weight + bias
            loss, residual = residuals_(torch.softmax(logits, dim=-1), logits, self.labels[span])
            if self.weights is not None:
                loss = loss * self.weights[span]
                residual *= self.weights[span].unsqueeze(-1).to(residual.dtype)
            value += float(loss.sum())
            gradient[:, :-1] += residual.to(dtype).T @ x
            gradient[:, -1] += residual.sum(0)
        weight = theta[:, :-1]
        gradient /= self.mass
        gradient[:, :-1] *= self.features.scale
        gradient[:, :-1] += self.penalty * weight
        return Evaluation(value / self.mass + self.penalty / 2 * float(weight.square().sum()), gradient)

    def value(self, theta: torch.Tensor) -> float:
        """The value alone, never quick."""
        weight, bias = self._linear(theta, self.dtype)
        loss = 0.0
        for span, x in self.features.blocks():
            logits = x @ weight + bias
            lost, _ = residuals_(torch.softmax(logits, dim=-1), logits, self.labels[span])
            loss += float(lost.sum() if self.weights is None else (lost * self.weights[span]).sum())
        return loss / self.mass + self.penalty / 2 * float(theta[:, :-1].square().sum())

    def moments(self, theta: torch.Tensor) -> Moments:
        """Curvature at theta, from the sampled rows; the spread from SPREAD of those at most (see `in_doubt`)."""
        k, d = len(theta), theta.shape[1] - 1
        mass, first = theta.new_zeros(k), theta.new_zeros(k, d)
        dtype = quick_dtype(self.dtype, theta.device)
        weight, bias = self._linear(theta, dtype)
        sample = np.arange(len(self.features)) if self.sample is None else self.sample
        rows = np.array_split(sample, -(-len(sample) // self.features.block_rows))
        few = len(sample) <= max(SPREAD[0] * d, SPREAD[1])
        doubts, total, second = [], 0.0, theta.new_zeros(d, d)
        for some in rows:
            x = self.features.take(some)
            chance = torch.softmax(x.to(dtype) @ weight + bias, dim=-1)
            curve = chance * (1 - chance)
            if self.weights is None:
                total += len(some)
            else:
                w = self.weights[torch.from_numpy(some).to(theta.device)]
                total, curve = total + float(w.sum()), curve * w.unsqueeze(-1).to(curve.dtype)
            mass += curve.sum(0)
            first += curve.to(dtype).T @ x.to(dtype)
            doubts.append(curve.sum(-1))
            if few:
                second += (x * doubts[-1].unsqueeze(-1)).T @ x
        if not few:
            picked = sample[in_doubt(torch.cat(doubts), d).cpu().numpy()]
            for some in np.array_split(picked, -(-len(picked) // self.features.block_rows)):
                x = self.features.take(some)
                second += x.T @ x
        tiny = torch.finfo(torch.float64).tiny
        second /= second.new_tensor(len(picked)) if not few else torch.cat(doubts).double().sum().clamp_min(tiny)
        centre = first / mass.clamp_min(tiny).unsqueeze(-1)
        return moments_of(mass, centre, second.to(self.dtype), total, self.features.scale)

    def _linear(self, theta: torch.Tensor, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
        """theta as (D, K) weights for the scaled rows, and (K,) intercepts in the arithmetic's dtype."""
        return (theta[:, :-1] * self.features.scale).to(dtype).T, theta[:, -1].to(self.dtype)


def in_doubt(doubt: torch.Tensor, dimension: int) -> torch.Tensor:
    """Rows drawn in proportion to doubt (N,), their part in the curvature: places (n,)."""
    most = max(SPREAD[0] * dimension, SPREAD[1])
    summed = doubt.double().cumsum(0)
    wanted = (torch.arange(most, device=doubt.device) + 0.5) / most * summed[-1]
    return torch.searchsorted(summed, wanted).clamp_max(len(doubt) - 1)
