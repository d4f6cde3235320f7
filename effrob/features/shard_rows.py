"""How the rows of a pass are cut into batches, and gather into shards again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from effrob.features import cache


@dataclass
class GatheredRows:
    """Collects one job's features in order; a shard ends at a multiple of cache.SHARD_ROWS or with the last row."""

    n: int
    parts: list[NDArray[np.float32]] = field(default_factory=list)
    start: int = 0

    def add(self, start: int, features: NDArray[np.float32]) -> tuple[int, NDArray[np.float32]] | None:
        """Append the next rows; returns a shard's first row and its rows once it is full."""
        if not self.parts:
            self.start = start
        self.parts.append(features)
        stop = start + len(features)
        if stop % cache.SHARD_ROWS and stop != self.n:
            return None
        whole, self.parts = np.concatenate(self.parts), []
        return self.start, whole


def cut(missing: Iterable[range], size: int) -> Iterator[range]:
    """The missing ranges cut into batches that never cross a shard's end."""
    for part in missing:
        start = part.start
        while start < part.stop:
            stop = min(start + size, part.stop, (start // cache.SHARD_ROWS + 1) * cache.SHARD_ROWS)
            yield range(start, stop)
            start = stop
