"""Feature rows as the solvers read them: block by block, centred and scaled, from an array, a memory map or a tensor.

The intercept is free, so centring moves no optimum; losses apply the scales to the weights, so the penalty is on coefficients
of unscaled features. A memory map is streamed, and copied whole only if asked to or N <= D.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

FeatureSource = NDArray[np.floating] | Tensor
Floats = NDArray[np.float64]
Places = NDArray[np.int64]

BLOCK_ROWS = {"cpu": 1024, "cuda": 16384}  # 1024 x 512 features in float32 are 2 MB, a core's cache


def read_rows(source: FeatureSource, rows: Places | slice) -> Tensor:
    """(n, D) rows of an array, a memory map or a tensor, in its own dtype and place."""
    if isinstance(source, Tensor):
        return source[rows if isinstance(rows, slice) else torch.from_numpy(rows).to(source.device)]
    return torch.from_numpy(np.array(source[rows], order="C"))


@dataclass(frozen=True)
class FeatureBlocks:
    """N rows of D features.

    source   (M, D) float array, memory map or tensor; rows  (N,) int64 of it, ascending, or None for all
    centre   (D,) float64 weighted means;  unit  the largest scale, so that solvers see features of order one
    scale    (D,) float64 powers of two at most 1, times `unit` near the standard deviations; 0 where a feature is constant
    spread   the summed variance of the features; penalties are stated relative to N x spread
    resident (N, D) the rows as `blocks` gives them, or None where they are read again in every pass
    """

    source: FeatureSource
    rows: Places | None
    device: torch.device
    dtype: torch.dtype
    block_rows: int
    centre: Tensor
    scale: Tensor
    unit: float
    spread: float = 0.0
    resident: Tensor | None = None

    @classmethod
    def measure(
        cls,
        source: FeatureSource,
        rows: Places | None = None,
        weights: Floats | None = None,
        *,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        resident: bool | None = None,
        block_rows: int | None = None,
    ) -> FeatureBlocks:
        """Read the rows once for means, weighted by `weights` (N,), and scales. Raises ValueError for none, and for NaN.

        `resident` keeps a centred copy on the device (N x D x 4 bytes in float32); None does unless `source` is a memory map.
        """
        if source.ndim != 2 or source.shape[1] == 0:
            raise ValueError(f"a probe needs features of shape (N, D), and these have shape {tuple(source.shape)}")
        raw = replace(cls.unmeasured(source, rows, device), dtype=dtype)
        raw = raw if block_rows is None else replace(raw, block_rows=block_rows)
        centre, deviation = raw._moments(weights)
        unit = float(deviation.max())
        unit = 2.0 ** float(np.round(np.log2(unit))) if unit > 0 else 1.0
        scale = torch.where(deviation > 0, torch.exp2(torch.round(torch.log2(deviation / unit))), 0.0)
        blocks = replace(raw, centre=centre, scale=scale, unit=unit, spread=float(deviation.square().sum()))
        if resident is None:
            resident = not isinstance(source, np.memmap)
        return blocks.in_memory() if resident else blocks

    @classmethod
    def unmeasured(
        cls, source: FeatureSource, rows: Places | None = None, device: str | torch.device = "cpu"
    ) -> FeatureBlocks:
        """Rows to be read by `raw` alone: without means and scales there is no `take`."""
        device = torch.device(device)
        zero = torch.zeros(source.shape[1], dtype=torch.float64, device=device)
        return cls(source, rows, device, torch.float32, BLOCK_ROWS.get(device.type, 2048), zero, zero, 1.0)

    def __len__(self) -> int:
        return len(self.source) if self.rows is None else len(self.rows)

    @property
    def dimension(self) -> int:
        """D."""
        return int(self.source.shape[1])

    def spans(self) -> Iterator[slice]:
        """The row ranges of the blocks, in order."""
        for first in range(0, len(self), self.block_rows):
            yield slice(first, min(first + self.block_rows, len(self)))

    def raw(self, span: slice | Places) -> Tensor:
        """(n, D) rows as they are stored, on the device, in the stored dtype."""
        picked = span if self.rows is None else self.rows[span]
        return read_rows(self.source, picked).to(self.device)

    def take(self, span: slice | Places) -> Tensor:
        """(n, D) centred and scaled rows in the arithmetic's dtype."""
        if self.resident is not None:
            return self.resident[span if isinstance(span, slice) else torch.from_numpy(span).to(self.device)]
        inverse = torch.where(self.scale > 0, 1.0 / (self.scale * self.unit), 0.0)
        # in float64: a mean far above the deviations would cost a float32 its digits
        return (self.raw(span) - self.centre).mul_(inverse).to(self.dtype)

    def blocks(self) -> Iterator[tuple[slice, Tensor]]:
        """Row range and (n, D) centred, scaled rows, block after block."""
        for span in self.spans():
            yield span, self.take(span)

    def in_memory(self) -> FeatureBlocks:
        """The same blocks, held on the device."""
        whole = torch.empty(len(self), self.dimension, dtype=self.dtype, device=self.device)
        for span, rows in self.blocks():
            whole[span] = rows
        return replace(self, resident=whole)

    def in_dtype(self, dtype: torch.dtype) -> FeatureBlocks:
        """The same rows for another arithmetic."""
        streamed = replace(self, dtype=dtype, resident=None)
        return streamed.in_memory() if self.resident is not None else streamed

    def _moments(self, weights: Floats | None) -> tuple[Tensor, Tensor]:
        """Weighted mean and standard deviation (D,) float64 by Chan's merging of blocks; exactly 0 where constant."""
        d = self.dimension
        mean = torch.zeros(d, dtype=torch.float64, device=self.device)
        square, total = torch.zeros_like(mean), 0.0
        least, most = torch.full_like(mean, torch.inf), torch.full_like(mean, -torch.inf)
        if len(self) == 0:
            raise ValueError("a probe needs at least one row of features, and there are none")
        for span in self.spans():
            block = self.raw(span).double()
            low, high = block.amin(0), block.amax(0)
            if not bool(torch.isfinite(low).all() & torch.isfinite(high).all()):
                row = span.start + int((~torch.isfinite(block)).any(dim=1).nonzero()[0])
                row = row if self.rows is None else int(self.rows[row])
                raise ValueError(f"the features hold NaN or infinity (first in row {row}): extract them again")
            w = torch.ones(len(block), dtype=torch.float64, device=self.device)
            if weights is not None:
                w = torch.from_numpy(weights[span]).to(w)
            weight = float(w.sum())
            least, most = torch.minimum(least, low), torch.maximum(most, high)
            if weight == 0.0:
                continue
            here = (w @ block) / weight
            block = block - here  # never in place: the block may be a view of the caller's tensor
            difference = here - mean
            square += w @ block.square() + difference**2 * (total * weight / (total + weight))
            total += weight
            mean += difference * (weight / total)
        deviation = (square / max(total, 1e-300)).sqrt()
        if not bool(torch.isfinite(deviation).all()):
            raise ValueError("the features are too large to be squared in float64: rescale them")
        return mean, torch.where(most > least, deviation, 0.0)


@dataclass(frozen=True)
class RowSpace:
    """The features in the coordinates a solver works in, and the way back.

    With N <= D rows the optimum lies in the span of the centred rows (its weights are sums of them), so N coordinates do
    for D: `basis` (D, N) float64 is orthonormal, and penalties are the same in it. Otherwise `basis` is None.
    """

    blocks: FeatureBlocks
    centre: Floats
    basis: Floats | None

    @classmethod
    def of(cls, features: FeatureBlocks, weights: Floats | None = None) -> RowSpace:
        """By a QR decomposition where N <= D: N x N numbers are copied."""
        centre = features.centre.cpu().numpy()
        if len(features) > features.dimension:
            return cls(features, centre, None)
        rows = features.raw(slice(0, len(features))).double() - features.centre
        basis, triangle = torch.linalg.qr(rows.T)
        rows, (device, dtype, block) = triangle.T.contiguous(), (features.device, features.dtype, features.block_rows)
        blocks = FeatureBlocks.measure(rows, None, weights, device=device, dtype=dtype, block_rows=block)
        return cls(blocks, centre, basis.cpu().numpy())

    def to_features(self, coef: Floats, bias: Floats) -> tuple[Floats, Floats]:
        """A solver's weights (K, d) and intercepts (K,) -> those of the features as given."""
        coef = coef / self.blocks.unit
        bias = bias - coef @ (self.blocks.centre.cpu().numpy() if self.basis is not None else self.centre)
        if self.basis is None:
            return coef, bias
        coef = coef @ self.basis.T
        return coef, bias - coef @ self.centre

    def from_features(self, coef: Floats, bias: Floats) -> tuple[Floats, Floats]:
        """The reverse of `to_features`; what lies outside the span of the rows is dropped."""
        bias = bias + coef @ self.centre
        if self.basis is not None:
            coef = coef @ self.basis
            bias = bias + coef @ self.blocks.centre.cpu().numpy()
        return coef * self.blocks.unit, bias
