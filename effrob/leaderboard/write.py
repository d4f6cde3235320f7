"""A board in the format asked for, as text or as files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from effrob.errors import UsageProblem
from effrob.files import whole_file
from effrob.leaderboard.board import Board
from effrob.leaderboard.gather import Gathered
from effrob.robustness.lines import LineOptions


def write_board(
    gathered: Gathered,
    line: LineOptions,
    form: str,
    out: Path | None,
    top: int | None = None,
    ci: bool = False,
    axis_asked: bool = False,
) -> str | None:
    """The text where `out` is None; else None, once `out` is written whole.

    form  md, latex, csv, json, or html, which is a folder and needs `out`
    top   at most that many rows a table, in md and latex;  ci  with intervals and marks, in latex
    axis_asked  in html, the page opens on the line's axis
    """
    if form == "html":
        if out is None:
            raise UsageProblem("an html board is a folder of files: say where with --out FOLDER")
        from effrob.leaderboard.site import write_site

        write_site(gathered, line, out, axis_asked)
        return None
    if out is not None and out.is_dir():
        raise UsageProblem(f"--out wants a file for {form}; {out} is a folder")
    text = _text(gathered.board(line), form, top, ci)
    if out is None:
        return text
    with whole_file(out) as file:
        file.write(text.encode())
    return None


def _text(ranking: Board, form: str, top: int | None, ci: bool) -> str:
    from effrob.leaderboard import render

    def latex() -> str:
        from effrob.leaderboard.latex import latex

        return latex(ranking, top, ci)

    writers: dict[str, Callable[[], str]] = {
        "md": lambda: render.markdown(ranking, top),
        "latex": latex,
        "csv": lambda: render.csv_text(ranking),
        "json": lambda: render.json_text(ranking),
    }
    if form not in writers:
        raise UsageProblem(f"no board can be written as {form!r}: say html, {', '.join(writers)}")
    return writers[form]()
