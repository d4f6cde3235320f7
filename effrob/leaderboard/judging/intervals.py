"""The intervals of a whole board at once: the same numbers as `Effective.ci95`, `pi95` and `ScoredShift.accuracy_ci95`.

One by one they cost up to 50 microseconds each, and a board asks for thirty thousand. They are put where the properties
keep what they were asked before.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy.special import ndtri, stdtrit

from effrob.leaderboard.judging.places import Floats, LinePlaces, Tallies
from effrob.leaderboard.scored_shift import Interval, ScoredShift
from effrob.results.accuracy import clopper_pearsons
from effrob.robustness.effective import Effective

TAIL = 0.025
Ends = tuple[Floats, Floats]


def intervals(places: LinePlaces) -> tuple[Ends, Ends]:
    """(low, high) of the 95 % interval of effective robustness, and of the prediction interval."""
    z = -float(ndtri(TAIL))
    t_line, t = -_quantiles(places.line_freedom), -stdtrit(places.freedom, TAIL)
    narrow = t_line**2 * places.line_variance
    x_low, x_high = (places.slope * (places.scale.forward(end) - places.tx) for end in places.clean.wilson(z))
    low, high = np.minimum(x_low, x_high), np.maximum(x_low, x_high)
    y_low, y_high = places.shift.wilson(z)
    y, here, er = places.shift.value, places.here, places.effective_robustness
    ends = []
    for model in (narrow, np.maximum(narrow, t * t * places.variance)):
        below = places.scale.inverse(places.height - np.sqrt(low**2 + model))
        above = places.scale.inverse(places.height + np.sqrt(high**2 + model))
        ends.append((er - np.hypot(y - y_low, above - here), er + np.hypot(y_high - y, here - below)))
    return ends[0], ends[1]


def _quantiles(freedom: Floats) -> Floats:
    """Student's t at TAIL; a line has one number of degrees of freedom, whatever the models beside it."""
    distinct, place = np.unique(freedom, return_inverse=True)
    return np.asarray(stdtrit(distinct, TAIL)[place], dtype=np.float64)


def keep_accuracy_intervals(cells: Iterable[ScoredShift]) -> None:
    """Compute `accuracy_ci95` of each."""
    many = list(cells)
    counts = np.array([(cell.accuracy.n_correct, cell.accuracy.n) for cell in many], dtype=np.float64).reshape(-1, 2)
    ends = clopper_pearsons(*counts.T)
    for cell, low, high in zip(many, *(each.tolist() for each in ends)):
        vars(cell)["accuracy_ci95"] = Interval(low, high)


def keep_intervals(many: Iterable[Effective | None]) -> None:
    """Compute `ci95`, `pi95` and `model_variances` of each that has a place on a line and no per-image answers."""
    by_line: dict[int, list[Effective]] = {}
    for one in many:
        if one is not None and one.place is not None and one.pairing is None and "pi95" not in vars(one):
            by_line.setdefault(id(one.place[0]), []).append(one)
    for group in by_line.values():
        first = group[0].place
        assert first is not None
        counts = (Tallies.of(one.clean for one in group), Tallies.of(one.shift for one in group))
        places = LinePlaces.beside(first[0], *counts)
        ends = (list(zip(low.tolist(), high.tolist())) for low, high in intervals(places))
        variances = np.column_stack([places.line_variance, places.variance, places.freedom]).tolist()
        for one, ci95, pi95, variance in zip(group, *ends, variances):
            vars(one).update(ci95=ci95, pi95=pi95, model_variances=tuple(variance))
