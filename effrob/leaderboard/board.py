"""Board: rows ranked by the mean of the logit residuals over the ranked shifts, rows of one origin together.

A rank counts rows that can be compared: the same suite, origin, axis, and reach of the line.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from effrob.leaderboard.discoveries import NONE, Discovery, discoveries
from effrob.leaderboard.judging.ranks import ranks
from effrob.leaderboard.row import REACHES, BoardRow, Group
from effrob.leaderboard.scored_shift import Interval, ScoredShift
from effrob.results.model_result import ORIGINS


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
    shifts    the sets to show, all where none is named; means and ranks do not depend on them
    """

    rows: tuple[BoardRow, ...]
    problems: tuple[str, ...] = ()
    shifts: tuple[str, ...] = ()

    @functools.cached_property
    def groups(self) -> dict[Group, tuple[BoardRow, ...]]:
        """Rows by group in order of rank: measured first, then by suite, axis and reach."""
        by_group: dict[Group, list[BoardRow]] = {}
        for row in self.rows:
            by_group.setdefault(row.group, []).append(row)
        return {
            group: tuple(by_group[group])
            for group in sorted(by_group, key=lambda g: (ORIGINS.index(g.kind), *g[1:3], REACHES.index(g.reach)))
        }

    @functools.cached_property
    def rank_ranges(self) -> dict[int, RankRange]:
        """id(row) -> rank range. Equal means share a rank; the open ranks are those of rows whose intervals overlap."""
        ranges: dict[int, RankRange] = {}
        for rows in self.groups.values():
            ranked = [row for row in rows if row.mean_logit is not None]
            ends = [row.mean_logit_ci95 or Interval(-math.inf, math.inf) for row in ranked]
            means = np.array([row.mean_logit for row in ranked], dtype=np.float64)
            of = ranks(means, *np.array(ends).reshape(-1, 2).T)
            for row, rank, best, worst in zip(ranked, *(each.tolist() for each in of)):
                ranges[id(row)] = RankRange(rank, best, worst, len(ranked))
            for row in rows:
                ranges.setdefault(id(row), RankRange(None, None, None, len(ranked)))
        return ranges

    def rank_range(self, row: BoardRow) -> RankRange:
        return self.rank_ranges[id(row)]

    @functools.cached_property
    def _discoveries(self) -> dict[ScoredShift, Discovery]:
        return discoveries(self.rows)

    def discovery(self, cell: ScoredShift) -> Discovery:
        """The cell's p-value, and its q among all that the board asks."""
        return self._discoveries.get(cell, NONE)


def board(rows: Iterable[BoardRow], problems: Iterable[str] = (), shifts: Iterable[str] = ()) -> Board:
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

    return Board(tuple(sorted(rows, key=key)), tuple(problems), tuple(shifts))
