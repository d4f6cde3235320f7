"""Rows in the eigenbasis of their covariance, where a diagonal preconditioner does as well as a full matrix.

An orthogonal change of basis changes neither penalty nor loss, so rows may be expressed in the eigenbasis of similar rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from effrob.logistic.feature_blocks import FeatureBlocks

# rows that the covariance is measured on at most: the larger of so many a feature and so many in all
ROWS_PER_FEATURE, ROWS = 2, 1024


@dataclass(frozen=True)
class Eigenbasis:
    """vectors (d, d) float32, orthonormal columns;  variances (d,) float64 along them, in the features' own units."""

    vectors: Tensor
    variances: Tensor

    @classmethod
    def of(cls, blocks: FeatureBlocks) -> Self:
        """Of these rows; of many, of every n-th."""
        every = -(-len(blocks) // max(ROWS_PER_FEATURE * blocks.dimension, ROWS))
        rows = _unscaled(blocks, slice(None, None, every))
        covariance = rows.T @ rows / len(rows)
        try:
            variances, vectors = torch.linalg.eigh(covariance)
        except RuntimeError:  # torch.linalg.LinAlgError: float32 may not converge where many features are constant
            variances, vectors = torch.linalg.eigh(covariance.double())
        return cls(vectors.to(rows.dtype), variances.double().clamp_min(0.0) * blocks.unit**2)

    def transform(self, blocks: FeatureBlocks) -> Tensor:
        """(N, d + 1) float32 coordinates of the rows, in units of `blocks.unit`; the last column is 1."""
        rows = torch.ones(len(blocks), blocks.dimension + 1, device=blocks.device)
        rows[:, :-1] = _unscaled(blocks, slice(None)) @ self.vectors
        return rows

    def inverse_transform(self, theta: Tensor) -> Tensor:
        """(K, d + 1) weights in this basis -> weights (K, d + 1) float64 of the coordinates that `transform` took."""
        weights = theta[:, :-1].to(self.vectors) @ self.vectors.T
        return torch.cat([weights.double(), theta[:, -1:].double()], dim=1)


def _unscaled(blocks: FeatureBlocks, some: slice) -> Tensor:
    """(n, d) float32 centred rows, all features in one unit; constant ones are 0."""
    return blocks.take(some) * blocks.scale.to(torch.float32)
