"""Analyses: the same rows judged by every line that is at hand, and how many of them each verdict survives.

A choice of baseline, axis and scale is an analysis. A verdict that only one of them gives is an opinion of that one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from effrob.leaderboard.board import Board, board
from effrob.leaderboard.gather import Gathered
from effrob.leaderboard.intervals import keep_intervals
from effrob.leaderboard.row import BoardRow
from effrob.leaderboard.scored_shift import ScoredShift
from effrob.results.model_result import AXES
from effrob.robustness.baselines.catalogue import PUBLISHED
from effrob.robustness.lines import LineOptions
from effrob.robustness.scale import SCALES
from shifts import Suite, suite, suite_names

VERDICTS = ("above", "on", "below", "cannot-tell")


@dataclass(frozen=True, eq=False)
class Analysis:
    """The rows of one suite under one line, in the order of every other analysis of that suite."""

    suite: str
    line: LineOptions
    rows: tuple[BoardRow, ...]
    board: Board

    @property
    def key(self) -> str:
        """`suite|baseline|axis|scale`."""
        return "|".join((self.suite, str(self.line.baseline), self.line.axis, self.line.scale))


def analyses(gathered: Gathered, chosen: LineOptions) -> dict[str, list[Analysis]]:
    """Suite -> its analyses, the chosen line's first. A baseline without a line for any ranked shift is left out."""
    made: dict[str, list[Analysis]] = {}
    present = dict.fromkeys(row.suite for row in gathered.rows(chosen))
    for each in [suite(name) for name in sorted(present, key=_shipped_first)]:
        first = chosen.baseline_for(each.ranked[0])
        names = dict.fromkeys([first, *PUBLISHED, *([each.baseline] if each.baseline else [])])
        usable = [name for name in names if _has_a_line(gathered, name, each)] or [first]
        choices = [LineOptions(name, axis, scale) for name in usable for axis in AXES for scale in SCALES]
        choices.sort(key=lambda line: (line.baseline, line.axis, line.scale) != (first, chosen.axis, chosen.scale))
        made[each.name] = [_analysis(gathered, each.name, line) for line in choices]
    return made


def _shipped_first(name: str) -> tuple[int, str]:
    shipped = suite_names()
    return (shipped.index(name) if name in shipped else len(shipped)), name


def _has_a_line(gathered: Gathered, baseline: str, of_suite: Suite) -> bool:
    lines = gathered.lines(LineOptions(baseline))
    return any(not isinstance(lines.at(shift, "clean"), str) for shift in of_suite.ranked)


def _analysis(gathered: Gathered, name: str, line: LineOptions) -> Analysis:
    rows = tuple(row for row in gathered.rows(line) if row.suite == name)
    keep_intervals(cell.effective for row in rows for cell in row.cells.values() if cell.effective is not None)
    return Analysis(name, line, rows, board(rows))


def survival(cells: Sequence[ScoredShift | None]) -> Mapping[str, int]:
    """Verdict -> number of analyses that give it. An analysis counts once: a row without the clean axis has one axis."""
    distinct = {
        (cell.baseline, cell.axis, cell.scale): cell.effective.verdict
        for cell in cells
        if cell is not None and cell.effective is not None
    }
    return Counter(verdict for verdict in distinct.values() if verdict is not None)
