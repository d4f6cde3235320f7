"""Significance: a two-sided p-value read off an interval, so that p < 0.05 and the 95 % interval never disagree."""

from __future__ import annotations

import math
from collections.abc import Callable

MOST_CERTAIN = 1e-300
Ends = tuple[float, float] | None


def p_of_zero(ends_at: Callable[[float], Ends]) -> float:
    """The level at which the interval would just touch 0.

    ends_at  the interval's ends for a tail probability; wider for a smaller tail
    """
    low, high = math.log(MOST_CERTAIN), math.log(0.5)

    def excludes_zero(log_tail: float) -> bool:
        ends = ends_at(math.exp(log_tail))
        return ends is not None and (ends[0] > 0 or ends[1] < 0)

    if excludes_zero(low):
        return 2 * MOST_CERTAIN
    for _ in range(60):
        middle = (low + high) / 2
        if excludes_zero(middle):
            high = middle
        else:
            low = middle
    return min(1.0, 2 * math.exp(high))
