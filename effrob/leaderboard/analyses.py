"""Analyses: the same rows judged by every line that is at hand, and how many of them each verdict survives.

A choice of baseline, axis and scale is an analysis. A verdict that only one of them gives is an opinion of that one.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from effrob.leaderboard.gather import Gathered
from effrob.leaderboard.judging.intervals import keep_intervals
from effrob.leaderboard.judging.numbers import VERDICTS, Accuracies, Numbers, numbers
from effrob.leaderboard.row import REACHES, BoardRow
from effrob.results.model_result import AXES
from effrob.robustness.baselines.catalogue import PUBLISHED
from effrob.robustness.lines import LineOptions, Lines
from effrob.robustness.scale import SCALES
from shifts import Suite, suite, suite_names


@dataclass(frozen=True, eq=False)
class Analysis:
    """The rows of one suite under one line, in the order of every other analysis of that suite."""

    suite: str
    line: LineOptions
    lines: Lines
    numbers: Numbers

    @property
    def key(self) -> str:
        """`suite|baseline|axis|scale`."""
        return "|".join((self.suite, str(self.line.baseline), self.line.axis, self.line.scale))


@dataclass(frozen=True, eq=False)
class SuiteAnalyses:
    """Every analysis of one suite, the chosen line's first.

    rows    as the chosen line judges them;  shifts  ranked and diagnostic, then every other one that a row has
    """

    suite: str
    rows: tuple[BoardRow, ...]
    accuracies: Accuracies
    each: tuple[Analysis, ...]

    @property
    def shifts(self) -> tuple[str, ...]:
        return self.accuracies.shifts

    @functools.cached_property
    def votes(self) -> NDArray[np.int64]:
        """(rows, shifts, 4) number of analyses that give each of VERDICTS.

        An analysis counts once: of a row without the clean axis, those that ask for it are those of the full one again.
        """
        counts = np.zeros((len(self.rows), len(self.shifts), len(VERDICTS)), dtype=np.int64)
        for analysis in self.each:
            counted = self.accuracies.own_axis if analysis.line.axis == "clean" else True
            for i in range(len(VERDICTS)):
                counts[..., i] += (analysis.numbers.cells["verdict"] == i) & counted
        return counts

    @functools.cached_property
    def ranges(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """(rows, shifts) least and greatest effective robustness over the analyses; NaN where none has one."""
        every = np.array([analysis.numbers.cells["points"] for analysis in self.each])
        return np.fmin.reduce(every), np.fmax.reduce(every)

    def ranked(self, analysis: Analysis) -> int:
        """Rows of an analysis's longest ranking: of one origin, on its own axis, within the baseline's clean accuracies."""
        rows, own = analysis.numbers.rows, np.array(analysis.numbers.axes) == analysis.line.axis
        ranked = own & (rows["rank"] > 0) & (rows["reach"] == REACHES.index("within"))
        origins = self.accuracies.origins[ranked]
        return max(np.unique(origins, return_counts=True)[1].tolist(), default=0)

    @property
    def opening(self) -> Analysis:
        """Of the first analysis and its twin on the other axis, the one that ranks most rows together, or the first."""
        first = self.each[0].line
        twins = [a for a in self.each if (a.line.baseline, a.line.scale) == (first.baseline, first.scale)]
        return max(twins, key=self.ranked)


def analyses(gathered: Gathered, chosen: LineOptions) -> dict[str, SuiteAnalyses]:
    """Suite -> its analyses. A baseline without a line for any ranked shift is left out."""
    made: dict[str, SuiteAnalyses] = {}
    rows = gathered.rows(chosen)
    for each in [suite(name) for name in sorted({row.suite for row in rows}, key=_shipped_first)]:
        of_suite = [i for i, row in enumerate(rows) if row.suite == each.name]
        present = {shift for i in of_suite for shift in rows[i].cells}
        shifts = [*each.shifts, *sorted(present - {*each.shifts})]
        accuracies = Accuracies(each, [gathered.model_results[i][0] for i in of_suite], shifts)
        first = chosen.baseline_for(each.ranked[0])
        names = dict.fromkeys([first, *PUBLISHED, *([each.baseline] if each.baseline else [])])
        usable = [name for name in names if _has_a_line(gathered, name, each)] or [first]
        choices = [LineOptions(name, axis, scale) for name in usable for axis in AXES for scale in SCALES]
        choices.sort(key=lambda line: (line.baseline, line.axis, line.scale) != (first, chosen.axis, chosen.scale))
        judged = [
            Analysis(each.name, line, lines, numbers(accuracies, lines))
            for line in choices
            for lines in [gathered.lines(line)]
        ]
        _keep_numbers([rows[i] for i in of_suite], shifts, judged[0].numbers)
        made[each.name] = SuiteAnalyses(each.name, tuple(rows[i] for i in of_suite), accuracies, tuple(judged))
    return made


def _keep_numbers(rows: Sequence[BoardRow], shifts: Sequence[str], chosen: Numbers) -> None:
    """Where the properties keep what they were asked before: the rows are judged by the first analysis's line."""
    for j, shift in enumerate(shifts):
        columns = [chosen.cells[name][:, j].tolist() for name in ("p", "low", "high", "wide_low", "wide_high")]
        for row, p, low, high, wide_low, wide_high in zip(rows, *columns):
            if p == p and row.cells[shift].effective is not None:
                vars(row.cells[shift].effective).update(p_value=p, ci95=(low, high), pi95=(wide_low, wide_high))
    keep_intervals(cell.effective for row in rows for cell in row.cells.values())


def _shipped_first(name: str) -> tuple[int, str]:
    shipped = suite_names()
    return (shipped.index(name) if name in shipped else len(shipped)), name


def _has_a_line(gathered: Gathered, baseline: str, of_suite: Suite) -> bool:
    lines = gathered.lines(LineOptions(baseline))
    return any(not isinstance(lines.at(shift, "clean"), str) for shift in of_suite.ranked)
