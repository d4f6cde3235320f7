"""Names of others stay text: no formula in a spreadsheet, no command of a terminal, no second command in a shell."""

from __future__ import annotations

import csv
import io
import json
import shlex
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from effrob.cli import main
from effrob.results.given.table import read_given
from shifts.bounds.text import PlainStream, csv_cell, csv_text, printable

FORMULAS = [
    "=cmd|' /C calc'!A0",
    "+1+cmd",
    "-2+3",
    "@SUM(A1)",
    "\tx",
    "\r=1",
    "'=twice",
    "''-x",
    '=HYPERLINK("http://x")',
]


@pytest.mark.parametrize("name", [*FORMULAS, "plain", "'quoted'", "a=b", ""])
def test_a_cell_is_no_formula_and_comes_back(name: str) -> None:
    written = csv_cell(name)
    assert written[:1] not in tuple("=+-@\t\r") and csv_text(written) == name


def test_numbers_stay_numbers() -> None:
    assert [csv_cell(value) for value in (-0.5, -3, None, "")] == [-0.5, -3, None, ""]


@pytest.mark.parametrize("name", [name for name in FORMULAS if name.strip() == name])
def test_a_board_holds_no_formula_and_is_read_again(name: str, tmp_path: Path) -> None:
    given, board = tmp_path / "given.csv", tmp_path / "board.csv"
    with given.open("w", newline="") as file:
        csv.writer(file).writerows([["model", "imagenet", "imagenet-r"], [csv_cell(name), 0.7, 0.5]])
    assert read_given(given).results[0].model == name
    asked = ["leaderboard", "--results", str(tmp_path / "none"), "--published", "none", "--add", str(given)]
    (tmp_path / "none").mkdir()
    done = CliRunner().invoke(main, [*asked, "--format", "csv", "--out", str(board)])
    assert done.exit_code == 0, done.output
    rows = list(csv.reader(io.StringIO(board.read_text())))
    assert not [cell for cell in rows[1] if cell[:1] in tuple("=+@\t\r")]
    assert not [
        cell for cell in rows[1] if cell[:1] == "-" and not cell[1:].replace(".", "").replace("e-", "").isdigit()
    ]
    assert csv_text(rows[1][rows[0].index("model")]) == name


TERMINAL = {
    "colours": "\x1b[31mbest\x1b[0m",
    "title": "\x1b]0;gone\x07",
    "one byte": "\x9b2J",
    "backspace": "bad\b\b\bgood",
    "turned": "\u202egpj.exe",
    "isolate": "\u2066x\u2069",
    "overwritten": "bad\rgood",
}


@pytest.mark.parametrize("name", TERMINAL.values(), ids=TERMINAL)
@pytest.mark.parametrize("form", ["md", "json", "place"])
def test_a_name_does_nothing_to_a_terminal(name: str, form: str, tmp_path: Path) -> None:
    given = tmp_path / "given.csv"
    with given.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["model", "imagenet", "imagenet-r"], [name, 0.7, 0.5]])
    (tmp_path / "none").mkdir()
    asked = ["place", str(given)]
    if form != "place":
        asked = ["leaderboard", "--results", str(tmp_path / "none"), "--published", "none", "--add", str(given)]
        asked += ["--format", form]
    done = CliRunner().invoke(main, asked)
    assert done.exit_code == 0, done.output
    assert printable(done.output) == done.output
    if form == "json":
        assert json.loads(done.stdout)[0]["model"] == name  # what was written out is JSON's own way of writing it


def test_an_error_does_nothing_to_a_terminal() -> None:
    done = CliRunner().invoke(main, ["place", "\x1b[2J\udce9=0.5"])
    assert done.exit_code == 2 and "\x1b" not in done.output and "x1b[2J" in done.output


def test_a_progress_bar_still_moves() -> None:
    below = io.StringIO()
    stream = PlainStream(below)
    for text in ("\rhalf \x1b[31mway", "\n", "\x1b[A", "\n\n", "done\n"):
        stream.write(text)
    assert below.getvalue() == "\rhalf \\u001b[31mway\n\x1b[A\n\ndone\n"


def test_streams_are_given_back() -> None:
    before = sys.stdout
    CliRunner().invoke(main, ["--help"])
    assert sys.stdout is before


@pytest.mark.parametrize("name", ["a; touch it-ran", "$(touch it-ran)", "`touch it-ran`", "a b'c"])
def test_a_suggested_command_is_one_command(name: str, tmp_path: Path) -> None:
    from effrob.results.answer_files import read_answers

    path = tmp_path / f"{name}.json"
    path.write_text("{}")
    with pytest.raises(ValueError, match="effrob place") as raised:
        read_answers(path)
    command = str(raised.value).partition("by `")[2].removesuffix("`")
    assert shlex.split(command) == ["effrob", "place", str(path)]
