"""The p-values of a whole board at once, the same numbers as `Effective.p_value`, an array at a time.

One by one they cost half a millisecond each, and a leaderboard asks for nine thousand.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtrit

from effrob.leaderboard.judging.places import Floats, LinePlaces
from effrob.robustness.effective import Effective
from effrob.robustness.significance import MOST_CERTAIN

FURTHEST = -float(ndtri(MOST_CERTAIN))
BRACKETS = (2.0, 4.0, 8.0, 16.0, FURTHEST)  # most roots lie low, where a quantile of Student's t is cheap
STEPS, CLOSE, STILL = 60, 1e-15, 1e-14


def p_values(many: Sequence[Effective]) -> list[float | None]:
    """`p_value` of each, in order; None where it has none. Those with per-image answers are taken one by one."""
    result: list[float | None] = [None] * len(many)
    by_scale: dict[str, list[int]] = {}
    for i, one in enumerate(many):
        known = "p_value" in vars(one) or one.place is None or one.pairing is not None
        if known or one.effective_robustness == 0:
            result[i] = one.p_value
        else:
            by_scale.setdefault(one.fit.scale.name, []).append(i)
    for indices in by_scale.values():
        for i, p in zip(indices, p_of(LinePlaces.of([many[i] for i in indices])).tolist()):
            result[i] = p
    return result


def p_of(places: LinePlaces) -> Floats:
    """(n,) two-sided p-values: the level at which the prediction interval meets 0; 1 for a model on the line.

    Kept by what they are computed from: both axes are one where a shift has every class of its clean set.
    """
    key = places.digest
    if key not in _KNOWN:
        if len(_KNOWN) >= MOST_KNOWN:
            _KNOWN.clear()
        _KNOWN[key] = _p_of(places)
    return _KNOWN[key]


_KNOWN: dict[bytes, Floats] = {}
MOST_KNOWN = 256


def _p_of(places: LinePlaces) -> Floats:
    z = np.zeros(len(places.tx))
    off = np.flatnonzero(places.effective_robustness != 0)
    distances = _Distances(places.take(off))
    left, f_left = z[off], distances.distance.copy()  # an interval of no width reaches nowhere
    right, f_right = np.full(len(off), FURTHEST), np.full(len(off), np.inf)
    open_ = np.arange(len(off))
    for end in BRACKETS:
        f = distances.take(open_).reached(np.full(len(open_), end))
        inside = f <= 0
        right[open_[inside]], f_right[open_[inside]] = end, f[inside]
        open_, f = open_[~inside], f[~inside]
        if not len(open_):
            break
        left[open_], f_left[open_] = end, f
    within = np.flatnonzero(f_right <= 0)
    z[off] = FURTHEST
    z[off[within]] = _root(distances.take(within), *(v[within] for v in (left, f_left, right, f_right)))
    return np.asarray(np.minimum(1.0, 2.0 * ndtr(-z)), dtype=np.float64)


class _Distances:
    """How far from 0 the nearer ends of prediction intervals are."""

    def __init__(self, places: LinePlaces) -> None:
        self.places = places
        self.above = places.effective_robustness > 0
        self.distance = np.abs(places.effective_robustness)
        # Elsewhere the line has as many degrees of freedom and no more variance: its quantile is no larger.
        self.line_may_be_wider = np.flatnonzero(places.line_freedom < places.freedom)

    def take(self, some: NDArray[Any]) -> _Distances:
        return _Distances(self.places.take(some))

    def reached(self, z: Floats) -> Floats:
        """(n,) at z normal deviations; negative once the interval holds 0."""
        of, tail = self.places, ndtr(-z)
        variance = np.square(stdtrit(of.freedom, tail)) * of.variance
        some = self.line_may_be_wider
        if len(some):
            alone = np.square(stdtrit(of.line_freedom[some], tail[some])) * of.line_variance[some]
            variance[some] = np.maximum(variance[some], alone)
        low, high = (of.slope * (of.scale.forward(x) - of.tx) for x in of.clean.wilson(z))
        along = np.where(self.above, np.maximum(low, high), np.minimum(low, high))
        line = np.sqrt(along**2 + variance)
        y_low, y_high = of.shift.wilson(z)
        model = np.abs(of.scale.inverse(of.height + np.where(self.above, line, -line)) - of.here)
        own = np.where(self.above, of.shift.value - y_low, y_high - of.shift.value)
        return np.asarray(self.distance - np.hypot(own, model), dtype=np.float64)


def _root(distances: _Distances, left: Floats, f_left: Floats, right: Floats, f_right: Floats) -> Floats:
    """(n,) widths in [left, right] at which `reached` falls through 0: false position, by Anderson and Bjorck (1973)."""
    result, open_ = right.copy(), np.arange(len(right))
    for _ in range(STEPS if len(right) else 0):
        with np.errstate(invalid="ignore", divide="ignore"):
            middle = right - f_right * (right - left) / (f_right - f_left)
        middle = np.where(np.isfinite(middle), middle, (left + right) / 2)
        f = distances.reached(middle)
        result[open_] = middle
        crossed = f * f_right < 0
        with np.errstate(invalid="ignore", divide="ignore"):
            kept = 1 - f / f_right
        f_left = np.where(crossed, f_right, f_left * np.where(kept > 0, kept, 0.5))
        left, step = np.where(crossed, right, left), np.abs(middle - right)
        right, f_right = middle, f
        more = (np.abs(f) > CLOSE) & (step > STILL * middle)
        if not more.any():
            break
        left, right, f_left, f_right = (v[more] for v in (left, right, f_left, f_right))
        open_, distances = open_[more], distances.take(more)
    return result
