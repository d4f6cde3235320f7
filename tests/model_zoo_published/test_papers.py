"""Papers' figures: one reference a row, conflicts shown and never resolved, disputed rows marked."""

from __future__ import annotations

import csv
import json
from collections import Counter

import numpy as np
import pytest
from click.testing import CliRunner, Result

from effrob.cli import main
from model_zoo.disputes import APART, conflicts, conflicts_of, disputes_of
from model_zoo.published import DATA, published


@pytest.fixture(autouse=True)
def own_cache(tmp_path: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def _models(*args: str) -> Result:
    return CliRunner().invoke(main, ["models", *args], catch_exceptions=False)


def _raw() -> list[dict[str, str]]:
    with (DATA / "published" / "papers.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_row_carries_head_resolution_protocol_reference_and_place() -> None:
    rows = published("papers")
    assert len({row.model for row in rows}) == len(rows) == len(_raw()) == 178
    assert Counter(row.head for row in rows) == {"zero-shot": 112, "linear-probe": 44, "native": 22}
    for row, raw in zip(rows, _raw(), strict=True):
        assert row.reference == raw["reference"] and row.where and row.protocol
        assert row.img_size == (int(raw["resolution"]) if raw["resolution"] else None)
        for shift, value in row.accuracies.items():
            assert value == pytest.approx(float(raw[shift]) / 100)


def test_one_paper_row_reads_as_its_paper_prints_it() -> None:
    row = next(row for row in published("papers") if row.model == "SigLIP2-g-opt/16@384 [PE 2504.13181 Tab.5]")
    assert (row.clean_full, row.accuracies["objectnet"], row.img_size, row.protocol) == (0.85, 0.88, 384, "pe")


def test_another_label_space_is_not_objectnet() -> None:
    rows = [row for row in published("papers") if row.reference == "EasyRobust"]
    assert len(rows) == 19 and not any("objectnet" in row.accuracies for row in rows)
    assert all(0.1 < row.others["objectnet-1000way"] < 0.6 for row in rows)


def test_conflicts_are_those_that_a_count_by_hand_finds() -> None:
    """An independent count over the raw text of the one table whose rows share `weights`."""
    by_hand = set()
    for one in _raw():
        for two in _raw():
            alike = all(one[key] == two[key] for key in ("weights", "head"))
            sizes = {one["resolution"], two["resolution"]} - {""}
            if alike and len(sizes) < 2 and one["reference"] < two["reference"]:
                for name in ("imagenet", "imagenet-v2", "imagenet-r", "imagenet-sketch", "objectnet", "imagenet-a"):
                    if one[name] and two[name] and abs(float(one[name]) - float(two[name])) > 100 * APART + 1e-6:
                        by_hand.add((one["weights"], name))
    papers = {row.reference for row in published("papers")}
    found = {(each.weights, each.shift) for each in conflicts() if {each.first_source, each.second_source} <= papers}
    assert found == by_hand and {("BASIC", "objectnet"), ("ViT-22B", "imagenet-r")} <= found
    (basic,) = conflicts_of("BASIC")
    assert {basic.first, basic.second} == {0.823, 0.789}


def test_the_rows_that_squash_are_disputed_with_both_values_and_a_source() -> None:
    disputed = {row.model: disputes_of(row) for row in published("openclip") if disputes_of(row)}
    assert len(disputed) == 18
    assert all(any(word in model for word in ("SigLIP", "CLIPA", "dfn5b")) for model in disputed)
    rows = {row.model: row for row in published("openclip")}
    stated = {row.weights: row for row in published("papers") if "objectnet" in row.accuracies}
    for model, found in disputed.items():
        for each in found:
            assert each.accuracy == rows[model].accuracies["objectnet"] and each.other > each.accuracy
            if each.basis == "published":
                assert stated[model].accuracies["objectnet"] == pytest.approx(each.other)
    assert "55.09 in openclip, 70.70 in PE" in disputed["openclip:ViT-B-16-SigLIP@webli"][0].sentence


def test_the_predicted_values_are_what_the_other_five_sets_say() -> None:
    """Least squares on the logit scale over every row of the table that is not disputed gives the shipped predictions."""
    five = ["imagenet-v2", "imagenet-r", "imagenet-sketch", "imagenet-a"]
    rows = [row for row in published("openclip") if row.clean_full is not None and len(row.accuracies) == 5]

    def logit(value: float) -> float:
        return float(np.log(value / (1 - value)))

    def features(row: object) -> list[float]:
        return [1.0, logit(row.clean_full), *(logit(row.accuracies[name]) for name in five)]  # type: ignore[attr-defined]

    plain = [row for row in rows if not disputes_of(row) and (row.clean_full or 0) > 0.5]
    design = np.array([features(row) for row in plain])
    weights = np.linalg.lstsq(design, np.array([logit(row.accuracies["objectnet"]) for row in plain]), rcond=None)[0]
    for row in rows:
        for each in disputes_of(row):
            if each.basis == "predicted":
                told = 1 / (1 + np.exp(-float(np.array(features(row)) @ weights)))
                assert told == pytest.approx(each.other, abs=0.02), row.model


def test_a_model_nobody_can_load_is_shown_with_every_source_and_conflict() -> None:
    text = _models("BASIC").stdout
    assert "82.30 %" in text and "78.90 %" in text and "CoCa 2205.01917" in text and "conflicts" in text
    (facts,) = json.loads(_models("SigLIP-B/16", "--json").stdout)
    assert {row["img_size"] for row in facts["published"]} == {224, 256, 384, 512}
    wrong = _models("SigLIP-B/17")
    assert wrong.exit_code == 2 and "Traceback" not in wrong.stderr


def test_conflicts_are_listed_and_the_list_of_models_says_so() -> None:
    listed = _models("--conflicts").stdout
    assert "BASIC (zero-shot) objectnet: 82.30 in PE" in listed
    assert len(json.loads(_models("--conflicts", "--json").stdout)) == len(conflicts()) == len(listed.splitlines())
    assert "effrob models --conflicts" in _models().stderr
    assert _models("BASIC", "--conflicts").exit_code == 2
