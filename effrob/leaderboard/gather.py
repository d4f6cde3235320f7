"""The rows of a leaderboard, gathered from folders of records and from published tables, each under its source."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from effrob.errors import UsageProblem, suggest
from effrob.leaderboard.board import Board, board
from effrob.leaderboard.row import BoardRow, row_of
from effrob.results.given import read_given
from effrob.results.model_result import ModelResult
from effrob.results.select import DEFAULT_RESULTS, by_reading, published_results
from effrob.results.store import Stored
from effrob.results.verification import verified
from effrob.robustness.lines import LineOptions, Lines
from model_zoo.published import sources


@dataclass(frozen=True, eq=False)
class Gathered:
    """Verified records and tables; `results` is the folder a `measured` baseline is made of."""

    records: tuple[Stored, ...]
    given: tuple[ModelResult, ...]
    tables: tuple[str, ...]
    results: Path
    problems: tuple[str, ...]

    def lines(self, options: LineOptions) -> Lines:
        return Lines(options, self.results)

    def rows(self, options: LineOptions) -> list[BoardRow]:
        """Every row, in an order that does not depend on the line it is judged by."""
        lines = self.lines(options)
        measured = [row_of(lines, result, smaller) for result, smaller in by_reading(self.records)]
        measured += [row_of(lines, result) for result in self.given]
        return measured + [row_of(lines, each) for name in self.tables for each in published_results(name).values()]

    def board(self, options: LineOptions) -> Board:
        return board(self.rows(options), self.problems)


def gather(results: Sequence[Path], published: str, add: Sequence[Path] = ()) -> Gathered:
    """Every verified record below `results` (`effrob-results` when none is named) and the tables named, `all` or `none`.

    add  files of accuracies a user gives, shown as they are taken: on trust
    Raises UsageProblem for a folder or table that is not there, EffrobError naming records that fail verification.
    """
    folders = list(results) or [DEFAULT_RESULTS]
    tables = tuple(table_names(published))
    records = tuple(verified(folders))
    problems = () if records else (f"no measured rows: {', '.join(map(str, folders))} holds no records",)
    added = [read_given(path) for path in add]
    notices = tuple(notice for table in added for notice in table.notices)
    given = tuple(result for table in added for result in table.results if result.accuracies)
    return Gathered(records, given, tables, folders[0], (*problems, *notices))


def table_names(asked: str) -> list[str]:
    """`all`, `none`, or names separated by commas. Raises UsageProblem for a name that is no table."""
    known = sources()
    if asked in ("all", "none"):
        return known if asked == "all" else []
    names = [name.strip().replace("-", "_") for name in asked.split(",") if name.strip()]
    for name in names:
        if name not in known:
            raise UsageProblem(f"no published table is named {name!r}{suggest(name, [*known, 'all', 'none'])}")
    return list(dict.fromkeys(names))


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
