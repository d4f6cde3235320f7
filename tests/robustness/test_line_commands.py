"""`effrob fit`, `compare` and `baseline` as a user runs them: fast, without torch, strict JSON, exit 2 with one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from stores import MODELS, ROBUST

from effrob.cli import main
from tests.processor import PROGRAM, in_time

FIT_FIELDS = {
    "shift", "axis", "baseline", "scale", "n", "slope", "intercept", "r2", "residual_std", "slope_ci95", "intercept_ci95",
    "slope_ci95_by_family", "x_min", "x_max", "dropped", "segment",
}  # fmt: skip


def run(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


@pytest.mark.parametrize(
    "words",
    [
        ["fit", "--json"],
        ["fit", "--baseline", "timm-in1k", "--json"],
        ["compare", "vit_b_32_clip_zeroshot", "resnet50", "--json"],
        ["compare", "openclip:ViT-B-32@openai", "openclip:RN50@openai", "--json"],
        ["baseline", "list", "--json"],
        ["fit", "--baseline", "testbed-wide", "--json"],
        ["fit", "--baseline", "pocket", "--json"],
        ["fit", "--shift", "mean-of-four", "--json"],
        ["fit", "--multiverse", "vit_b_32_clip_zeroshot", "--json"],
        ["compare", "timm:resnet50.a1_in1k", "timm:vit_base_patch16_224.augreg_in1k", "--json"],
    ],
    ids=lambda words: " ".join(words[:3]),
)
def test_answers_in_under_two_seconds_of_processor_time_without_torch(words: list[str], tmp_path: Path) -> None:
    done = in_time(PROGRAM, words, 2.0, tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)
    assert done.stderr.splitlines()[-1] == "[]"


def test_fit_json_is_a_list_with_the_promised_fields() -> None:
    rows = json.loads(run("fit", "--json").stdout)
    assert [(row["shift"], row["segment"]) for row in rows] == [
        ("imagenet-v2", None),
        ("imagenet-r", None),
        ("imagenet-sketch", None),
        ("objectnet", None),
        ("imagenet-a", "below"),
        ("imagenet-a", "above"),
    ]
    for row in rows:
        assert set(row) >= FIT_FIELDS
        for name in ("slope_ci95", "intercept_ci95", "slope_ci95_by_family"):
            assert len(row[name]) == 2 and row[name][0] < row[name.split("_")[0]] < row[name][1]
        assert row["baseline"] == "testbed" and row["axis"] == "clean" and row["scale"] == "logit"
    assert rows[1]["slope"] == pytest.approx(0.636843984281646, abs=1e-9)
    assert rows[4]["dropped"] == ["resnet50"]


def test_the_multiverse_as_a_table_and_as_json() -> None:
    done = run("fit", "--multiverse", "vit_b_32_clip_zeroshot", "--shift", "imagenet-r")
    assert "+37.50 to +47.03 points; above in 100% of 12 analyses" in done.stdout
    (found,) = json.loads(
        run("fit", "--multiverse", "resnet50", "--shift", "objectnet", "--baseline", "testbed", "--json").stdout
    )
    assert (found["verdict"], found["survives"], len(found["analyses"])) == ("on", 1.0, 4)
    assert {one["baseline"] for one in found["analyses"]} == {"testbed"}
    done = run("fit", "--multiverse", "resnet50", "--shift", "objectnet")
    assert "testbed-wide" in done.stdout and "timm-in1k" not in done.stdout  # which has no ObjectNet


def test_the_pocket_baseline_has_the_pocket_shifts() -> None:
    rows = json.loads(run("fit", "--baseline", "pocket", "--json").stdout)
    assert {row["shift"] for row in rows} == {f"pocket-{name}" for name in ("v2", "r", "sketch", "object", "a")}
    (row,) = json.loads(run("fit", "--shift", "pocket-r", "--json").stdout)
    assert row["baseline"] == "pocket"


def test_mean_of_four_and_single_segments_are_fitted_when_asked() -> None:
    (row,) = json.loads(run("fit", "--shift", "mean-of-four", "--json").stdout)
    assert (row["axis"], row["n"]) == ("full", 80)
    (row,) = json.loads(run("fit", "--shift", "imagenet-a", "--segments", "single", "--json").stdout)
    assert row["segment"] is None and row["n"] == 84


def test_shifts_the_baseline_lacks_are_skipped_unless_named() -> None:
    rows = json.loads(run("fit", "--baseline", "timm-in1k", "--json").stdout)
    assert {row["shift"] for row in rows} == {"imagenet-v2", "imagenet-r", "imagenet-sketch", "imagenet-a"}
    assert run("fit", "--baseline", "timm-in1k", "--shift", "objectnet").exit_code == 2


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["fit", "--baseline", "testbd"], "did you mean testbed"),
        (["fit", "--shift", "imagenet-rr"], "did you mean imagenet-r"),
        (["fit", "--scale", "logitt"], "did you mean logit"),
        (["fit", "--axis", "cleann"], "did you mean clean"),
        (["compare", "resnet50", "resnet5o"], "did you mean resnet50"),
        (["baseline", "show", "timm"], "did you mean timm-in1k"),
        (["baseline", "build", "x", "--model", "@none.txt"], "none.txt is not there"),
    ],
)
def test_a_wrong_name_is_one_sentence_and_exit_2(words: list[str], sentence: str) -> None:
    done = run(*words)
    assert done.exit_code == 2
    assert sentence in done.stderr
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1


def test_tables_and_warnings_for_people() -> None:
    done = run("fit")
    assert "imagenet-sketch" in done.stdout and "resnet50-vtab-semi-exemplar alone moves the line" in done.stderr
    done = run("compare", "testbed:resnet101", "testbed:resnet101")
    assert "not told apart" in done.stdout
    assert "[not paired: conservative; line of testbed, clean axis, 80 models]" in done.stdout
    done = run("fit", "--shift", "pocket-r", "--shift", "imagenet-r")
    assert done.stdout.startswith("baseline pocket and testbed, scale logit")
    assert "840 models" in run("baseline", "list").stdout
    shown = run("baseline", "show", "testbed")
    assert "85 models of" in shown.stdout and "efficientnet-b7-randaug" in shown.stdout
    assert len(json.loads(run("baseline", "show", "timm-in1k", "--json").stdout)["members"]) == 840


def test_a_line_through_ones_own_records(results: Path) -> None:
    rows = json.loads(run("fit", "--baseline", "measured", "--results", str(results), "--json").stdout)
    assert {row["shift"] for row in rows} == {"pocket-v2", "pocket-r"}
    assert {row["n"] for row in rows} == {len(MODELS)}
    done = run("compare", ROBUST, MODELS[4], "--results", str(results), "--baseline", "measured", "--json")
    assert {row["paired"] for row in json.loads(done.stdout)} == {True}
