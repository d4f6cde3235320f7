"""Analyses: the same rows judged by every line that is at hand, and how many of them each verdict survives.

A choice of baseline, axis and scale is an analysis. A verdict that only one of them gives is an opinion of that one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from effrob.leaderboard.cell import ScoredShift
from effrob.leaderboard.gather import Gathered
from effrob.leaderboard.table import Board, BoardRow, board
from effrob.robustness.baseline import PUBLISHED
from effrob.robustness.rows import FOUR, LineOptions

BASELINES = {"imagenet": tuple(PUBLISHED), "pocket": ("pocket",)}
AXES, SCALES = ("clean", "full"), ("logit", "probit")
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
    """Suite -> its analyses, the chosen line's first. A baseline without a line for any of the four shifts is left out."""
    found: dict[str, list[Analysis]] = {}
    present = {row.suite for row in gathered.rows(chosen)}
    for suite in [suite for suite in FOUR if suite in present]:
        first = chosen.baseline_for(FOUR[suite][0])
        names = dict.fromkeys([first, *BASELINES[suite]])
        usable = [name for name in names if _has_a_line(gathered, name, suite)] or [first]
        choices = [LineOptions(name, axis, scale) for name in usable for axis in AXES for scale in SCALES]
        choices.sort(key=lambda line: (line.baseline, line.axis, line.scale) != (first, chosen.axis, chosen.scale))
        found[suite] = [_analysis(gathered, suite, line) for line in choices]
    return found


def _has_a_line(gathered: Gathered, baseline: str, suite: str) -> bool:
    lines = gathered.lines(LineOptions(baseline))
    return any(not isinstance(lines.at(shift, "clean"), str) for shift in FOUR[suite])


def _analysis(gathered: Gathered, suite: str, line: LineOptions) -> Analysis:
    rows = tuple(row for row in gathered.rows(line) if row.suite == suite)
    return Analysis(suite, line, rows, board(rows))


def survival(cells: Sequence[ScoredShift | None]) -> Mapping[str, int]:
    """Verdict -> number of analyses that give it. An analysis counts once: a row without the clean axis has one axis."""
    distinct = {
        (cell.baseline, cell.axis, cell.scale): cell.effective.verdict
        for cell in cells
        if cell is not None and cell.effective is not None
    }
    return Counter(verdict for verdict in distinct.values() if verdict is not None)
