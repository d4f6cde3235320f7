"""Discoveries: which departures from the line still stand when a whole board asks at once (Benjamini and Hochberg).

Five of a hundred ordinary models fall outside their 95 % intervals, so a verdict read alone says little on a long board.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from effrob.leaderboard.judging.p_values import p_values
from effrob.leaderboard.row import BoardRow
from effrob.leaderboard.scored_shift import ScoredShift
from effrob.robustness.effective import Effective
from effrob.robustness.significance import adjust
from shifts import suite

RATE = 0.05


class Discovery(NamedTuple):
    """p  of one cell alone;  q  the smallest false discovery rate at which its departure stands; None where none is asked."""

    p: float | None
    q: float | None

    @property
    def by_chance(self) -> bool:
        """Whether the departure was asked about among the others and does not stand at the rate."""
        return self.q is not None and self.q >= RATE


NONE = Discovery(None, None)


def discoveries(rows: Iterable[BoardRow]) -> dict[ScoredShift, Discovery]:
    """Every cell with a p-value, and its q among the cells that are asked together.

    Asked together are the cells of one suite and one origin, so that what is shown beside a user's
    own models cannot lend them significance. A diagnostic set and an extrapolated cell, of which nothing is claimed, are no
    questions.
    """
    asked: dict[tuple[str, str], list[ScoredShift]] = {}
    judged: list[tuple[ScoredShift, Effective]] = []
    for row in rows:
        diagnostic = suite(row.suite).diagnostic
        for shift, cell in row.cells.items():
            if cell.effective is None:
                continue
            judged.append((cell, cell.effective))
            if not cell.effective.extrapolated and shift not in diagnostic:
                asked.setdefault((row.origin, row.suite), []).append(cell)
    p = dict(zip((cell for cell, _ in judged), p_values([effective for _, effective in judged])))
    q: dict[ScoredShift, float | None] = {}
    for cells in asked.values():
        q |= zip(cells, adjust([p[cell] for cell in cells], "fdr"))
    return {cell: Discovery(p[cell], q.get(cell)) for cell in p}
