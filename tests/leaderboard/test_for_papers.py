"""The page for papers: its commands, word for word, give the table, the figure, the paragraph and the page it promises."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from effrob.cli import main

from .tex import typeset

PAGE = Path(__file__).parents[2] / "docs" / "for-papers.md"


def commands() -> list[list[str]]:
    text = PAGE.read_text(encoding="utf-8").replace("\\\n", " ")
    return [shlex.split(line.removeprefix("$ ")) for line in re.findall(r"^\$ effrob .*$", text, re.M)]


def _ran(asked: list[str]) -> str:
    done = CliRunner().invoke(main, asked[1:])
    assert done.exit_code == 0, (asked, done.stderr)
    return done.stdout


def test_the_documented_table_paragraph_and_references_make_a_paper(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    table, figure, paragraph, references, page = commands()
    _ran(table)
    written = (tmp_path / "table.tex").read_text()
    rows = [line for line in written.splitlines() if line.endswith(r"\\*")]
    assert len(rows) == 4 and all(row.count("&") == 4 + 2 * 5 for row in rows)
    body = _ran(paragraph)
    assert "Its effective robustness is" in body and body.count(r"\cite{") >= 4
    assert page[1:3] == ["leaderboard", "--format"] and figure[1] == "plot"
    log = typeset(tmp_path, written + body, _ran(references))
    assert "undefined" not in log and not re.search(r"Overfull .hbox .\d{2,}", log)


def test_the_documented_figure_names_two_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    figure = commands()[1]
    out = tmp_path / "figure.svg"
    _ran([*figure[:-1], str(out)])
    named = out.read_text()
    assert "ViT-B-32@openai" in named and "ViT-L-14@openai" in named and "RN50x4" not in named
