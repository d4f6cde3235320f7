"""The loss on rows that are read block by block in every pass: N x K numbers are never held.

Products are in the rows' dtype, or in bfloat16 on request; losses, and sums over blocks, are float64.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from effrob.logistic.feature_blocks import FeatureBlocks
from effrob.logistic.losses import (
    Iterate,
    Loss,
    ValueAndGradient,
    covariance_rows,
    draw_by_curvature,
    linear_combination,
    low_precision_dtype,
    softmax_residuals_,
    squared_weights,
)
from effrob.logistic.preconditioner import TINY, Moments, centred_moments


@dataclass(frozen=True)
class StreamedLoss:
    """A `Loss` that keeps nothing between evaluations.

    labels (N,) int64;  weights (N,) float64 or None;  total  summed weights
    sample     places of the rows whose curvature `moments` measures, or None for all
    subsample  a loss on some of the rows, kept in memory, that `combine` asks in place of all
    """

    features: FeatureBlocks
    labels: Tensor
    weights: Tensor | None
    total: float
    sample: NDArray[np.int64] | None = None
    subsample: Loss | None = None

    def evaluate(self, theta: Tensor, penalty: float, *, low_precision: bool = False) -> ValueAndGradient:
        """f and its gradient at theta, in one pass; in low precision both are right to about a hundredth."""
        dtype = low_precision_dtype(self.features.dtype, theta.device) if low_precision else self.features.dtype
        value, gradient = 0.0, torch.zeros_like(theta)
        for span, x, losses, residual in self._pass(theta, dtype):
            if self.weights is not None:
                residual *= self.weights[span].unsqueeze(-1).to(residual.dtype)
            value += float(losses.sum())
            gradient[:, :-1] += residual.to(dtype).T @ x
            gradient[:, -1] += residual.sum(0)
        gradient /= self.total
        gradient[:, :-1] *= self.features.scale
        gradient[:, :-1] += penalty * theta[:, :-1]
        return ValueAndGradient(value / self.total + penalty / 2 * squared_weights(theta), gradient)

    def value(self, theta: Tensor, penalty: float) -> float:
        """f alone, in one pass."""
        loss = sum(float(losses.sum()) for _, _, losses, _ in self._pass(theta, self.features.dtype))
        return loss / self.total + penalty / 2 * squared_weights(theta)

    def _pass(self, theta: Tensor, dtype: torch.dtype) -> Iterator[tuple[slice, Tensor, Tensor, Tensor]]:
        """Row range, rows (n, D) in `dtype`, weighted losses (n,) and unweighted residuals (n, K), block by block."""
        weights, intercepts = self._linear(theta, dtype)
        for span, rows in self.features.blocks():
            x = rows.to(dtype)
            logits = x @ weights + intercepts
            losses, residual = softmax_residuals_(torch.softmax(logits, dim=-1), logits, self.labels[span])
            yield span, x, losses if self.weights is None else losses * self.weights[span], residual

    def moments(self, theta: Tensor, penalty: float) -> Moments:
        """Of the curvature at theta on the sampled rows; the covariance of `covariance_rows` of those at most."""
        k, d = len(theta), theta.shape[1] - 1
        weight, first = theta.new_zeros(k), theta.new_zeros(k, d)
        dtype = low_precision_dtype(self.features.dtype, theta.device)
        weights, intercepts = self._linear(theta, dtype)
        sample = np.arange(len(self.features)) if self.sample is None else self.sample
        all_rows = len(sample) <= covariance_rows(d)
        by_row, total, second = [], 0.0, theta.new_zeros(d, d)
        for places in self._chunks(sample):
            x = self.features.take(places)
            probability = torch.softmax(x.to(dtype) @ weights + intercepts, dim=-1)
            curvature = probability * (1 - probability)
            if self.weights is None:
                total += len(places)
            else:
                w = self.weights[torch.from_numpy(places).to(theta.device)]
                total, curvature = total + float(w.sum()), curvature * w.unsqueeze(-1).to(curvature.dtype)
            weight += curvature.sum(0)
            first += curvature.to(dtype).T @ x.to(dtype)
            by_row.append(curvature.sum(-1))
            if all_rows:
                second += (x * by_row[-1].unsqueeze(-1)).T @ x
        if all_rows:
            second /= torch.cat(by_row).double().sum().clamp_min(TINY)
        else:
            drawn = sample[draw_by_curvature(torch.cat(by_row), d).cpu().numpy()]
            for places in self._chunks(drawn):
                x = self.features.take(places)
                second += x.T @ x
            second /= second.new_tensor(len(drawn))
        mean = first / weight.clamp_min(TINY).unsqueeze(-1)
        return centred_moments(weight, mean, second.to(self.features.dtype), total, self.features.scale)

    def iterate(self, theta: Tensor) -> Iterate:
        """theta alone."""
        return Iterate(theta)

    def combine(self, iterates: Sequence[Iterate], coefficients: Sequence[float], penalty: float) -> Iterate:
        """The linear combination, or what the subsample finds better."""
        if self.subsample is None:
            return Iterate(linear_combination([one.theta for one in iterates], coefficients))
        return Iterate(self.subsample.combine(iterates, coefficients, penalty).theta)

    def _chunks(self, places: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        return np.array_split(places, -(-len(places) // self.features.block_rows))

    def _linear(self, theta: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """theta as (D, K) weights of the scaled rows in `dtype`, and (K,) intercepts in the arithmetic's."""
        return (theta[:, :-1] * self.features.scale).to(dtype).T, theta[:, -1].to(self.features.dtype)
