"""Rows as a list that is a table too: by shift, as a pandas frame, as Markdown, and as HTML in a notebook."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

from effrob.errors import UsageProblem, suggest
from effrob.leaderboard.terminal import HEADINGS, cells, table
from effrob.robustness.lines import LineOptions
from effrob.robustness.rows import Row, rows_of

if TYPE_CHECKING:
    import pandas


class ResultRows(list[Row]):
    """Rows in the order asked; `rows[0]` is a Row, `rows["imagenet-r"]` are those of one shift."""

    @overload
    def __getitem__(self, key: SupportsIndex) -> Row: ...

    @overload
    def __getitem__(self, key: slice | str) -> ResultRows: ...

    def __getitem__(self, key: SupportsIndex | slice | str) -> Row | ResultRows:
        """The row at a place; the rows of a slice, or of a shift by its name. KeyError for a shift that no row is of."""
        if isinstance(key, str):
            of_shift = [row for row in self if key in (row.shift, row.shift.rpartition("/")[2])]
            if not of_shift:
                raise KeyError(f"no row is of {key!r}{suggest(key, dict.fromkeys(row.shift for row in self))}")
            return ResultRows(of_shift)
        if isinstance(key, slice):
            return ResultRows(super().__getitem__(key))
        return super().__getitem__(key)

    def to_frame(self) -> pandas.DataFrame:
        """A pandas frame, a row each, with the columns of `eval --json`; an interval is two columns, `_low` and `_high`."""
        try:
            import pandas
        except ImportError as error:
            raise UsageProblem("a frame needs the package pandas: pip install 'effrob[frame]'") from error
        return pandas.DataFrame([_flat(row.as_json()) for row in self])

    def to_markdown(self) -> str:
        """A Markdown table in percent, as `effrob eval` prints it."""
        lines = [HEADINGS, tuple("---" for _ in HEADINGS), *map(cells, self)]
        return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"

    def __repr__(self) -> str:
        return table(self) if self else "no rows"

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{escape(name)}</th>" for name in HEADINGS)
        body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells(row)) + "</tr>" for row in self)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """An interval as two columns; other lists and objects stay as they are."""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if name.endswith(("ci95", "pi95")):
            flat[f"{name}_low"], flat[f"{name}_high"] = value if value is not None else (None, None)
        else:
            flat[name] = value
    return flat


def read(results: str | PathLike[str] = "effrob-results", line: LineOptions | None = None) -> ResultRows:
    """The rows of every record below a results folder, judged by a line. Raises UsageProblem where it holds none."""
    from effrob.results.select import read_records

    records: Iterable[Any] = read_records(Path(results))
    rows = rows_of(list(records), line or LineOptions())
    if not rows:
        raise UsageProblem(f"{results} holds no records: name the folder that `effrob eval --results` wrote to")
    return ResultRows(rows)
