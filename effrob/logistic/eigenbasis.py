"""Rows turned onto the axes of their covariance, where a diagonal is as good a metric as a whole matrix.

A turn changes no penalty and no loss, so any rows may lie along the axes of others that are like them. Knows no labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch

from effrob.logistic.feature_blocks import FeatureBlocks

ROWS = 2, 1024  # x d rows, and rows, that axes are measured on at most


@dataclass(frozen=True)
class Axes:
    """basis (d, d) float32, a turn;  spectrum (d,) float64, the variances along it in the features' own units."""

    basis: torch.Tensor
    spectrum: torch.Tensor

    @classmethod
    def of(cls, blocks: FeatureBlocks) -> Self:
        """Of these rows, or of some of many, evenly spread."""
        every = -(-len(blocks) // max(ROWS[0] * blocks.dimension, ROWS[1]))
        rows = _plain(blocks, slice(None, None, every))
        covariance = rows.T @ rows / len(rows)
        try:
            roots, basis = torch.linalg.eigh(covariance)
        except RuntimeError:  # torch.linalg.LinAlgError: float32 may not converge where many features are constant
            roots, basis = torch.linalg.eigh(covariance.double())
        return cls(basis.to(rows.dtype), roots.double().clamp_min(0.0) * blocks.unit**2)

    def turned(self, blocks: FeatureBlocks) -> torch.Tensor:
        """(N, d + 1) float32 rows along the axes, in units of `blocks.unit`; the last column is 1."""
        rows = torch.ones(len(blocks), blocks.dimension + 1, device=blocks.device)
        rows[:, :-1] = _plain(blocks, slice(None)) @ self.basis
        return rows

    def back(self, theta: torch.Tensor) -> torch.Tensor:
        """(K, d + 1) weights along the axes -> those of the coordinates that were turned, float64."""
        weights = theta[:, :-1].to(self.basis) @ self.basis.T
        return torch.cat([weights.double(), theta[:, -1:].double()], dim=1)


def _plain(blocks: FeatureBlocks, some: slice) -> torch.Tensor:
    """(n, d) float32 centred rows, all features in one unit, constant ones 0."""
    return blocks.take(some) * blocks.scale.to(torch.float32)
