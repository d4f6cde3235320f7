"""A board in the format asked for, as text or as files."""

from __future__ import annotations

from pathlib import Path

from effrob.errors import UsageProblem
from effrob.leaderboard.table import Board
from effrob.writing import whole_file


def write_board(found: Board, form: str, out: Path | None, top: int | None = None) -> str | None:
    """The text where `out` is None; else None, once `out` is written whole.

    form  md, latex, csv or json
    """
    text = _text(found, form, top)
    if out is None:
        return text
    if out.is_dir():
        raise UsageProblem(f"--out wants a file for {form}; {out} is a folder")
    with whole_file(out) as file:
        file.write(text.encode())
    return None


def _text(found: Board, form: str, top: int | None) -> str:
    from effrob.leaderboard import latex, render

    writers = {"csv": render.csv_text, "json": render.json_text}
    if form in writers:
        return writers[form](found)
    return latex.latex(found, top) if form == "latex" else render.markdown(found, top)
