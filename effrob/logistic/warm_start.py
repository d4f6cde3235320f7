"""The way along strengths: which to pass through from nothing, and where the optima seen point to.

Knows losses that can blend places, and neither rows nor solvers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch

from effrob.logistic.in_memory_loss import InMemoryLoss, Place
from effrob.logistic.streamed_loss import StreamedLoss

ROUGH = 0.1  # relative gap of the strengths that only lead to one that was asked for
BESIDE = 0.05  # difference in log C up to which two optima tell of no direction: the later one stands for both
UNEVEN = 5.0  # x the other of two steps between optima, at most, for a parabola through all three
STRIDE = 10.0  # factor between them
SURE = 100.0, 10.0  # x 1 / (rows x summed variance), and that for each class, the larger: safe to start at from nothing


def lead_in(c: float, size: float, n_classes: int, before: float | None = None) -> list[float]:
    """Strengths to pass through, roughly, on the way to c from `before`, or from nothing where that is None.

    A cold start at a weak penalty meets rows that are all sure, and curvature there misleads. size: rows x summed variance.
    """
    begin = before if before is not None else max(SURE[0], SURE[1] * n_classes) / size if size > 0 else c
    steps = math.ceil(math.log(c / begin) / math.log(STRIDE) - 1e-9) if c > begin else 0
    led = [c * STRIDE ** -(steps - i) for i in range(steps)]
    return led if before is None else led[1:]


class _Optimum(NamedTuple):
    """Where a strength ended: theta (K, D + 1), to a relative gap of `tol`; its place, where its logits are kept."""

    c: float
    theta: torch.Tensor
    tol: float
    place: Place | None


class Trail:
    """The last optima of a path of strengths, and where they point to."""

    def __init__(self) -> None:
        self.seen: list[_Optimum] = []

    def add(self, c: float, theta: torch.Tensor, tol: float, place: Place | None) -> None:
        """A strength's optimum to a relative gap of `tol`, and its place in the loss that later strengths have, if known.

        Where that is rough, it and the one before are enough; one beside it is forgotten.
        """
        before = [one for one in self.seen if abs(math.log(c / one.c)) > BESIDE]
        self.seen = [*before[-1 if tol >= ROUGH else -2 :], _Optimum(c, theta, tol, place)]

    def forget_places(self) -> None:
        """Logits of another arithmetic are no use."""
        self.seen = [one._replace(place=None) for one in self.seen]

    def ahead(
        self, loss: InMemoryLoss | StreamedLoss, c: float, some: InMemoryLoss | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Where to start at c, and its logits where they are kept; where not, `some` of the rows say how to blend."""
        shares = _ahead(self.seen, c)
        seen = self.seen[-len(shares) :]
        if isinstance(loss, InMemoryLoss):
            places = [one.place or loss.placed(one.theta) for one in seen]
            return loss.blend(places, shares)
        if some is not None:
            some.penalty = loss.penalty
            return some.blend([some.placed(one.theta) for one in seen], shares).theta, None
        return torch.stack([share * one.theta for share, one in zip(shares, seen)]).sum(0), None


def _ahead(seen: Sequence[_Optimum], c: float) -> list[float]:
    """Where the path points to, in log C: the shares of the optima seen.

    Linear through the last two and at most two of their steps away; halfway from there to the parabola through the last
    three, where all three are near their optimum: it bends the right way and overshoots.
    """
    if len(seen) == 1:
        return [1.0]
    x = [math.log(one.c) - math.log(c) for one in seen]
    stride = min(2.0, x[-1] / (x[-2] - x[-1]))  # x is negative, and the steps of it are BESIDE at least
    line = [0.0] * (len(seen) - 2) + [-stride, 1 + stride]
    uneven = len(seen) == 3 and not 1 / UNEVEN < (x[0] - x[1]) / (x[1] - x[2]) < UNEVEN
    if len(seen) < 3 or uneven or any(one.tol >= ROUGH for one in seen) or stride == 2.0:
        return line
    parabola = [math.prod(other / (other - own) for other in x if other != own) for own in x]
    return [(a + b) / 2 for a, b in zip(line, parabola)]
