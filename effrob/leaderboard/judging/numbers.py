"""Numbers: every row of a suite judged by one line, as arrays; what a board has of each row and cell.

A page shows twelve analyses of two thousand rows. What depends on no line (which accuracies there are, and on which axis
they stand) is laid out once, in `Accuracies`; a row with per-image answers is judged alone, as everywhere.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from effrob.leaderboard.judging.intervals import intervals
from effrob.leaderboard.judging.p_values import p_of, p_values
from effrob.leaderboard.judging.places import Floats, LinePlaces, Tallies
from effrob.leaderboard.judging.ranks import ranks
from effrob.leaderboard.row import REACHES, axes_of
from effrob.leaderboard.scored_shift import Z95, mean_of, score
from effrob.results.accuracy import Accuracy
from effrob.results.model_result import ModelResult
from effrob.robustness.effective import TOO_NOISY
from effrob.robustness.fit import RobustnessFit
from effrob.robustness.line import BaselineLine
from effrob.robustness.lines import Lines
from effrob.robustness.scale import LOGIT
from effrob.robustness.significance import adjust, reference_distance
from shifts import Suite

VERDICTS = ("above", "on", "below", "cannot-tell")
ABOVE, ON, BELOW, CANNOT_TELL = range(4)
NO_VERDICT = -1

# A cell: fractions, and logits in `logit` and `half` (half its 95 % interval); NaN where a number does not exist, and for p
# and q where nothing is asked: of a diagnostic set, and beyond the line's range.
CELL = np.dtype(
    [(name, "f8") for name in ("points", "low", "high", "wide_low", "wide_high", "logit", "half", "p", "q")]
    + [("verdict", "i1"), ("extrapolated", "?"), ("reach", "i1")]
)
ROW = np.dtype(
    [(name, "f8") for name in ("logit", "logit_low", "logit_high", "mean", "mean_low", "mean_high", "of_mean")]
    + [(name, "i4") for name in ("rank", "best", "worst")]  # 0 for none
    + [("reach", "i1")]
)
Cells = NDArray[np.void]
Points = tuple[NDArray[np.int64], Tallies, Tallies]  # rows, their clean accuracies, their accuracies under shift


@dataclass(frozen=True, eq=False)
class Numbers:
    """cells  (rows, shifts) of CELL;  rows  (rows,) of ROW;  axes  each row's axis"""

    cells: Cells
    rows: Cells
    axes: tuple[str, ...]


class Accuracies:
    """The accuracies of a suite's results on the shifts named, and the axis that each stands on."""

    def __init__(self, suite: Suite, results: Sequence[ModelResult], shifts: Sequence[str]) -> None:
        self.suite, self.results, self.shifts = suite, results, tuple(shifts)
        self.origins = np.array([result.origin for result in results], dtype=str)
        self.alone = [i for i, result in enumerate(results) if result.has_answers]
        self._known: dict[tuple[str, str], Points] = {}
        self._judged: dict[
            tuple[str, str, int], tuple[RobustnessFit, Cells]
        ] = {}  # the line is kept, so that its id is
        self.axes = {axis: [axes_of(result, suite, axis) for result in results] for axis in ("clean", "full")}

    @functools.cached_property
    def own_axis(self) -> NDArray[np.bool_]:
        """(rows, shifts) whether a cell is on the clean axis where that is asked for; others are on the full one always."""
        every = [[axes.get(shift) == "clean" for shift in self.shifts] for _, axes in self.axes["clean"]]
        return np.array(every, dtype=bool).reshape(len(self.results), len(self.shifts))

    def judged(self, j: int, asked: str, axis: str, lines: Lines) -> tuple[NDArray[np.int64], Cells] | None:
        """Rows without per-image answers whose cell is on `axis` where `asked` is asked for, and their cells; None without
        a line. A line judges every row of its axis once, whichever axis an analysis asks for."""
        shift = self.shifts[j]
        rows, clean, seen = self._points(shift, axis)
        line = lines.at(shift, axis) if len(rows) else "no row"
        if isinstance(line, str):
            return None
        key = shift, axis, id(line)
        if key not in self._judged:
            self._judged[key] = line, _judged(line, clean, seen)
        _, cells = self._judged[key]
        if asked == axis == "full":
            return rows, cells
        some = np.flatnonzero(self.own_axis[rows, j] == (axis == "clean"))
        return rows[some], cells[some]

    def _points(self, shift: str, axis: str) -> Points:
        if (shift, axis) not in self._known:
            every = {i: r.point(shift, axis) for i, r in enumerate(self.results) if not r.has_answers}
            self._known[shift, axis] = _columns(every)
        return self._known[shift, axis]

    @functools.cached_property
    def means(self) -> Points:
        """Rows with every part of the mean, which stands on the full axis: their clean accuracy and that mean."""
        name = mean_of(self.suite)
        return _columns({} if name is None else {i: each.point(name, "full") for i, each in enumerate(self.results)})


def _columns(points: Mapping[int, tuple[Accuracy, Accuracy] | None]) -> Points:
    known = {i: point for i, point in points.items() if point is not None}
    clean, seen = (Tallies.of(point[side] for point in known.values()) for side in (0, 1))
    return np.array(list(known), dtype=np.int64), clean, seen


def numbers(accuracies: Accuracies, lines: Lines) -> Numbers:
    """Every cell and row beside the lines."""
    asked, shape = lines.options.axis, (len(accuracies.results), len(accuracies.shifts))
    cells = _nothing(CELL, shape)
    cells["verdict"] = NO_VERDICT
    for j in range(len(accuracies.shifts)):
        for axis in {asked, "full"}:
            judged = accuracies.judged(j, asked, axis, lines)
            if judged is not None:
                cells[judged[0], j] = judged[1]
    _judge_alone(cells, accuracies, lines)
    _ask_together(cells, accuracies)
    return Numbers(cells, _rows(cells, accuracies, lines), tuple(axis for axis, _ in accuracies.axes[asked]))


def _nothing(dtype: np.dtype[Any], shape: int | tuple[int, ...]) -> Cells:
    made = np.zeros(shape, dtype)
    for name in dtype.names or ():
        if dtype[name] == np.float64:
            made[name] = np.nan
    return made


def _judged(fit: RobustnessFit, clean: Tallies, shift: Tallies) -> Cells:
    """(n,) cells of models without per-image answers beside a line: as `Effective` has them one by one."""
    made = _nothing(CELL, len(clean.value))
    lowest, highest = fit.clean_range
    made["extrapolated"] = ~((lowest <= clean.value) & (clean.value <= highest))
    below = clean.value < fit.segments[0].x_min
    made["reach"] = np.where(made["extrapolated"], np.where(below, REACHES.index("below"), REACHES.index("above")), 0)
    made["verdict"] = CANNOT_TELL
    upper = np.zeros(len(made), bool) if fit.split is None else clean.value > fit.split
    for line, of_segment in zip(fit.segments, (~upper, upper)):
        some = np.flatnonzero(of_segment)
        made[some] = _beside(made[some], fit, line, clean.take(some), shift.take(some))
    return made


def _beside(made: Cells, fit: RobustnessFit, line: BaselineLine, clean: Tallies, shift: Tallies) -> Cells:
    predicted = line.scale.inverse(line.slope * line.scale.forward(clean.value) + line.intercept)
    made["points"] = shift.value - predicted
    with np.errstate(invalid="ignore"):
        gap = LOGIT.forward(shift.value) - LOGIT.forward(predicted)
    made["logit"] = np.where(np.isfinite(gap), gap, np.nan)
    placed = np.flatnonzero((clean.value > 0) & (clean.value < 1))
    if not len(placed):
        return made
    places = LinePlaces.beside(line, clean.take(placed), shift.take(placed))
    (low, high), (wide_low, wide_high) = intervals(places)
    sampling, half = _spread(line, places)
    known = {"low": low, "high": high, "wide_low": wide_low, "wide_high": wide_high, "half": half}
    for name, values in known.items():
        made[name][placed] = values
    if not fit.diagnostic:
        asked = np.flatnonzero(~made["extrapolated"][placed])
        made["p"][placed[asked]] = p_of(places.take(asked))
    if not line.flaws:
        judged = np.where(wide_low > 0, ABOVE, np.where(wide_high < 0, BELOW, ON))
        er, reference = places.effective_robustness, reference_distance(fit)
        wide = np.maximum(wide_high - er, er - wide_low) >= (np.inf if reference is None else abs(reference))
        noisy = ~(sampling <= TOO_NOISY * max(line.predictive_std, line.noise_std))
        judged[(judged == ON) & (wide | noisy)] = CANNOT_TELL
        made["verdict"][placed] = np.where(made["extrapolated"][placed], CANNOT_TELL, judged)
    return made


def _spread(line: BaselineLine, places: LinePlaces) -> tuple[Floats, Floats]:
    """(n,) `Spread.sampling`, and `ScoredShift.logit_half_width`; NaN for an accuracy of 0 or 1 under shift."""
    scale, y = line.scale, places.shift
    ty = scale.forward(y.value)
    with np.errstate(divide="ignore", invalid="ignore"):
        sampling = np.hypot(y.sd / scale.slope_at(ty), places.slope * places.clean.sd / scale.slope_at(places.tx))
        alone = line.residual_std * np.sqrt(1.0 / line.n + (places.tx - line.x_mean) ** 2 / line.sxx)
        unit = 1.0 if scale.name == LOGIT.name else scale.slope_at(ty) / LOGIT.slope_at(LOGIT.forward(y.value))
        half = Z95 * unit * np.hypot(sampling, alone)
    inside = (y.value > 0) & (y.value < 1)
    return np.where(inside, sampling, np.nan), np.where(inside, half, np.nan)


def _judge_alone(cells: Cells, accuracies: Accuracies, lines: Lines) -> None:
    """Rows with per-image answers, each compared image by image and without its own pull on the line."""
    judged = {}
    for i in accuracies.alone:
        _, axes = accuracies.axes[lines.options.axis][i]
        for j, shift in enumerate(accuracies.shifts):
            if shift in axes:
                cell = score(lines, accuracies.results[i], shift, axes[shift])
                if cell.effective is not None and cell.effective.verdict is not None:
                    judged[i, j] = cell, cell.effective
    p = p_values([effective for _, effective in judged.values()])
    for (at, (cell, effective)), value in zip(judged.items(), p):
        made, nothing = cells[at], (np.nan, np.nan)
        made["points"], made["logit"] = effective.effective_robustness, _number(effective.effective_robustness_logit)
        made["low"], made["high"] = effective.ci95 or nothing
        made["wide_low"], made["wide_high"] = effective.pi95 or nothing
        made["half"], made["p"] = _number(cell.logit_half_width), _number(value)
        made["verdict"] = VERDICTS.index(str(effective.verdict))
        made["extrapolated"], made["reach"] = bool(effective.extrapolated), REACHES.index(cell.reach or "within")


def _number(value: float | None) -> float:
    return np.nan if value is None else value


def _ask_together(cells: Cells, accuracies: Accuracies) -> None:
    """The q of each cell among those of its origin, as `discoveries` asks them."""
    asked = (cells["verdict"] != NO_VERDICT) & ~cells["extrapolated"] & ~np.isnan(cells["p"])
    asked &= ~np.isin(accuracies.shifts, list(accuracies.suite.diagnostic))
    for origin in np.unique(accuracies.origins):
        among = asked & (accuracies.origins == origin)[:, None]
        cells["q"][among] = adjust(cells["p"][among].tolist(), "fdr")


def _rows(cells: Cells, accuracies: Accuracies, lines: Lines) -> Cells:
    rows, suite = _nothing(ROW, len(cells)), accuracies.suite
    four = cells[:, [accuracies.shifts.index(shift) for shift in suite.ranked]]
    whole = (four["verdict"] != NO_VERDICT).all(axis=1)

    def mean(of: str) -> Floats:
        # Summed one after another, as the mean of a single row is.
        total = functools.reduce(np.add, (four[of][:, j] for j in range(len(suite.ranked))), np.zeros(len(four)))
        return np.where(whole, total / len(suite.ranked), np.nan)

    rows["mean"], rows["logit"], half = mean("points"), mean("logit"), mean("half")
    rows["mean_low"], rows["mean_high"] = mean("low"), mean("high")
    rows["logit_low"], rows["logit_high"] = rows["logit"] - half, rows["logit"] + half
    below, above = ((four["reach"] == REACHES.index(name)).any(axis=1) for name in ("below", "above"))
    reach = np.where(below, REACHES.index("below"), np.where(above, REACHES.index("above"), REACHES.index("within")))
    rows["reach"] = np.where(np.isnan(rows["logit"]), REACHES.index("unranked"), reach)
    some, clean, seen = accuracies.means
    line = lines.at(str(mean_of(suite)), "full") if len(some) else "no row"
    if not isinstance(line, str):
        rows["of_mean"][some] = LinePlaces.beside(line.line, clean, seen).effective_robustness
    groups = defaultdict(list)
    for i in np.flatnonzero(~np.isnan(rows["logit"])).tolist():
        groups[str(accuracies.origins[i]), accuracies.axes[lines.options.axis][i][0], int(reach[i])].append(i)
    for members in groups.values():
        among = rows[members]
        low, high = np.nan_to_num(among["logit_low"], nan=-np.inf), np.nan_to_num(among["logit_high"], nan=np.inf)
        for name, values in zip(("rank", "best", "worst"), ranks(among["logit"], low, high)):
            rows[name][members] = values
    return rows
