"""Baselines of our own records: built, kept, checked by digest, and ground for paired statistics."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from stores import IMAGES, MODELS, ROBUST, SHIFTS

from effrob.errors import UsageProblem
from effrob.evaluation.baselines import build_baseline, read_specs
from effrob.evaluation.request import Request
from effrob.results.answers import BaselineAnswers, read_npz
from effrob.results.lineage import lineage_of
from effrob.results.select import read_records
from effrob.results.store import Stored
from effrob.robustness.baselines import built
from effrob.robustness.baselines.baseline import Baseline
from effrob.robustness.baselines.built import from_records, load, save
from effrob.robustness.baselines.catalogue import baseline, baseline_names
from effrob.robustness.effective import assess
from effrob.robustness.fit import fit
from effrob.robustness.per_image.hierarchical import hierarchical_bootstrap
from effrob.robustness.per_image.pairing import pairing, pairing_for
from model_zoo.registration import Registration


def asked(stored: Stored, **changes: str) -> Stored:
    return Stored(replace(stored.record, asked=replace(stored.record.asked, **changes)), stored.folder)


def native(results: Path) -> list[Stored]:
    return [r for r in read_records(results) if r.record.asked.head == "native"]


@pytest.fixture
def made(results: Path) -> Baseline:
    return from_records("mine", native(results), {})


def test_members_carry_counts_of_both_axes_and_answers_of_every_image(made: Baseline) -> None:
    assert set(made.models) == set(MODELS)
    assert set(made.shifts) == set(SHIFTS)
    member = made.members[0]
    assert member.clean_full is not None and member.clean_full.n == 1000
    assert member.point("pocket-v2", "clean") == member.point("pocket-v2", "full")
    assert member.point("pocket-r", "clean") != member.point("pocket-r", "full")
    assert made.answers is not None
    table = made.answers.shift["pocket-r"]
    assert table.correct.shape == (len(MODELS), IMAGES)
    assert table.correct.mean(axis=1).tolist() == [m.accuracies["pocket-r"].value for m in made.members]


def test_a_baseline_comes_back_from_its_folder_with_the_same_digest(made: Baseline, tmp_path: Path) -> None:
    save(made, tmp_path / "mine")
    back = load(tmp_path / "mine")
    assert (back.digest, back.models, back.families) == (made.digest, made.models, made.families)
    assert back.answers is not None and made.answers is not None
    for shift in SHIFTS:
        assert np.array_equal(back.answers.clean[shift].predicted, made.answers.clean[shift].predicted)
        assert np.array_equal(back.answers.shift[shift].correct, made.answers.shift[shift].correct)
    assert fit("pocket-r", back).slope == fit("pocket-r", made).slope


def test_an_edited_baseline_is_refused(made: Baseline, tmp_path: Path) -> None:
    save(made, tmp_path / "edited")
    path = tmp_path / "edited" / "baseline.json"
    content = json.loads(path.read_text())
    content["members"][0]["accuracies"]["pocket-r"][0] += 1
    path.write_text(json.dumps(content))
    with pytest.raises(UsageProblem, match="does not match its members"):
        load(tmp_path / "edited")


def test_swapped_answers_are_refused(made: Baseline, tmp_path: Path) -> None:
    save(made, tmp_path / "swapped")
    folder = tmp_path / "swapped"
    (folder / "answers-pocket-r.npz").write_bytes((folder / "answers-pocket-v2.npz").read_bytes())
    with pytest.raises(UsageProblem, match=r"answers-pocket-r.npz does not match"):
        load(folder)


def test_answers_that_do_not_bear_out_the_counts_are_refused(made: Baseline, tmp_path: Path) -> None:
    assert made.answers is not None
    table = made.answers.clean["pocket-r"]
    flipped = table.correct.copy()
    flipped[2, 5] = ~flipped[2, 5]
    edited = BaselineAnswers(
        made.answers.shift, {**made.answers.clean, "pocket-r": dataclasses.replace(table, correct=flipped)}
    )
    save(dataclasses.replace(made, answers=edited), tmp_path / "flipped")
    with pytest.raises(UsageProblem, match=f"clean-pocket-r.npz does not bear out .* of {MODELS[2]}"):
        load(tmp_path / "flipped")


def test_a_torn_baseline_and_a_taken_name_are_refused(made: Baseline, tmp_path: Path) -> None:
    save(made, tmp_path / "torn")
    with pytest.raises(UsageProblem, match="stands in"):
        save(made, tmp_path / "torn")
    (tmp_path / "torn" / "baseline.json").write_text("{")
    with pytest.raises(UsageProblem, match="no readable baseline"):
        load(tmp_path / "torn")


def test_it_is_found_by_name_in_the_users_folder(
    made: Baseline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EFFROB_BASELINES", str(tmp_path))
    save(made, tmp_path / "mine")
    assert "mine" in baseline_names()
    assert baseline("mine").digest == made.digest
    with pytest.raises(UsageProblem, match="did you mean mine"):
        baseline("mime")
    assert built.folder_of("../mine") is None


def test_measured_takes_native_heads_only(results: Path, tmp_path: Path) -> None:
    assert ROBUST not in baseline("measured", results).models
    with pytest.raises(UsageProblem, match="holds none"):
        baseline("measured", tmp_path)


def test_one_model_with_two_heads_is_refused(results: Path) -> None:
    records = native(results)
    with pytest.raises(UsageProblem, match="by different head native and knn: name one"):
        from_records("mine", [*records, asked(records[0], head="knn")], {})


def test_two_protocols_are_refused(results: Path) -> None:
    records = native(results)
    with pytest.raises(UsageProblem, match="one protocol"):
        from_records("mine", [*records, asked(records[0], protocol="testbed", model="another")], {})


def test_a_record_whose_clean_view_was_not_at_hand_gives_no_point(results: Path) -> None:
    one = next(r for r in native(results) if r.record.asked.shift == "pocket-r")
    without = Stored(replace(one.record, clean=None), one.folder)
    assert from_records("mine", [one], {}).members[0].point("pocket-r", "clean") is not None
    assert from_records("mine", [without], {}, answers=False).members[0].point("pocket-r", "clean") is None


def test_the_robust_model_stands_above_with_an_interval_that_pairing_narrows(made: Baseline, results: Path) -> None:
    record = next(
        r for r in read_records(results) if r.record.asked.model == ROBUST and r.record.asked.shift == "pocket-r"
    )
    clean, shift = record.record.clean.accuracy, record.record.counts.accuracy
    found = fit("pocket-r", made)
    assert made.answers is not None
    answers = [read_npz(record.folder / f, ("correct",))["correct"] for f in ("predictions.npz", "clean.npz")]
    tables = made.answers.shift["pocket-r"], made.answers.clean["pocket-r"]
    alone = assess(found, clean, shift)
    shared = assess(found, clean, shift, pairing(found.line, *tables, *answers))
    assert alone.effective_robustness == shared.effective_robustness
    assert alone.verdict == shared.verdict == "above"
    assert alone.ci95 is not None and shared.ci95 is not None
    assert shared.ci95[1] - shared.ci95[0] < alone.ci95[1] - alone.ci95[0]
    assert "conservative-interval" in alone.flags and "conservative-interval" not in shared.flags
    low, high = hierarchical_bootstrap(found.line, *tables, *answers, draws=400).interval()
    assert low == pytest.approx(shared.ci95[0], abs=0.05)
    assert high == pytest.approx(shared.ci95[1], abs=0.05)


def test_one_evaluated_model_is_paired_whatever_its_image_order(made: Baseline, results: Path) -> None:
    record = next(
        r for r in read_records(results) if r.record.asked.model == ROBUST and r.record.asked.shift == "pocket-r"
    )
    shift, clean = (read_npz(record.folder / f, ("id", "correct")) for f in ("predictions.npz", "clean.npz"))
    found = fit("pocket-r", made)
    wanted = pairing_for(found, shift["id"], shift["correct"], clean["id"], clean["correct"])
    mixed = np.random.default_rng(0).permutation(IMAGES)
    assert wanted is not None
    again = pairing_for(found, shift["id"][mixed], shift["correct"][mixed], clean["id"], clean["correct"])
    assert again is not None and again.variance == pytest.approx(wanted.variance, rel=1e-12)
    few = slice(0, 100)
    assert pairing_for(found, shift["id"][few], shift["correct"][few], clean["id"], clean["correct"]) is None
    other = fit("imagenet-r")
    assert pairing_for(other, shift["id"], shift["correct"], clean["id"], clean["correct"]) is None


def test_building_evaluates_in_one_go_and_keeps_what_came(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests: list[Request] = []

    def evaluate(request: Request) -> SimpleNamespace:
        requests.append(request)
        return SimpleNamespace(stored=native(results), failures=(), notices=())

    monkeypatch.setattr("effrob.evaluation.baselines.evaluate_request", evaluate)
    monkeypatch.setattr("effrob.evaluation.baselines.say", lambda report: None)
    folder, made = build_baseline("mine", MODELS, out=tmp_path, suite="pocket", head="native")
    # The suite's reference has no native head: it is read as it can be.
    assert requests == [Request(MODELS, suite="pocket", heads=("native",)), Request(("pocket:clip",), suite="pocket")]
    assert made.reference is not None
    assert folder == tmp_path / "mine"
    assert made.families == ("resnet",) and made.answers is not None
    with pytest.raises(UsageProblem, match="stands in"):
        build_baseline("mine", MODELS, out=tmp_path)


def test_a_baseline_of_clean_accuracies_alone_is_refused(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageProblem, match="a shifted set beside the clean one; only pocket was named"):
        build_baseline("mine", MODELS, out=tmp_path, suite="pocket", shifts=["pocket"])
    clean = [r for r in native(results) if r.record.asked.shift == "pocket"]
    report = SimpleNamespace(stored=clean, failures=())
    monkeypatch.setattr("effrob.evaluation.baselines.evaluate_request", lambda request: report)
    monkeypatch.setattr("effrob.evaluation.baselines.say", lambda report: None)
    with pytest.raises(UsageProblem, match="no shifted set was found"):
        build_baseline("mine", MODELS, out=tmp_path, suite="pocket")
    assert not (tmp_path / "mine").exists()


def test_spec_files_name_families_in_comments(tmp_path: Path) -> None:
    path = tmp_path / "specs.txt"
    path.write_text("timm:resnet50.a1_in1k\n# a remark\n# family: odd\ntorchvision:vgg16\n\npocket:one\n")
    assert read_specs([f"@{path}", "torchvision:alexnet"]) == {
        "timm:resnet50.a1_in1k": "resnet",
        "torchvision:vgg16": "odd",
        "pocket:one": "odd",
        "torchvision:alexnet": "torchvision:alexnet",
    }


@pytest.mark.parametrize(
    ("name", "models", "sentence"),
    [
        ("testbed", ["a", "b", "c", "d", "e"], "not a shipped one"),
        ("../up", ["a", "b", "c", "d", "e"], "lower-case letters"),
        ("few", ["a", "b"], "at least 5 models"),
        ("lost", ["@nowhere.txt"], "nowhere.txt is not there"),
    ],
)
def test_building_asks_before_it_evaluates(name: str, models: list[str], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(UsageProblem, match=sentence):
        build_baseline(name, models, out=tmp_path)


def test_epochs_of_a_run_and_models_of_one_architecture_and_data_are_one_family(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    entries = {
        "a": Registration("a", arch="RN50", trained_on="YFCC-15M"),
        "b": Registration("b", arch="RN50", trained_on="YFCC-15M"),
        "c": Registration("c", like="torchvision:resnet50", checkpoint="/runs/one/epoch_9.pt"),
        "d": Registration("d", like="torchvision:resnet50", checkpoint="/runs/one/epoch_10.pt"),
        "e": Registration("e", like="torchvision:resnet50", checkpoint="/runs/two/epoch_10.pt"),
    }
    monkeypatch.setattr("effrob.results.lineage.saved", lambda: entries)
    assert lineage_of("a") == lineage_of("b") == "RN50, YFCC-15M"
    assert lineage_of("c") == lineage_of("d") != lineage_of("e")
    assert lineage_of("openclip:RN50@runs/one/epoch_1.pt") == lineage_of("openclip:RN50@runs/one/epoch_20.pt")
    assert lineage_of("openclip:RN50@openai") != lineage_of("openclip:RN50@cc12m")
    run = {
        lineage_of(f"net@runs/one/{file}")
        for file in ("epoch_1.pt", "last.pt", "model_best.pth.tar", "checkpoint-3.pth.tar")
    }
    assert (
        len(run) == 1
        and lineage_of("net@runs/one/wide.pt") not in run
        and lineage_of("net@runs/two/last.pt") not in run
    )
    assert (
        lineage_of("a@/elsewhere/epoch_3.pt") == "RN50, YFCC-15M"
    )  # a registered model with other weights in its place
    assert read_specs(["a", "c", "timm:resnet50.a1_in1k"], ["[ac]=mine"]) == {
        "a": "mine",
        "c": "mine",
        "timm:resnet50.a1_in1k": "resnet",
    }
    assert read_specs(["mix:a,c@0.5", "c"], ["mix:a,c@0.5=mine"])["mix:a,c@0.5"] == "mine"
    with pytest.raises(UsageProblem, match="fits none of the models"):
        read_specs(["a"], ["x*=mine"])
    with pytest.raises(UsageProblem, match="wants GLOB=NAME"):
        read_specs(["a"], ["mine"])
