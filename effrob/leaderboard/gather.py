"""A board from folders of records and from published tables: the one place where the two meet, each under its name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from effrob.leaderboard.cell import Lines
from effrob.leaderboard.records import DEFAULT, measured_rows, verified
from effrob.leaderboard.table import Board, board
from effrob.leaderboard.tables import published_rows, table_names
from effrob.rows import Line


def gather(results: Sequence[Path], published: str, line: Line) -> Board:
    """The board of every proved record below `results` (`effrob-results` when none is named) and the tables named.

    Raises UsageProblem for a folder or table that is not there, EffrobError naming records that prove false.
    """
    folders = list(results) or [DEFAULT]
    names = table_names(published)
    lines = board_lines(results, line)
    records = verified(folders)
    problems = [] if records else [f"no measured rows: {', '.join(map(str, folders))} holds no records"]
    return board([*measured_rows(records, lines), *published_rows(names, lines)], problems)


def board_lines(results: Sequence[Path], line: Line) -> Lines:
    """The lines a board of these folders stands on."""
    return Lines(line, results[0] if results else DEFAULT)
