"""A board from folders of records and from published tables: the one place where the two meet, each under its name."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from effrob.leaderboard.cell import Lines
from effrob.leaderboard.records import DEFAULT, measured_rows, verified
from effrob.leaderboard.table import Board, BoardRow, board
from effrob.leaderboard.tables import published_rows, table_names
from effrob.results.store import Stored
from effrob.robustness.rows import LineOptions


@dataclass(frozen=True, eq=False)
class Gathered:
    """Proved records and tables, ready to be judged by any line; `results` is where a `measured` baseline is made of."""

    records: tuple[Stored, ...]
    tables: tuple[str, ...]
    results: Path
    problems: tuple[str, ...]

    def lines(self, line: LineOptions) -> Lines:
        return Lines(line, self.results)

    def rows(self, line: LineOptions) -> list[BoardRow]:
        """Every row judged by a line, in an order that does not depend on the line."""
        lines = self.lines(line)
        return [*measured_rows(self.records, lines), *published_rows(self.tables, lines)]

    def board(self, line: LineOptions) -> Board:
        return board(self.rows(line), self.problems)


def gather(results: Sequence[Path], published: str) -> Gathered:
    """Every proved record below `results` (`effrob-results` when none is named) and the tables named, `all` or `none`.

    Raises UsageProblem for a folder or table that is not there, EffrobError naming records that prove false.
    """
    folders = list(results) or [DEFAULT]
    tables = tuple(table_names(published))
    records = tuple(verified(folders))
    problems = () if records else (f"no measured rows: {', '.join(map(str, folders))} holds no records",)
    return Gathered(records, tables, folders[0], problems)


@contextmanager
def uncollected() -> Iterator[None]:
    """No garbage collection meanwhile: a board's small objects all live to its end, and walking them costs a fifth of it."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
