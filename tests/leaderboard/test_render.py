"""Markdown that a strict parser reads, LaTeX that compiles, names that stay text, CSV and JSON that agree."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest

import effrob.leaderboard.latex as latex_module
from effrob.leaderboard.board import Board, board
from effrob.leaderboard.formatting import interval
from effrob.leaderboard.gather import gather
from effrob.leaderboard.latex import MEANT, escape, latex
from effrob.leaderboard.render import READING, as_json, csv_text, json_text, markdown, marks, rank_text
from effrob.robustness.lines import LineOptions

from .conftest import SHIFTS, submit
from .tex import typeset

NASTY = r"<script>alert(1)</script> | 50% & $x_1$ #{~^\ `*--*` é"


@pytest.fixture
def nasty(tmp_path: Path) -> Board:
    for shift, accuracy in SHIFTS.items():
        submit(tmp_path, NASTY, shift, accuracy)
        submit(tmp_path, "plain", shift, accuracy - 0.2)
    return gather([tmp_path], "openclip").board(LineOptions())


def _tables(text: str) -> list[list[list[str]]]:
    parser = pytest.importorskip("markdown_it", reason="markdown-it-py is not installed")
    tokens = parser.MarkdownIt("commonmark").enable("table").parse(text)
    tables: list[list[list[str]]] = []
    for token, after in zip(tokens, [*tokens[1:], None]):
        if token.type == "table_open":
            tables.append([])
        elif token.type == "tr_open":
            tables[-1].append([])
        elif token.type in ("td_open", "th_open"):
            assert after is not None
            plain = "".join(c.content for c in after.children or [] if c.type in ("text", "text_special"))
            assert not [c.type for c in after.children or [] if c.type not in ("text", "text_special")]
            tables[-1][-1].append(plain)
    return tables


def test_markdown_parses_into_whole_tables_and_names_stay_text(nasty: Board) -> None:
    tables = _tables(markdown(nasty))
    assert sum(len(table) - 1 for table in tables) == len(nasty.rows)
    for table in tables:
        assert {len(row) for row in table} == {12}
    measured = [row[1] for row in tables[0][1:]]
    assert measured == [" ".join(NASTY.split()), "plain"]


def test_markdown_shows_points_intervals_and_the_line(nasty: Board) -> None:
    text = markdown(nasty)
    assert "line of baseline testbed, clean axis, logit scale" in text
    assert "69.00 \\[66.0, 71.9\\]" in text
    first = next(line for line in text.splitlines() if "script" in line)
    mean = next(row for row in nasty.rows if row.model == NASTY).mean
    assert mean is not None and f"{100 * mean:+.2f}" in first


def test_top_says_how_many_it_left_out(nasty: Board) -> None:
    text = markdown(nasty, top=3)
    assert "the first 3 of" in text
    assert max(len(table) - 1 for table in _tables(text)) == 3


def test_csv_and_json_hold_the_same_numbers(nasty: Board) -> None:
    rows = list(csv.DictReader(io.StringIO(csv_text(nasty))))
    facts = json.loads(json_text(nasty))
    assert [row["model"] for row in rows] == [fact["model"] for fact in facts]
    for row, fact in zip(rows, facts):
        for shift, cell in fact["shifts"].items():
            assert float(row[f"{shift}.accuracy"]) == cell["accuracy"]
            assert float(row[f"{shift}.effective_robustness_ci95_low"]) == cell["effective_robustness_ci95"][0]
            assert row[f"{shift}.axis"] == cell["axis"]


def test_json_is_strict_and_holds_the_interface(nasty: Board) -> None:
    rows = json.loads(json_text(nasty), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    wanted = {
        "model", "img_size", "source", "head", "protocol", "clean_full", "shifts", "mean_effective_robustness",
        "mean_effective_robustness_logit", "effective_robustness_of_mean",
    }  # fmt: skip
    cell = {
        "accuracy", "accuracy_ci95", "clean_accuracy", "effective_robustness", "effective_robustness_logit",
        "effective_robustness_ci95", "effective_robustness_pi95", "verdict", "extrapolated", "baseline", "axis", "scale",
    }  # fmt: skip
    for row in rows:
        assert wanted <= row.keys()
        assert all(cell <= found.keys() for found in row["shifts"].values())
    assert rows == as_json(nasty)


def test_latex_escapes_every_special_character_and_marks_the_best(nasty: Board) -> None:
    text = latex(nasty)
    assert escape(" ".join(NASTY.split())) in text
    assert r"\textless{}script\textgreater{}" in text
    assert escape("a--b é") == r"a-{}-b [U+00E9]"
    assert r"\toprule" in text and r"\bottomrule" in text
    best, other = (next(r for r in nasty.rows if r.model == m) for m in (NASTY, "plain"))
    assert best.mean_logit is not None and other.mean_logit is not None and best.mean_logit > other.mean_logit
    assert rf"$\mathbf{{{best.mean_logit:+.3f}}}$" in text
    assert rf"\mathbf{{{other.mean_logit:+.3f}}}" not in text


def test_no_table_puts_the_diagnostic_set_in_bold(nasty: Board) -> None:
    for line in latex(nasty).splitlines():
        if line.count("&") == 14 and line.endswith(r"\\") and "mathbf" in line:
            assert "mathbf" not in line.split("&")[-1]


def test_the_caption_shows_each_mark_as_the_rows_do(nasty: Board) -> None:
    caption = next(line for line in latex(nasty, ci=True).splitlines() if line.startswith(r"\caption"))
    assert (
        r"$\approx$ nondeterministic; $\dagger$ disputed." in caption and r"\$" not in caption.partition("Brackets")[2]
    )
    assert r"$\ast$ extrapolated" in caption and r"$\sim$ part of the set" in caption


def test_latex_compiles(nasty: Board, tmp_path: Path) -> None:
    assert "LaTeX Error" not in typeset(tmp_path, latex(nasty) + latex(nasty, ci=True))


def test_a_table_of_four_models_and_five_shifts_with_intervals_fits_the_text(tmp_path: Path) -> None:
    four = ("openclip:ViT-B-32@openai", "openclip:ViT-L-14@openai", "openclip:ViT-SO400M-14-SigLIP-384@webli")
    ranking = gather([], "openclip,testbed", models=[*four, "testbed:resnet50"]).board(LineOptions(axis="full"))
    log = typeset(tmp_path, latex(ranking, ci=True))
    assert len(ranking.rows) == 4 and "Overfull" not in log
    long = gather([], "testbed").board(LineOptions()).rows[:120]
    assert "Output written" in typeset(tmp_path, latex(board(long), ci=True))


def test_a_table_that_is_shrunk_says_so_in_its_source_and_to_tex_by_how_much(tmp_path: Path) -> None:
    gathered = gather([], "openclip", models=["openclip:ViT-B-32@openai", "openclip:ViT-L-14@openai"])
    wide = latex(gathered.board(LineOptions(axis="full")), ci=True)
    assert wide.count("% A table wider than the text is shrunk to it, and TeX warns by how much") == 1
    assert "name fewer sets with --shift" in wide and r"\effrobfit{" in wide
    log = "".join(typeset(tmp_path, wide.replace(r"\begin{table*}", r"\begin{table*}\textwidth=300pt")).split())
    (shrunk,) = {int(found) for found in re.findall(r"tableofeffrobshrunkto(\d+)percent", log)}
    assert 30 < shrunk < 100
    assert "tableofeffrobshrunk" not in "".join(
        typeset(tmp_path, wide.replace(r"\begin{table*}", r"\begin{table*}\textwidth=900pt")).split()
    )


@pytest.fixture(scope="module")
def testbed() -> Board:
    """Ordinary models and one of captions: departures in both directions, none, and a line of ImageNet-A that is none."""
    return gather([], "testbed").board(LineOptions(axis="full"))


def test_on_the_line_and_cannot_tell_have_marks_of_their_own_and_those_of_the_page(testbed: Board) -> None:
    signs = (Path(latex_module.__file__).parent / "page" / "table.js").read_text(encoding="utf-8")
    assert 'on: "●", "cannot-tell": "?"' in signs
    seen = set()
    for cell in (cell for row in testbed.rows for cell in row.cells.values() if cell.effective is not None):
        verdict, marked = cell.robustness["verdict"], marks(cell, testbed.discovery(cell).by_chance)
        seen.add(verdict)
        assert ("●" in marked) == (verdict == "on")
        assert ("?" in marked or "*" in marked) == (verdict == "cannot-tell")
    assert seen == {"above", "on", "below", "cannot-tell"}
    no_line = next(
        cell
        for row in testbed.rows
        for cell in row.cells.values()
        if (cell.robustness.get("why") or "").startswith("no line") and cell.effective and cell.effective.pi95[0] > 0  # type: ignore[index]
    )
    assert marks(no_line, False) == "?"  # its prediction interval leaves 0 out, and yet nothing can be told
    written = latex(testbed, 3, ci=True)
    assert "like the baseline" not in written and r"$\bullet$ on the line" in written and "$?$ cannot tell" in written
    assert set(MEANT) >= {"●", "?"} and "`●` on the line" in READING and "`?` cannot tell" in READING


def test_no_number_under_doubt_and_no_accuracy_is_bold(testbed: Board) -> None:
    bold = [line for line in latex(testbed, ci=True).splitlines() if r"\mathbf" in line]
    cells = [cell for line in bold for cell in line.split(" & ") if r"\mathbf" in cell]
    assert cells and all(cell.startswith((r"$\mathbf{+", r"$\mathbf{-")) for cell in cells)  # signed: no accuracy
    assert not [cell for cell in cells if any(mark in cell for mark in ("!", "?", r"\ast", r"\sim", r"\dagger"))]


def test_a_best_that_chance_explains_is_not_bold(testbed: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    def bold_cells() -> int:
        return sum(
            cell.startswith(r"$\mathbf") for line in latex(testbed).splitlines() for cell in line.split(" & ")[5:]
        )

    assert bold_cells() > 0
    monkeypatch.setattr("effrob.leaderboard.latex.marks", lambda cell, by_chance: "!")
    assert bold_cells() == 0


def test_latex_has_the_rank_ranges_of_markdown_and_says_which_interval_brackets_hold(testbed: Board) -> None:
    ranges = [text for row in testbed.rows if "(" in (text := rank_text(testbed, row))]
    written = latex(testbed, ci=True)
    assert ranges and all(f"{text.replace('-', '--')} & " in written for text in ranges)
    caption = next(line for line in written.splitlines() if line.startswith(r"\caption"))
    assert "Ranks in brackets are those" in caption
    assert escape("95 % confidence intervals") in caption and "wider prediction interval" in caption


@pytest.mark.parametrize(
    ("ends", "signed", "said"),
    [
        ((0.0, 0.00049), False, "[0.00, 0.05]"),
        ((0.0, 0.00051), False, "[0.0, 0.1]"),
        ((0.0, 0.0), False, "[0.0, 0.0]"),
        ((-0.0002, 0.268), True, "[-0.02, +26.80]"),
        ((0.354, 0.361), False, "[35.4, 36.1]"),
    ],
)
def test_an_end_that_is_not_nought_is_not_written_as_nought(ends: tuple[float, float], signed: bool, said: str) -> None:
    assert interval(ends, signed) == said
