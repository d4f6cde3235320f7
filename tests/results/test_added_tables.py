"""Given accuracies beside others, always under their own name: boards, figures, comparisons, studies, the multiverse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from effrob.cli import main

MODELS = """model,imagenet,imagenet-v2,imagenet-r,imagenet-r-clean,imagenet-sketch,objectnet,objectnet-clean
net-a,76.1,63.3,36.2,91.0,24.1,36.0,84.0
net-b,63.2,55.9,69.3,88.1,42.3,44.2,80.1
"""


def run(*args: object) -> Result:
    done = CliRunner().invoke(main, [str(arg) for arg in args])
    assert done.exit_code == 0, done.output
    return done


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.csv").write_text(MODELS, encoding="utf-8")
    return tmp_path / "mine.csv"


def test_a_board_ranks_given_rows_apart(mine: Path) -> None:
    rows = json.loads(run("leaderboard", "--published", "testbed", "--add", mine, "--format", "json").stdout)
    given = {row["model"]: row for row in rows if row["source"] == "given:mine"}
    assert set(given) == {"net-a", "net-b"} and len(rows) == 338 + 2
    assert [given[name]["rank"] for name in ("net-b", "net-a")] == [1, 2]
    placed = json.loads(run("place", mine, "--json").stdout)
    for row in placed:
        cell = given[row["model"]]["shifts"][row["shift"]]
        assert cell["effective_robustness"] == row["effective_robustness"] and cell["axis"] == row["axis"] == "clean"
    alone = json.loads(run("leaderboard", "--published", "testbed", "--format", "json").stdout)
    assert [row for row in rows if row["source"] != "given:mine"] == alone
    text = run("leaderboard", "--published", "none", "--add", mine).stdout
    assert "## Given, imagenet suite, clean axis" in text and "Measured" not in text.partition("##")[2]


@pytest.mark.parametrize("form", ["latex", "csv", "html"])
def test_every_form_of_a_board_takes_given_rows(mine: Path, form: str) -> None:
    run("leaderboard", "--published", "none", "--add", mine, "--format", form, "--out", f"out-{form}")
    out = Path(f"out-{form}")
    text = out.read_text() if out.is_file() else (out / "data" / "board.js").read_text()
    assert "net-b" in text and "given:mine" in text
    if form == "html":
        pages = [page.read_text() for page in (out / "models").iterdir()]
        assert any("taken on trust" in page for page in pages) and not any("Published by" in page for page in pages)


def test_a_row_without_class_matched_accuracy_is_on_the_full_axis(mine: Path) -> None:
    mine.write_text("model,imagenet,imagenet-v2,imagenet-r\nnet,76.1,63.3,36.2\n", encoding="utf-8")
    (row,) = json.loads(run("leaderboard", "--published", "none", "--add", mine, "--format", "json").stdout)
    assert {cell["axis"] for cell in row["shifts"].values()} == {"full"}


def test_a_diagnostic_set_without_its_own_clean_accuracy_does_not_move_the_others(mine: Path) -> None:
    lines = MODELS.splitlines()
    mine.write_text("\n".join([lines[0] + ",imagenet-a", lines[1] + ",0.3", lines[2] + ",31"]), encoding="utf-8")
    for row in json.loads(run("leaderboard", "--published", "none", "--add", mine, "--format", "json").stdout):
        axes = {shift: cell["axis"] for shift, cell in row["shifts"].items()}
        assert axes.pop("imagenet-a") == "full" and set(axes.values()) == {"clean"}


def test_figures_comparisons_and_the_multiverse_take_them(mine: Path) -> None:
    done = run("plot", "--published", "none", "--add", mine, "--shift", "imagenet-r", "--out", "f.png")
    assert "2 points drawn" in done.stderr and Path("f.png").stat().st_size > 10_000
    rows = json.loads(run("compare", "net-b", "net-a", "--add", mine, "--json").stdout)
    assert {row["first_source"] for row in rows} == {"given:mine"} and not any(row["paired"] for row in rows)
    against = json.loads(
        run("compare", "net-b", "testbed:resnet50", "--add", mine, "--shift", "imagenet-r", "--json").stdout
    )
    assert against[0]["second_source"] == "published:testbed" and "different harnesses" in against[0]["notices"][0]
    found = json.loads(run("fit", "--multiverse", "net-b", "--add", mine, "--shift", "imagenet-r", "--json").stdout)
    assert found[0]["verdict"] == "above" and len(found[0]["analyses"]) >= 8


def test_a_study_has_arms_of_given_accuracies(mine: Path) -> None:
    Path("s.toml").write_text(
        """
title = "Mine"
question = "Does it move?"
factor = "the net"
constant = ["the table"]
not_constant = ["all else"]
decides = "Nothing."
cannot_decide = "Anything."
instead = "Ask."
headline = "b against a"
cause = "v"
paper = "-"
shifts = ["imagenet-r"]
axis = "clean"
[[arm]]
name = "a"
model = "net-a"
source = "given"
[[arm]]
name = "b"
model = "net-b"
source = "given"
[[contrast]]
name = "b against a"
kind = "line"
arms = ["a", "b"]
""",
        encoding="utf-8",
    )
    refused = CliRunner().invoke(main, ["study", "run", "s.toml", "--json"])
    assert refused.exit_code == 2 and "Traceback" not in refused.output
    done = CliRunner().invoke(main, ["study", "run", "s.toml", "--add", str(mine), "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert "net-b" in json.dumps(told)


def test_what_place_refuses_is_refused_everywhere(mine: Path) -> None:
    mine.write_text("model,imagenet,imagenet-r\nnet,76.1,0.36\n", encoding="utf-8")
    for words in (
        ("leaderboard", "--published", "none"),
        ("plot", "--published", "none"),
        ("compare", "a", "b"),
        ("fit", "--multiverse", "a"),
    ):
        refused = CliRunner().invoke(main, [*words, "--add", str(mine)])
        assert refused.exit_code == 2 and "fractions and percents at once" in refused.output, words
