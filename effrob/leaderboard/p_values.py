"""Many: the p-values of a whole board at once, the same numbers as `Effective.p_value`, an array at a time.

One by one they cost half a millisecond each, and a leaderboard asks for nine thousand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtrit

from effrob.results.accuracy import Accuracy
from effrob.robustness.effective import Effective
from effrob.robustness.scale import Scale
from effrob.robustness.significance import MOST_CERTAIN

Floats = NDArray[np.float64]

FURTHEST = -float(ndtri(MOST_CERTAIN))
STEPS, CLOSE = 60, 1e-15


def p_values(many: Sequence[Effective]) -> list[float | None]:
    """`p_value` of each, in order; None where it has none. Those with per-image answers are reckoned one by one."""
    result: list[float | None] = [None] * len(many)
    by_scale: dict[str, list[int]] = {}
    for i, one in enumerate(many):
        if one.place is None or one.pairing is not None or one.effective_robustness == 0:
            result[i] = one.p_value
        else:
            by_scale.setdefault(one.fit.scale.name, []).append(i)
    for places in by_scale.values():
        for i, p in zip(places, _p([many[i] for i in places]).tolist()):
            result[i] = p
    return result


def _p(many: Sequence[Effective]) -> Floats:
    distances = _Distances.of(many)
    z = np.full(len(many), FURTHEST)
    within = np.flatnonzero(distances.reached(z) <= 0)
    z[within] = _root(distances.take(within))
    return np.asarray(np.minimum(1.0, 2.0 * ndtr(-z)), dtype=np.float64)


@dataclass(frozen=True)
class _Counts:
    """(n,) accuracies and the images behind them."""

    value: Floats
    n: Floats

    @classmethod
    def of(cls, accuracies: Sequence[Accuracy | None]) -> _Counts:
        known = [a for a in accuracies if a is not None]
        return cls(np.array([a.value for a in known]), np.array([float(a.n) for a in known]))

    def wilson(self, z: Floats) -> tuple[Floats, Floats]:
        """`Accuracy.wilson` of each."""
        p, share = self.value, z * z / self.n
        centre = (p + share / 2) / (1 + share)
        half = z * np.sqrt(p * (1 - p) / self.n + share / (4 * self.n)) / (1 + share)
        return np.maximum(0.0, np.minimum(centre - half, p)), np.minimum(1.0, np.maximum(centre + half, p))


@dataclass(frozen=True)
class _Distances:
    """(n,) models of one scale: what `Effective._ends` reads, and on which side of the line each stands."""

    scale: Scale
    clean: _Counts
    shift: _Counts
    slope: Floats
    tx: Floats
    height: Floats
    variance: Floats
    freedom: Floats
    line_variance: Floats
    line_freedom: Floats
    above: NDArray[np.bool_]

    def take(self, some: NDArray[Any]) -> _Distances:
        """These of them."""
        clean, shift = (_Counts(c.value[some], c.n[some]) for c in (self.clean, self.shift))
        names = ("slope", "tx", "height", "variance", "freedom", "line_variance", "line_freedom")
        columns: dict[str, Any] = {name: getattr(self, name)[some] for name in names}
        return replace(self, clean=clean, shift=shift, above=self.above[some], **columns)

    @classmethod
    def of(cls, many: Sequence[Effective]) -> _Distances:
        places = [one.place for one in many if one.place is not None]
        lines = [line for line, _, _ in places]
        variances = [one.model_variances for one in many]
        return cls(
            many[0].fit.scale,
            _Counts.of([one.clean for one in many]),
            _Counts.of([one.shift for one in many]),
            np.array([line.slope for line in lines]),
            np.array([tx for _, tx, _ in places]),
            np.array([height for _, _, height in places]),
            np.array([scattered for _, scattered, _ in variances]),
            np.array([freedom for _, _, freedom in variances]),
            np.array([alone for alone, _, _ in variances]),
            np.array([float(line.freedom) for line in lines]),
            np.array([(one.effective_robustness or 0.0) > 0 for one in many]),
        )

    def reached(self, z: Floats) -> Floats:
        """How far from 0 the nearer end of the prediction interval is, z normal deviations wide; negative once it holds 0."""
        t, t_line = (-stdtrit(freedom, ndtr(-z)) for freedom in (self.freedom, self.line_freedom))
        variance = np.maximum(t * t * self.variance, t_line * t_line * self.line_variance)
        here = self.scale.inverse(self.height)
        low, high = (self.slope * (self.scale.forward(x) - self.tx) for x in self.clean.wilson(z))
        along = np.where(self.above, np.maximum(low, high), np.minimum(low, high))
        line = np.sqrt(along**2 + variance)
        y_low, y_high = self.shift.wilson(z)
        model = np.abs(self.scale.inverse(self.height + np.where(self.above, line, -line)) - here)
        own = np.where(self.above, self.shift.value - y_low, y_high - self.shift.value)
        return np.asarray(np.abs(self.shift.value - here) - np.hypot(own, model), dtype=np.float64)


def _root(distances: _Distances) -> Floats:
    """(n,) widths in [0, FURTHEST] at which `reached` falls through 0: false position, by Anderson and Bjorck (1973)."""
    left, right = np.zeros(len(distances.slope)), np.full(len(distances.slope), FURTHEST)
    f_left, f_right = distances.reached(left), distances.reached(right)
    result, open_ = right.copy(), np.arange(len(right))
    for _ in range(STEPS):
        with np.errstate(invalid="ignore", divide="ignore"):
            middle = right - f_right * (right - left) / (f_right - f_left)
        middle = np.where(np.isfinite(middle), middle, (left + right) / 2)
        f = distances.reached(middle)
        result[open_] = middle
        crossed = f * f_right < 0
        with np.errstate(invalid="ignore", divide="ignore"):
            kept = 1 - f / f_right
        f_left = np.where(crossed, f_right, f_left * np.where(kept > 0, kept, 0.5))
        left = np.where(crossed, right, left)
        right, f_right = middle, f
        more = (np.abs(f) > CLOSE) & (right != left)
        if not more.any():
            break
        open_, left, right, f_left, f_right = (v[more] for v in (open_, left, right, f_left, f_right))
        distances = distances.take(more)
    return result
