"""Two models compared: copies, twins, shared images, different harnesses, and corrections for asking often."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from stores import MODELS, ROBUST

from effrob.errors import UsageProblem
from effrob.files import strict_json
from effrob.results.accuracy import Accuracy
from effrob.results.select import read_records
from effrob.robustness.baselines.baseline import Baseline
from effrob.robustness.baselines.built import from_records
from effrob.robustness.compare import compare
from effrob.robustness.difference import Difference
from effrob.robustness.effective import assess
from effrob.robustness.fit import fit
from effrob.robustness.significance import adjust
from tests.honest import keep

p_values = st.lists(st.floats(0, 1), min_size=1, max_size=20)


@pytest.fixture
def mine(results: Path) -> Baseline:
    return from_records("mine", [r for r in read_records(results) if r.record.asked.head == "native"], {})


def test_a_model_against_its_own_copy_shows_nothing_on_real_tables() -> None:
    found = compare("testbed:resnet101", "testbed:resnet101")
    assert "compared with itself" in found.notices[0]
    for row in found.as_json():
        assert row["effective_robustness_difference"] == 0.0
        assert (row["verdict"], row["p_value"]) == ("no difference shown", 1.0)


def test_two_trainings_of_one_network_show_nothing() -> None:
    """The testbed holds a second ResNet-50 of the same recipe, and a third of another that differs, but not in kind."""
    for row in compare("testbed:resnet50", "testbed:resnet50_aws_baseline").as_json():
        if row["shift"] != "imagenet-a":  # filtered against the first of the two
            assert row["verdict"] == "no difference shown", row["shift"]
    third = "testbed:resnet50_imagenet_100percent_batch64_original_images"
    found = {row["shift"]: row for row in compare("testbed:resnet50", third).as_json()}
    assert not any(row["in_kind"] for shift, row in found.items() if shift != "imagenet-a")
    assert all(row["in_kind"] for row in compare("vit_b_32_clip_zeroshot", "resnet50").as_json())


def test_paired_records_of_one_model_differ_by_exactly_nothing(results: Path, mine: Baseline) -> None:
    for row in compare(MODELS[3], MODELS[3], results=results, baseline=mine).as_json():
        assert row["paired"] and row["effective_robustness_difference_ci95"] == [0.0, 0.0]
        told = "cannot-tell" if "no-line" in row["first"]["flags"] else "no difference shown"
        assert (row["mcnemar_p"], row["p_adjusted"], row["verdict"]) == (1.0, 1.0, told)
        assert row["equivalence"]["smallest_margin"] == 0.0


@pytest.mark.parametrize("axis", ["clean", "full"])
def test_shared_images_narrow_the_interval(results: Path, mine: Baseline, axis: str) -> None:
    found = compare(ROBUST, MODELS[4], results=results, baseline=mine, axis=axis)
    by_shift = {d.first.fit.shift: d for d in found.differences}
    paired = by_shift["pocket-r"]
    alone = Difference(paired.first, paired.second)
    assert paired.paired and not alone.paired
    assert paired.ci95 is not None and alone.ci95 is not None
    assert paired.ci95[1] - paired.ci95[0] < alone.ci95[1] - alone.ci95[0]
    assert paired.ci95[0] > 0 and paired.verdict == ("cannot-tell" if paired.first.fit.line.flaws else "first")
    assert paired.accuracy is not None
    assert paired.accuracy.difference == pytest.approx(paired.first.shift.value - paired.second.shift.value)
    strict_json(found.as_json())


def test_the_shared_line_cancels_at_one_place_and_not_at_two() -> None:
    line = fit("imagenet-sketch")

    def at(x: float, y: float) -> Difference:
        n = 10**9
        return Difference(
            assess(line, Accuracy.of(x, n), Accuracy.of(y, n)), assess(line, Accuracy.of(0.7, n), Accuracy.of(0.3, n))
        )

    same, apart = at(0.7, 0.4).ci95, at(0.8, 0.4).ci95
    assert same is not None and apart is not None
    assert same[1] - same[0] < 1e-3
    one = assess(line, Accuracy.of(0.7, 10**9), Accuracy.of(0.4, 10**9)).ci95
    assert one is not None
    assert 10 * (same[1] - same[0]) < one[1] - one[0]
    assert apart[1] - apart[0] > 1e-3


def test_clip_against_a_resnet_on_published_tables() -> None:
    found = {row["shift"]: row for row in compare("vit_b_32_clip_zeroshot", "resnet50").as_json()}
    assert list(found) == ["imagenet-v2", "imagenet-r", "imagenet-sketch", "objectnet", "imagenet-a"]
    assert found["imagenet-r"]["effective_robustness_difference"] == pytest.approx(0.3895 + 0.0060, abs=1e-3)
    assert not any(row["paired"] for row in found.values())
    assert {shift: row["verdict"] for shift, row in found.items() if shift != "imagenet-a"} == dict.fromkeys(
        list(found)[:4], "first"
    )
    none = found["imagenet-a"]  # a segment of its line is none: it places neither, however far the two lie apart
    assert none["effective_robustness_difference_ci95"][0] > 0 and none["verdict"] == "cannot-tell"
    assert "no-line" in {*none["first"]["flags"], *none["second"]["flags"]}


def test_rows_without_class_matched_accuracy_are_judged_on_the_full_axis_with_a_notice() -> None:
    found = compare("openclip:ViT-B-32@openai", "openclip:RN50@openai", shifts=["imagenet-r"])
    assert found.first.source == "published:openclip"
    assert found.as_json()[0]["first"]["axis"] == "full"
    assert "full axis" in found.notices[0]


def test_different_harnesses_are_said() -> None:
    found = compare("timm:resnet50.a1_in1k", "testbed:resnet50", shifts=["imagenet-v2"])
    assert "different harnesses" in found.notices[0]
    assert found.as_json()[0]["notices"] == list(found.notices)


@pytest.mark.parametrize(
    ("first", "second", "shifts", "sentence"),
    [
        ("resnet5o", "resnet50", (), "did you mean resnet50"),
        ("timm:resnet50.a1_in1k", "testbed:resnet50", ("objectnet",), "do not both have objectnet"),
        (
            "papers:MetaCLIP-L/14 400M [facebookresearch/MetaCLIP#18]",
            "papers:DINOv2-S/14 [DINOv3 2508.10104 family table]",
            (),
            "any shift in common",
        ),
    ],
)
def test_what_cannot_be_compared_has_a_sentence(
    first: str, second: str, shifts: tuple[str, ...], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageProblem, match=sentence):
        compare(first, second, shifts, tmp_path)


def test_two_rows_of_the_clean_set_alone_are_compared_on_it(tmp_path: Path) -> None:
    found = compare("LiT ViT-g/14", "CLIP ViT-L/14@336px", (), tmp_path).as_json()
    assert [each["shift"] for each in found] == ["imagenet"] and found[0]["effective_robustness_difference"] is None


def test_two_models_stand_on_one_line() -> None:
    x, y = Accuracy.of(0.7, 100), Accuracy.of(0.4, 100)
    with pytest.raises(UsageProblem, match="one line"):
        Difference(assess(fit("imagenet-r"), x, y), assess(fit("imagenet-sketch"), x, y))


def test_the_false_discovery_rate_is_scipys() -> None:
    p = np.random.default_rng(2).random(30) ** 3
    assert adjust(p.tolist(), "fdr") == pytest.approx(stats.false_discovery_control(p).tolist())


def test_holm_by_hand() -> None:
    assert adjust([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(p_values)
def test_corrections_never_lower_a_p_keep_the_order_and_leave_one_question_alone(p: list[float]) -> None:
    for method in ("holm", "fdr"):
        found = adjust(p, method)
        assert all(new is not None and old - 1e-15 <= new <= 1 for old, new in zip(p, found))
        order = np.argsort(p, kind="stable")
        ranked = [found[i] for i in order]
        assert ranked == sorted(ranked)  # type: ignore[type-var]
    assert adjust(p[:1]) == pytest.approx(p[:1])


def test_what_was_not_asked_is_not_counted_and_nonsense_is_refused() -> None:
    assert adjust([None, 0.02, None, 0.5]) == [None, 0.04, None, 0.5]
    assert adjust([]) == []
    with pytest.raises(UsageProblem, match="holm and fdr"):
        adjust([0.1], "bonferroni")
    with pytest.raises(UsageProblem, match=r"\[0, 1\]"):
        adjust([1.5])


@given(st.floats(0.6, 0.9), st.floats(0.2, 0.6), st.floats(-0.05, 0.05))
def test_the_p_of_a_difference_and_its_interval_never_disagree(x: float, y: float, step: float) -> None:
    line = fit("imagenet-sketch")
    one = assess(line, Accuracy.of(x, 50000), Accuracy.of(y, 50889))
    other = assess(line, Accuracy.of(0.75, 50000), Accuracy.of(y + step, 50889))
    found = Difference(one, other)
    assert found.p_value is not None
    for level in (0.5, 0.9, 0.95, 0.999):
        ends = found.interval(level)
        assert ends is not None
        if abs(found.p_value - (1 - level)) > 1e-9:
            assert (ends[0] > 0 or ends[1] < 0) == (found.p_value < 1 - level)


def test_a_head_nobody_has_is_one_sentence(results: Path) -> None:
    with pytest.raises(UsageProblem, match="has --head knn; known: native, zero-shot"):
        compare(ROBUST, MODELS[4], results=results, head="knn")
    with pytest.raises(UsageProblem, match="did you mean openclip:tiny@x"):
        compare("openclip:tiny@y", MODELS[4], results=results)


def test_a_partial_record_is_said(mine: Baseline, tmp_path: Path) -> None:
    for i, model in enumerate(MODELS[:2]):
        keep(tmp_path, model, "pocket-r", 0.5 + 0.05 * i, 0.7 + 0.05 * i, n=400)
    found = compare(MODELS[0], MODELS[1], results=tmp_path, baseline=mine)
    assert f"notice: {MODELS[0]} was evaluated on a part of pocket-r: 400 of 600 images" in found.notices
