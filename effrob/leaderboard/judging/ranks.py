"""Ranks of rows that compare: highest mean logit residual first, and the ranks that intervals leave open."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def ranks(means: Floats, low: Floats, high: Floats) -> tuple[Ints, Ints, Ints]:
    """(n,) rank, best and worst of each. Equal means share a rank; the open ranks are those of rows whose intervals overlap."""
    n = len(means)
    rank = n - np.searchsorted(np.sort(means), means, side="right") + 1
    best = n - np.searchsorted(np.sort(low), high, side="right") + 1
    worst = n - np.searchsorted(np.sort(high), low, side="left")
    return rank, best, worst
