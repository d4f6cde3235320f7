"""The objective of multinomial logistic regression, as a protocol, and the softmax arithmetic that its implementations share.

    f(theta) = mean over rows of weight x cross-entropy  +  penalty / 2 x ||W||²

theta is (K, D + 1) float64: K classes, D features, the unpenalised intercepts in the last column. Compare scikit-learn's
`sklearn.linear_model._linear_loss.LinearModelLoss`. `InMemoryLoss` keeps N x K probabilities, `StreamedLoss` does not.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from effrob.arithmetic import slowdown
from effrob.logistic.preconditioner import Moments

# N x K up to which probabilities are kept, by device type: in memory there are 11 numbers of each, 184 MB in float32 on a CPU
IN_MEMORY_LIMIT = {"cpu": 1 << 22, "cuda": 1 << 27}
VALUE_NOISE = {torch.float32: 1e-8, torch.float64: 1e-14}  # relative rounding error of f, whose rows are of this dtype
WORTH = 0.9  # of the time in float32: the most that a product in bfloat16 may take to be used in its place
COVARIANCE_ROWS = 2, 1024  # rows a feature, or rows, whichever is more, that a pooled covariance is measured on at most
# Strong convexity's bound was 2 to 5 times the gap on the benchmarks, and 1500 times where an estimate was ten times too small.
# A seventieth of it costs no benchmark an evaluation; a thirtieth makes paths stopped at 0.1 longer
CONVEXITY_SLACK = 70.0


class ValueAndGradient(NamedTuple):
    """f and its gradient (K, D + 1) float64."""

    value: float
    gradient: Tensor


class Iterate(NamedTuple):
    """A point theta (K, D + 1) float64, with its logits (N, K) where a loss keeps them."""

    theta: Tensor
    logits: Tensor | None = None


class Loss(Protocol):
    """What a path asks of a loss; solvers know which they have. The penalty is an argument: one loss serves every strength."""

    def value(self, theta: Tensor, penalty: float) -> float:
        """f alone, for half the cost of its gradient; changes no state."""

    def moments(self, theta: Tensor, penalty: float) -> Moments:
        """Of the curvature at theta, for a preconditioner under this penalty."""

    def iterate(self, theta: Tensor) -> Iterate:
        """theta with its logits, if this kind of loss keeps them."""

    def combine(self, iterates: Sequence[Iterate], coefficients: Sequence[float], penalty: float) -> Iterate:
        """The linear combination of iterates, or one with a smaller f where that is cheap to find."""


def linear_combination(thetas: Sequence[Tensor], coefficients: Sequence[float]) -> Tensor:
    """The sum of coefficient x theta (K, D + 1)."""
    return torch.stack([factor * theta for factor, theta in zip(coefficients, thetas)]).sum(0)


def dot(a: Tensor, b: Tensor) -> float:
    """The inner product of two tensors of one shape."""
    return float(torch.dot(a.reshape(-1), b.reshape(-1)))


def squared_weights(theta: Tensor) -> float:
    """||W||² of theta (K, D + 1), intercepts left out."""
    return float(theta[:, :-1].square().sum())


def remove_common(theta: Tensor) -> Tensor:
    """(K, D + 1) less the mean over classes: that part changes no probability, and the penalty makes it 0 at the optimum."""
    return theta - theta.mean(0)


def convexity_floor(gradient: Tensor, penalty: float) -> float:
    """1/70 of strong convexity's bound on f - f*, ||gradient in W||² / (2 penalty): a floor under what solvers stop by.

    The bound (Boyd and Vandenberghe 9.1.2) holds where the intercepts are at their optimum; 70 is CONVEXITY_SLACK.
    """
    return squared_weights(gradient) / max(2 * penalty * CONVEXITY_SLACK, sys.float_info.min)


def softmax_residuals_(probability: Tensor, logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Softmax of logits (n, K), labels (n,) -> cross-entropies (n,) float64, and, in place, softmax minus one-hot.

    Of a probability over a half the loss is -log1p(-sum of the others), which keeps the relative precision of rows fitted
    almost perfectly, where log-sum-exp minus a logit would cancel.
    """
    index = y.unsqueeze(-1)
    right = probability.gather(-1, index).squeeze(-1)
    probability.scatter_(-1, index, 0.0)
    wrong = probability.sum(-1).clamp_(max=1.0)
    probability.scatter_(-1, index, -wrong.unsqueeze(-1))
    tiny = torch.finfo(logits.dtype).tiny
    loss = torch.where(wrong < 0.5, -torch.log1p(-wrong.double()), -torch.log(right.clamp_min(tiny).double()))
    underflow = right < 1e4 * tiny
    if bool(underflow.any()):
        exact = logits[underflow].double()
        loss[underflow] = torch.logsumexp(exact, -1) - exact.gather(-1, y[underflow].unsqueeze(-1)).squeeze(-1)
    return loss, probability


def balance_right_class_(change: Tensor, y: Tensor) -> Tensor:
    """Changes of probabilities (n, K), in place: the right class's becomes minus the sum of the others'.

    A saturated row's own probability is 1 to the last digit, so its change would be lost.
    """
    right = y.unsqueeze(-1)
    change.scatter_(-1, right, 0.0)
    return change.scatter_(-1, right, -change.sum(-1, keepdim=True))


def low_precision_dtype(dtype: torch.dtype, device: torch.device) -> torch.dtype:
    """bfloat16 in place of float32 where the device multiplies it faster; otherwise `dtype` itself."""
    if dtype != torch.float32:
        return dtype
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.get_device_capability(device) >= (8, 0) else dtype
    able = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # without them a trial would be long
    has = device.type == "cpu" and any(getattr(torch.cpu, name, lambda: False)() for name in able)
    return torch.bfloat16 if has and slowdown(torch.bfloat16) < WORTH else dtype


def covariance_rows(dimension: int) -> int:
    """Rows that a pooled covariance of `dimension` features is measured on, at most."""
    return max(COVARIANCE_ROWS[0] * dimension, COVARIANCE_ROWS[1])


def draw_by_curvature(curvature: Tensor, dimension: int) -> Tensor:
    """`covariance_rows` places, in proportion to the rows' curvature sum of p (1 - p) (N,), by systematic sampling."""
    wanted = covariance_rows(dimension)
    cumulative = curvature.double().cumsum(0)
    thresholds = (torch.arange(wanted, device=curvature.device) + 0.5) / wanted * cumulative[-1]
    return torch.searchsorted(cumulative, thresholds).clamp_max(len(curvature) - 1)
