"""The rows of a leaderboard, gathered from folders of records and from published tables, each under its source."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from effrob.errors import EffrobError, UsageProblem, suggest
from effrob.leaderboard.board import Board, board
from effrob.leaderboard.judging.intervals import keep_accuracy_intervals, keep_intervals
from effrob.leaderboard.row import BoardRow, row_of
from effrob.results.model_result import ModelResult
from effrob.results.select import DEFAULT_RESULTS, by_reading, published_results
from effrob.results.store import Stored
from effrob.results.verification import record_files, verified
from effrob.robustness.lines import LineOptions, Lines
from model_zoo.published import sources

if TYPE_CHECKING:
    from effrob.results.given.table import GivenTable


@dataclass(frozen=True, eq=False)
class Gathered:
    """Verified records and tables; `results` is the folder a `measured` baseline is made of.

    models  patterns, of which a row's model matches one; none: every row.  shifts  the sets to show, all where none is named
    refused  a sentence for each record that was left out
    """

    records: tuple[Stored, ...]
    given: tuple[ModelResult, ...]
    tables: tuple[str, ...]
    results: Path
    problems: tuple[str, ...]
    models: tuple[str, ...] = ()
    shifts: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()

    def lines(self, options: LineOptions) -> Lines:
        return Lines(options, self.results)

    @functools.cached_property
    def model_results(self) -> tuple[tuple[ModelResult, int], ...]:
        """(result, smaller records left out) of every row asked for: measured and imported, given, published.

        Raises UsageProblem for a pattern that no row matches, and a set that no row has.
        """
        published = [(each, 0) for name in self.tables for each in published_results(name).values()]
        every = [*by_reading(self.records), *((each, 0) for each in self.given), *published]
        kept = tuple(each for each in every if not self.models or _matches(each[0], self.models))
        for pattern in self.models:
            if not any(_matches(result, (pattern,)) for result, _ in kept):
                known = [result.model for result, _ in every]
                raise UsageProblem(
                    f"no row has a model {pattern!r}{suggest(pattern, known)}; a pattern may hold * and ?"
                )
        known_sets = dict.fromkeys(shift for result, _ in kept for shift in result.accuracies)
        for shift in self.shifts:
            if shift not in known_sets:
                raise UsageProblem(f"no row shown has an accuracy on {shift!r}{suggest(shift, list(known_sets))}")
        return kept

    def rows(self, options: LineOptions) -> list[BoardRow]:
        """A row a result, in the order of `model_results`, judged by a line."""
        lines = self.lines(options)
        rows = [row_of(lines, result, smaller) for result, smaller in self.model_results]
        keep_accuracy_intervals(cell for row in rows for cell in row.cells.values())
        return rows

    def board(self, options: LineOptions) -> Board:
        rows = self.rows(options)
        keep_intervals(cell.effective for row in rows for cell in row.cells.values())
        return board(rows, self.problems, self.shifts)


def _matches(row: ModelResult, patterns: Sequence[str]) -> bool:
    """Whether a result's model, or its table and model as in `testbed:resnet50`, is one of the patterns; case counts."""
    names = row.model, f"{row.source.partition(':')[2] or row.source}:{row.model}"
    return any(name == pattern or fnmatchcase(name, pattern) for name in names for pattern in patterns)


def gather(
    results: Sequence[Path],
    published: str,
    add: Sequence[Path] = (),
    models: Sequence[str] = (),
    shifts: Sequence[str] = (),
    leave_out: bool = False,
) -> Gathered:
    """Every verified record below `results` (`effrob-results` when none is named) and the tables named, `all` or `none`.

    add  files of accuracies a user gives, shown as they are taken: on trust
    models, shifts  patterns of models and names of sets to show, all where none is named
    leave_out  records that fail verification by themselves are left out, and named in `refused`
    Raises UsageProblem for a folder or table that is not there, EffrobError naming records that fail verification.
    """
    folders = list(results) or [DEFAULT_RESULTS]
    tables = tuple(table_names(published))
    records, refused = sound(folders) if leave_out else (tuple(verified(folders)), ())
    problems = () if records else (f"no measured rows: {', '.join(map(str, folders))} holds no records",)
    added = [_given(path) for path in add]
    notices = tuple(notice for table in added for notice in table.notices)
    given = tuple(result for table in added for result in table.results if result.accuracies)
    asked = tuple(dict.fromkeys(models)), tuple(dict.fromkeys(shifts))
    return Gathered(records, given, tables, folders[0], (*problems, *notices), *asked, refused)


def sound(folders: Sequence[Path]) -> tuple[tuple[Stored, ...], tuple[str, ...]]:
    """The records that are verified each by itself, and a sentence for every other one.

    Raises UsageProblem for a folder that is not there, and EffrobError where records that are sound contradict each other:
    which of them is wrong, no file tells.
    """
    try:
        return tuple(verified(folders)), ()
    except UsageProblem:
        raise
    except EffrobError:
        alone, refused = [], []
        for path in dict.fromkeys(path for folder in folders for path in record_files(folder)):
            try:
                alone += [path.parent] if verified([path.parent]) else []
            except EffrobError as error:
                refused.append(f"left out: {str(error).removeprefix('refused, nothing was written: ')}")
    return tuple(verified(alone)) if alone else (), tuple(refused)


def _given(path: Path) -> GivenTable:
    from effrob.results.given.table import read_given  # loads what reads sets, which few boards need

    return read_given(path)


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
