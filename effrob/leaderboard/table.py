"""Board: typed rows, measured and published apart, ranked by the mean of the logit residuals over the four shifts.

A mean exists only where all four shifts stand; ImageNet-A is a diagnostic and enters neither mean nor rank. A rank counts
rows that can be compared: the same suite, kind (measured or published), axis, and reach of the line.
"""

from __future__ import annotations

import functools
import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from effrob.leaderboard.cell import Interval, ScoredShift
from effrob.leaderboard.discoveries import NONE, Discovery, discoveries
from effrob.results.accuracy import Accuracy
from effrob.robustness.effective import Effective
from effrob.robustness.rows import FOUR

DIAGNOSTIC = {"imagenet": "imagenet-a", "pocket": "pocket-a"}
REACHES = ("within", "above", "below", "unranked")


class Group(NamedTuple):
    """Rows that can be compared. `reach` says whether the line is known where they stand, or extrapolated."""

    kind: str
    suite: str
    axis: str
    reach: str


@dataclass(frozen=True, eq=False)
class BoardRow:
    """One model under one head, prompt set and protocol, from one source.

    source      `measured`, or `published:` and the table's name
    axis        which clean accuracy its cells stand on: `full` for a published row without class-matched accuracies
    of_mean     effective robustness of the mean accuracy, which is not the mean effective robustness
    details     what else is known, for a page and for JSON: weights, training data, provenance, notes
    """

    model: str
    img_size: int | None
    source: str
    head: str
    prompts: str | None
    protocol: str
    suite: str
    axis: str
    clean_full: Accuracy | None
    cells: Mapping[str, ScoredShift]
    of_mean: Effective | None
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def measured(self) -> bool:
        return self.source == "measured"

    @property
    def partial(self) -> bool:
        return any(cell.partial for cell in self.cells.values())

    @functools.cached_property
    def four(self) -> tuple[ScoredShift, ...] | None:
        """The four cells a mean is over, or None unless each has an effective robustness."""
        found = [self.cells.get(shift) for shift in FOUR[self.suite]]
        whole = tuple(cell for cell in found if cell is not None and cell.effective_robustness is not None)
        return whole if len(whole) == len(found) else None

    @property
    def mean(self) -> float | None:
        """Mean effective robustness of the four, a fraction."""
        return _mean([cell.effective_robustness for cell in self.four]) if self.four else None

    @functools.cached_property
    def mean_logit(self) -> float | None:
        """Mean of the four logit residuals: what ranks. None where one is at 0 or 1."""
        return _mean([cell.effective_robustness_logit for cell in self.four]) if self.four else None

    @functools.cached_property
    def mean_ci95(self) -> Interval | None:
        """95 % interval of `mean`: the mean of the four intervals, as if their errors moved together (the widest case)."""
        ends = [cell.effective.ci95 for cell in self.four or () if cell.effective is not None]
        known = [pair for pair in ends if pair is not None]
        if not known or len(known) < len(FOUR[self.suite]):
            return None
        return Interval(sum(low for low, _ in known) / len(known), sum(high for _, high in known) / len(known))

    @functools.cached_property
    def mean_logit_ci95(self) -> Interval | None:
        """95 % interval of `mean_logit`, by the same rule."""
        half = _mean([cell.logit_half_width for cell in self.four]) if self.four else None
        return (
            None
            if half is None or self.mean_logit is None
            else Interval(self.mean_logit - half, self.mean_logit + half)
        )

    @functools.cached_property
    def reach(self) -> str:
        """`within` the baseline's clean accuracies on all four shifts, `below` or `above` on one; `unranked` without a mean."""
        if self.mean_logit is None:
            return "unranked"
        found = {cell.reach for cell in self.four or ()}
        return "below" if "below" in found else "above" if "above" in found else "within"

    @functools.cached_property
    def group(self) -> Group:
        """What a rank counts within."""
        return Group("measured" if self.measured else "published", self.suite, self.axis, self.reach)


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


@dataclass(frozen=True)
class RankRange:
    """A row's rank in its group, and the ranks its interval leaves open; None where there is no mean."""

    rank: int | None
    best: int | None
    worst: int | None
    of: int


@dataclass(frozen=True, eq=False)
class Board:
    """Rows in order of rank: highest mean logit residual first, rows without one last by clean accuracy.

    problems  sentences a reader should see: sources that were empty, records that a fuller one replaced
    """

    rows: tuple[BoardRow, ...]
    problems: tuple[str, ...] = ()

    @functools.cached_property
    def groups(self) -> dict[Group, tuple[BoardRow, ...]]:
        """Rows by group in order of rank: measured first, then by suite, axis and reach."""
        found: dict[Group, list[BoardRow]] = {}
        for row in self.rows:
            found.setdefault(row.group, []).append(row)
        return {group: tuple(found[group]) for group in sorted(found, key=lambda g: (*g[:3], REACHES.index(g.reach)))}

    @functools.cached_property
    def standings(self) -> dict[int, RankRange]:
        """id(row) -> standing. Equal means share a rank; the open ranks are those of rows whose intervals overlap."""
        found: dict[int, RankRange] = {}
        for rows in self.groups.values():
            ranked = [row for row in rows if row.mean_logit is not None]
            ends = [row.mean_logit_ci95 or Interval(-math.inf, math.inf) for row in ranked]
            lows, highs = sorted(end.low for end in ends), sorted(end.high for end in ends)
            for place, (row, end) in enumerate(zip(ranked, ends)):
                tied = place > 0 and ranked[place - 1].mean_logit == row.mean_logit
                rank = found[id(ranked[place - 1])].rank if tied else place + 1
                surely_above = len(lows) - bisect_right(lows, end.high)
                surely_below = bisect_left(highs, end.low)
                found[id(row)] = RankRange(rank, surely_above + 1, len(ranked) - surely_below, len(ranked))
            for row in rows:
                found.setdefault(id(row), RankRange(None, None, None, len(ranked)))
        return found

    def standing(self, row: BoardRow) -> RankRange:
        return self.standings[id(row)]

    @functools.cached_property
    def _discoveries(self) -> dict[ScoredShift, Discovery]:
        return discoveries(self.rows, DIAGNOSTIC)

    def discovery(self, cell: ScoredShift) -> Discovery:
        """The cell's p-value, and its q among all that the board asks."""
        return self._discoveries.get(cell, NONE)


def board(rows: Iterable[BoardRow], problems: Iterable[str] = ()) -> Board:
    """Order rows by rank."""

    def key(row: BoardRow) -> tuple[bool, float, float, str, str, int]:
        mean, clean = row.mean_logit, row.clean_full
        return (
            mean is None,
            0.0 if mean is None else -mean,
            0.0 if clean is None else -clean.value,
            row.model,
            row.source,
            row.img_size or 0,
        )

    return Board(tuple(sorted(rows, key=key)), tuple(problems))
