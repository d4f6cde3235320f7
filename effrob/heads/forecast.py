"""What a probe will cost before it starts: memory by the stated formula, time from a pass over some rows on its own device."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from effrob.logistic.feature_blocks import BLOCK_ROWS, FeatureBlocks, FeatureSource
from effrob.logistic.solution import memory_bound
from effrob.logistic.streamed_loss import StreamedLoss

PASSES = 20  # a strength of a path: 12 and 25 were seen at the shape of ImageNet (benchmarks/RESULTS.md)
BLOCKS = 4  # that are timed
WORTH_SAYING = 60.0  # seconds


@dataclass(frozen=True)
class ProbeForecast:
    """rows, features, classes;  strengths  fitted at most;  seconds  of wall time;  memory  bytes beside the features.

    streamed  the features are read again in every pass, and are not held
    """

    rows: int
    features: int
    classes: int
    strengths: int
    device: str
    seconds: float
    memory: int
    streamed: bool

    def __str__(self) -> str:
        read = "read from the cache in every pass" if self.streamed else "held in memory"
        count = f"{self.strengths} strengths at most" if self.strengths > 1 else "one strength"
        return (
            f"the probe learns from {self.rows:,} rows of {self.features:,} features and {self.classes:,} classes, {read}: "
            f"about {duration(self.seconds)} on {self.device} for {count}, and up to {self.memory / 1e9:.1f} GB beside the "
            "features"
        )


def forecast(blocks: FeatureBlocks, targets: NDArray[np.int64], n_classes: int, strengths: int) -> ProbeForecast:
    """From the time of one pass over a few blocks, in the arithmetic's precision, after one that warms up."""
    n = min(len(blocks), BLOCKS * blocks.block_rows)
    few = np.arange(n) if blocks.rows is None else blocks.rows[:n]
    part = replace(blocks, rows=few, resident=None if blocks.resident is None else blocks.resident[:n])
    return _forecast(blocks, part, targets[:n], n_classes, strengths)


def forecast_by_sample(
    source: FeatureSource, targets: NDArray[np.int64], n_classes: int, strengths: int, device: str, resident: bool
) -> ProbeForecast:
    """The same for a probe on a row a target, of which `source` (M, D) gives some: no more than a few blocks are read."""
    part = FeatureBlocks.measure(source, np.arange(sample_rows(len(targets), device)), device=device, resident=resident)
    whole = replace(part, rows=np.arange(len(targets)))
    return _forecast(whole, part, targets[: len(part)], n_classes, strengths)


def sample_rows(rows: int, device: str) -> int:
    """How many rows of so many `forecast_by_sample` reads."""
    return min(rows, BLOCKS * BLOCK_ROWS.get(torch.device(device).type, 2048))


def _forecast(
    whole: FeatureBlocks, part: FeatureBlocks, targets: NDArray[np.int64], n_classes: int, strengths: int
) -> ProbeForecast:
    y = torch.from_numpy(targets).to(part.device)
    loss = StreamedLoss(part, y, None, float(len(part)))
    theta = torch.zeros(n_classes, part.dimension + 1, dtype=torch.float64, device=part.device)
    seconds = 0.0
    for _ in range(2):
        begun = time.perf_counter()
        loss.evaluate(theta, 1e-6)  # gives a float, so a GPU has done it all
        seconds = time.perf_counter() - begun
    return ProbeForecast(
        rows=len(whole),
        features=whole.dimension,
        classes=n_classes,
        strengths=strengths,
        device=str(whole.device),
        seconds=seconds / len(part) * len(whole) * PASSES * strengths,
        memory=memory_bound(whole, n_classes),
        streamed=whole.resident is None,
    )


def duration(seconds: float) -> str:
    """`40 s`, `12 min`, `3.5 h` or `2.1 days`; a second at least."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"
