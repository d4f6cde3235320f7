"""Warm starts along a path of strengths: which strengths to fit on the way, and where earlier optima point to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from effrob.logistic.losses import Iterate, Loss

LEAD_IN_TOL = 0.1  # relative gap of strengths that only lead to one asked for: their optima serve as starts
LEAD_IN_FACTOR = 10.0  # between such strengths
# x 1 / (rows x summed variance): strength to begin at from zero weights, the larger of this in all and this a class. Weaker
# penalties saturate rows at the first step, and the curvature there misleads
FIRST_STRENGTH, FIRST_STRENGTH_PER_CLASS = 100.0, 10.0
MIN_DISTANCE = 0.05  # in log C: nearer optima define no direction, and the later one replaces the earlier
MAX_UNEVENNESS = 5.0  # ratio of the two distances among three optima, for a parabola through them
MAX_STRIDE = 2.0  # x the distance of the last two optima: the furthest extrapolation through them


def lead_in(c: float, size: float, n_classes: int, before: float | None = None) -> list[float]:
    """Strengths to fit to LEAD_IN_TOL on the way from `before` to c, or from zero weights where that is None.

    size: rows x summed variance of the features.
    """
    first = max(FIRST_STRENGTH, FIRST_STRENGTH_PER_CLASS * n_classes) / size if size > 0 else c
    begin = first if before is None else before
    steps = math.ceil(math.log(c / begin) / math.log(LEAD_IN_FACTOR) - 1e-9) if c > begin else 0
    strengths = [c * LEAD_IN_FACTOR ** -(steps - i) for i in range(steps)]
    return strengths if before is None else strengths[1:]


class _Optimum(NamedTuple):
    """Where strength c ended, to a relative gap of `tol`."""

    c: float
    iterate: Iterate
    tol: float


class WarmStart:
    """The last three optima of a path, at most."""

    def __init__(self) -> None:
        self.optima: list[_Optimum] = []

    def add(self, c: float, iterate: Iterate, tol: float) -> None:
        """Keep an optimum, two before it at most, or one where this one is rough; none that is nearer than MIN_DISTANCE."""
        before = [one for one in self.optima if abs(math.log(c / one.c)) > MIN_DISTANCE]
        self.optima = [*before[-1 if tol >= LEAD_IN_TOL else -2 :], _Optimum(c, iterate, tol)]

    def forget_logits(self) -> None:
        """For a loss of another precision."""
        self.optima = [one._replace(iterate=Iterate(one.iterate.theta)) for one in self.optima]

    def start(self, loss: Loss, c: float, penalty: float) -> Iterate:
        """Where to start at c: the optima extrapolated in log C, or a better combination of them that the loss finds."""
        coefficients = _extrapolation(self.optima, c)
        return loss.combine([one.iterate for one in self.optima[-len(coefficients) :]], coefficients, penalty)


def _extrapolation(optima: Sequence[_Optimum], c: float) -> list[float]:
    """The coefficients of the optima, which sum to 1.

    Linear in log C through the last two; with three converged ones, halfway from there to the parabola through them,
    which bends the right way and overshoots.
    """
    if len(optima) == 1:
        return [1.0]
    x = [math.log(one.c) - math.log(c) for one in optima]
    stride = min(MAX_STRIDE, x[-1] / (x[-2] - x[-1]))  # x is negative, and MIN_DISTANCE keeps the denominator from 0
    linear = [0.0] * (len(optima) - 2) + [-stride, 1 + stride]
    uneven = len(optima) == 3 and not 1 / MAX_UNEVENNESS < (x[0] - x[1]) / (x[1] - x[2]) < MAX_UNEVENNESS
    if len(optima) < 3 or uneven or any(one.tol >= LEAD_IN_TOL for one in optima) or stride == MAX_STRIDE:
        return linear
    parabola = [math.prod(other / (other - own) for other in x if other != own) for own in x]
    return [(a + b) / 2 for a, b in zip(linear, parabola)]
