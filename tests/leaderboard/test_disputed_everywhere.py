"""A disputed accuracy is marked on whatever shows it, and nothing else is."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import effrob
from effrob.cli import main
from effrob.results.given.table import given_numbers
from effrob.results.select import published_results
from model_zoo.disputes import disputes_of_given

MODEL = "openclip:ViT-SO400M-14-SigLIP-384@webli"
OTHER = "openclip:ViT-B-32@openai"
SAID = "objectnet is disputed: 76.95 in openclip, 82.90 in SigLIP2 2502.14786 Tab.1, for the same weights"
BOARD = ["leaderboard", "--published", "openclip", "--model", MODEL, "--model", OTHER, "--axis", "full"]


def _out(*args: object) -> str:
    done = CliRunner().invoke(main, [str(each) for each in args])
    assert done.exit_code == 0, done.stderr
    return done.stdout


def test_markdown_marks_the_cell_and_the_means_that_rest_on_it() -> None:
    lines = {
        line.split(" | ")[1]: line for line in _out(*BOARD).splitlines() if line.startswith("| ") and "openclip" in line
    }
    logit, points, *cells = lines[MODEL].split(" | ")[5:]
    assert logit.endswith("†") and points.endswith("†")
    assert [cell.rstrip(" |").endswith("†") for cell in cells] == [False, False, False, True, False]
    assert "†" not in lines[OTHER]


def test_latex_marks_it_and_its_caption_says_what_the_mark_means() -> None:
    text = _out(*BOARD, "--format", "latex")
    rows = {line.split(" & ")[1]: line for line in text.splitlines() if line.endswith(r"\\") and "openclip" in line}
    assert rows[MODEL].count(r"^\dagger") == 3 and "dagger" not in rows[OTHER]
    assert r"$\dagger$ other evidence contradicts" in text
    assert "agger" not in _out("leaderboard", "--published", "openclip", "--model", OTHER, "--format", "latex")
    assert _out(*BOARD, "--format", "latex", "--ci").count(r"\dagger") == 4  # the caption says what it means


def test_csv_and_json_hold_the_sentence_by_set_and_by_row() -> None:
    table = {row["model"]: row for row in csv.DictReader(io.StringIO(_out(*BOARD, "--format", "csv")))}
    assert table[MODEL]["objectnet.disputed"] == table[MODEL]["disputed"] == SAID
    assert table[MODEL]["imagenet-r.disputed"] == table[OTHER]["disputed"] == ""
    rows = {row["model"]: row for row in json.loads(_out(*BOARD, "--format", "json"))}
    assert rows[MODEL]["disputed"] == rows[MODEL]["shifts"]["objectnet"]["disputed"] == [SAID]
    assert "disputed" in rows[MODEL]["shifts"]["objectnet"]["flags"]
    assert rows[OTHER]["disputed"] == [] and rows[MODEL]["shifts"]["imagenet-r"]["disputed"] == []


def test_compare_says_it_beside_the_set() -> None:
    text = _out("compare", MODEL, OTHER, "--shift", "objectnet", "--shift", "imagenet-r").splitlines()
    at = next(i for i, line in enumerate(text) if line.startswith("objectnet"))
    assert text[at + 1].strip() == f"† {SAID}" and sum("†" in line for line in text) == 1
    rows = json.loads(_out("compare", OTHER, MODEL, "--shift", "objectnet", "--shift", "imagenet-r", "--json"))
    assert [row["disputed"] for row in rows] == [[SAID], []]


@pytest.mark.parametrize("value", ["76.95", "77.0", "0.7695"])
def test_place_marks_a_given_accuracy_that_repeats_a_disputed_one(value: str) -> None:
    unit = 1.0 if value.startswith("0") else 100.0
    args = [f"imagenet={0.831 * unit:g}", f"objectnet={value}", "--name", MODEL]
    text = _out("place", *args)
    assert f"† {SAID}" in text and f"The accuracy on {SAID}." in text
    line = next(line for line in text.splitlines() if line.startswith("  objectnet"))
    assert "†" in line.split()
    (row,) = json.loads(_out("place", *args, "--json"))
    assert row["disputed"] == [SAID] and "disputed" in row["flags"]


def test_place_marks_no_other_accuracy_and_no_other_model() -> None:
    for name, value in ((MODEL, 0.829), (MODEL, 0.7706), ("mine", 0.7695)):
        (row,) = effrob.place({"imagenet": 0.831, "objectnet": value}, name=name)
        assert row.disputed == () and "disputed" not in row.robustness["flags"], (name, value)
    assert disputes_of_given(MODEL, "imagenet-r", 0.7695) == ()
    result = given_numbers({"imagenet": 0.831, "objectnet": 0.7695}).results[0]
    assert result.disputed("objectnet") == ()


def test_plot_draws_a_dagger_beside_the_point_and_says_how_many(tmp_path: Path) -> None:
    out = tmp_path / "figure.svg"
    for shift in ("objectnet", "mean-of-four"):
        args = [
            "plot",
            "--published",
            "openclip",
            "--model",
            MODEL,
            "--model",
            OTHER,
            "--axis",
            "full",
            "--shift",
            shift,
        ]
        done = CliRunner().invoke(main, [*args, "--out", str(out)])
        assert done.exit_code == 0 and f"{shift}: 1 accuracy drawn is disputed (†), the first of {MODEL}" in done.stderr
        assert out.read_text().count("†") >= 1 and "disputed accuracy" in out.read_text()
    done = CliRunner().invoke(main, [*args[:-1], "imagenet-r", "--out", str(out)])
    assert "disputed" not in done.stderr and "†" not in out.read_text()


def test_cite_models_and_explain_say_it() -> None:
    assert f"The accuracy on {SAID}." in _out("cite", MODEL, "--shift", "objectnet")
    assert "disputed" not in _out("cite", MODEL, "--shift", "imagenet-r")
    assert SAID in _out("models", MODEL)
    assert SAID in _out("explain", MODEL, "--shift", "objectnet", "--expect", "82.9")


def test_a_studys_cell_says_it() -> None:
    from effrob.robustness.fit import fit
    from effrob.studies.arms import arm_result

    result: Any = published_results("openclip")[MODEL]
    arm: Any = type("AnArm", (), {"name": "arm"})()
    for shift, wanted in (("objectnet", [SAID]), ("imagenet-r", []), ("mean-of-four", [SAID])):
        made = arm_result(fit(shift, axis="full"), arm, result)
        assert made is not None and made.as_json()["disputed"] == wanted
