"""The shipped studies: published arms stand where they were found to stand, and verdicts claim no more than that."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from effrob.robustness.baselines.catalogue import baseline
from effrob.robustness.fit import fit
from effrob.robustness.rows import ROBUSTNESS
from effrob.studies.answer import EQUIVALENT, MOVES, UNKNOWN
from effrob.studies.finding import Finding, run
from effrob.studies.reader import CAUSES, find, shipped
from effrob.studies.study import MEAN

# Points, computed apart from effrob from the same published tables: (study, model, baseline, axis, {shift: points}).
V2, R, SKETCH, OBJECTNET, A = "imagenet-v2", "imagenet-r", "imagenet-sketch", "objectnet", "imagenet-a"
GOLD: list[tuple[str, str, str, str, dict[str, float]]] = [
    ("distribution", "openclip:RN50@yfcc15m", "testbed", "full", {V2: 4.5, R: 13.0, SKETCH: 3.2, OBJECTNET: 13.1}),
    ("distribution", "openclip:RN50@cc12m", "testbed", "full", {V2: 4.4, R: 34.0, SKETCH: 18.8, OBJECTNET: 17.1}),
    ("distribution", "openclip:RN50@openai", "testbed", "full", {V2: 6.1, R: 38.2, SKETCH: 22.9, OBJECTNET: 23.9}),
    ("distribution", "openclip:ViT-B-32@openai", "testbed", "full", {V2: 5.8, R: 44.4, SKETCH: 27.9, OBJECTNET: 24.0}),
    (
        "distribution",
        "openclip:ViT-B-32@laion400m_e32",
        "testbed",
        "full",
        {V2: 5.2, R: 48.1, SKETCH: 33.7, OBJECTNET: 25.1},
    ),
    ("distribution", "openclip:ViT-B-32@datacomp_m_s128m_b4k", "testbed", "full", {R: 25.6}),
    ("distribution", "openclip:ViT-B-32@commonpool_m_s128m_b4k", "testbed", "full", {R: 15.1}),
    ("test-language", "openclip:ViT-B-32@openai", "timm-in1k", "full", {V2: 5.6, R: 46.3, SKETCH: 28.9, A: 31.0}),
    (
        "test-language",
        "vit_base_patch32_clip_224.openai_ft_in1k",
        "timm-in1k",
        "full",
        {V2: -0.3, R: 10.9, SKETCH: 12.7, A: 0.2},
    ),
    ("test-language", "openclip:ViT-B-32@laion2b_s34b_b79k", "testbed", "full", {V2: 4.7, R: 49.0, SKETCH: 37.3}),
    (
        "contrastive-loss",
        "resnet50_simclrv2_finetuned_100pct_tf_port",
        "testbed",
        "clean",
        {V2: -1.19, R: -0.59, SKETCH: 0.37, OBJECTNET: 0.15},
    ),
    (
        "contrastive-loss",
        "resnet50_simclrv2_linear_probe_tf_port",
        "testbed",
        "clean",
        {V2: -0.05, R: -1.07, SKETCH: -0.85, OBJECTNET: -1.13},
    ),
    ("contrastive-loss", "resnet50_swav", "testbed", "clean", {V2: -0.72, R: -5.0, SKETCH: -4.6, OBJECTNET: -2.2}),
    ("contrastive-loss", "resnet50_simsiam", "testbed", "clean", {V2: -0.13, R: 0.07, SKETCH: 1.2, OBJECTNET: -1.8}),
]
SINGLE_LINE_ON_A = {
    "openclip:RN50@yfcc15m": ("distribution", "full", 13.7),
    "openclip:RN50@cc12m": ("distribution", "full", 7.6),
    "openclip:ViT-B-32@openai": ("distribution", "full", 30.6),
    "openclip:ViT-B-32@laion400m_e32": ("distribution", "full", 18.9),
    "openclip:RN50@openai": ("distribution", "full", 22.7),
}
SIZES = {V2: (-0.5, 0.5), R: (-1.5, 0.8), SKETCH: (-2.2, -0.9), OBJECTNET: (0.3, 1.3)}


def every_cell(found: Finding) -> Iterator[dict[str, Any]]:
    for part in found.as_json()["findings"]:
        for cell in part["arms"]:
            yield cell
            yield from cell["beside"]


def cell_of(found: Finding, **wanted: Any) -> dict[str, Any]:
    """The only cell of that model, shift, baseline, axis (V2 and Sketch have one axis)."""
    same = [c for c in every_cell(found) if all(c[key] == value for key, value in wanted.items())]
    assert len(same) == 1, (wanted, len(same))
    return same[0]


@pytest.mark.parametrize(("study", "model", "line", "axis", "points"), GOLD, ids=[f"{g[0]} {g[1]}" for g in GOLD])
def test_published_arms_stand_where_they_stand(
    findings: dict[str, Finding], study: str, model: str, line: str, axis: str, points: dict[str, float]
) -> None:
    for shift, value in points.items():
        same = shift in (V2, SKETCH)  # all classes: the two axes are one, shown under the study's
        on = findings[study].study.axis if same else axis
        cell = cell_of(findings[study], model=model, shift=shift, baseline=line, axis=on)
        assert 100 * cell["effective_robustness"] == pytest.approx(value, abs=0.1), shift


@pytest.mark.parametrize("model", SINGLE_LINE_ON_A)
def test_imagenet_a_is_given_on_its_single_line_too(findings: dict[str, Finding], model: str) -> None:
    study, axis, value = SINGLE_LINE_ON_A[model]
    cell = cell_of(findings[study], model=model, shift=A, baseline="testbed", axis=axis, segments=1)
    assert 100 * cell["effective_robustness"] == pytest.approx(value, abs=0.1)
    assert cell_of(findings[study], model=model, shift=A, baseline="testbed", axis=axis, segments=2)


@pytest.mark.parametrize("shift", SIZES)
def test_six_fractions_of_imagenet_stay_at_the_line(findings: dict[str, Finding], shift: str) -> None:
    cells = [c for c in findings["size"].cells[shift] if "ImageNet" in c["arm"]]
    values = [100 * cell["effective_robustness"] for cell in cells]
    assert len(values) == 6 and {(c["baseline"], c["axis"]) for c in cells} == {("testbed", "full")}
    assert (min(values), max(values)) == pytest.approx(SIZES[shift], abs=0.1)
    assert [cell["extrapolated"] for cell in cells] == [False] * 3 + [True] * 3


def test_datacomps_seven_filters_span_what_they_span(findings: dict[str, Finding]) -> None:
    values = [100 * c["effective_robustness"] for c in findings["distribution"].cells[R] if "DataComp" in c["arm"]]
    assert len(values) == 7 and (min(values), max(values)) == pytest.approx((15.1, 25.6), abs=0.1)


@pytest.mark.parametrize("study", shipped())
def test_every_cell_names_its_line_and_every_arm_is_given_under_testbed(
    findings: dict[str, Finding], study: str
) -> None:
    found = findings[study]
    for cell in every_cell(found):
        assert set(ROBUSTNESS) | {"arm", "model", "shift", "source", "protocol", "accuracy", "clean_accuracy"} <= set(
            cell
        )
        assert cell["baseline"] and cell["axis"] in ("clean", "full")
        assert (
            cell["effective_robustness_ci95"][0] < cell["effective_robustness"] < cell["effective_robustness_ci95"][1]
        )
    for shift, cells in found.cells.items():
        assert bool(cells) == bool(found.study.arms), shift
        for cell in cells:
            same = [cell, *cell["beside"]]
            assert "testbed" in {each["baseline"] for each in same}
            full = [each["clean_accuracy"] for each in same if each["axis"] == "full"]
            if full and full[0] < 0.55:
                assert "testbed-wide" in {each["baseline"] for each in same}, (shift, cell["arm"])
                assert any(each["extrapolated"] for each in same)


def test_arms_of_the_baseline_are_left_out_of_their_own_line(findings: dict[str, Finding]) -> None:
    found = findings["contrastive-loss"]
    models = {model for arm in found.study.arms for model in arm.models}
    members = models & set(baseline("testbed").models)
    assert len(members) == 11
    assert {answer.baseline for answer in found.answers} == {"testbed-without-11"}
    for model in members:
        for shift in (V2, SKETCH):
            inside = cell_of(found, model=model, shift=shift, baseline="testbed", axis="full")
            outside = cell_of(found, model=model, shift=shift, baseline="testbed-without-11", axis="full")
            assert inside["effective_robustness"] != outside["effective_robustness"]
    alone = fit(V2, baseline("testbed").without(members), "full")
    swav = cell_of(found, model="resnet50_swav", shift=V2, baseline="testbed-without-11", axis="full")
    assert swav["effective_robustness"] == alone.effective_robustness(swav["clean_accuracy"], swav["accuracy"])
    assert any("11 of the arms' models are in baseline testbed;" in notice for notice in found.notices)
    size = findings["size"]
    wide = {a.wide.baseline for a in size.answers if a.wide is not None}
    assert wide == {"testbed-wide-without-5"}  # five of the six fractions are in the wider baseline


def test_the_five_verdicts(findings: dict[str, Finding]) -> None:
    assert [find(name).cause for name in findings] == list(CAUSES)
    assert {name: found.verdict for name, found in findings.items()} == {
        "size": EQUIVALENT,
        "distribution": UNKNOWN,
        "training-language": UNKNOWN,
        "test-language": UNKNOWN,
        "contrastive-loss": UNKNOWN,
    }


def test_what_cannot_be_told_says_why_and_where_to_look(findings: dict[str, Finding]) -> None:
    none = findings["training-language"]
    assert none.verdict == UNKNOWN and none.why == "also differs: training images, size of the tower and recipe"
    for name in ("training-language", "test-language", "contrastive-loss"):
        instead = findings[name].study.instead
        assert instead is not None and "recipes.five_causes --scale pocket" in instead
    assert "effrob captions" in str(none.study.instead)


def test_confounded_contrasts_are_said_to_be_and_tell_nothing(findings: dict[str, Finding]) -> None:
    seen = 0
    for found in findings.values():
        for contrast in found.study.contrasts:
            if contrast.confounded:
                seen += 1
                assert found.judgement(contrast) == UNKNOWN
                assert f"{contrast.name}: confounded: {contrast.confounded}" in found.notices
                assert {a["confounded"] for a in (x.as_json() for x in found.of(contrast.name))} == {
                    contrast.confounded
                }
    assert seen >= 8
    prompts = findings["test-language"].of("prompts instead of fine-tuning, OpenAI ViT-B/32")
    assert {answer.alone for answer in prompts} == {MOVES}  # large on every shift, and still no verdict on the words
    assert {answer.verdict for answer in prompts} == {UNKNOWN}


def test_a_mean_that_hides_a_shift_beyond_its_margin_is_not_called_equivalent(findings: dict[str, Finding]) -> None:
    found = findings["size"]
    contrast = found.study.contrast("400M pairs of LAION instead of 80M of them, ViT-B-16")
    answers = {answer.shift: answer for answer in found.of(contrast.name)}
    assert answers[MEAN].verdict == EQUIVALENT == found.judgement(contrast)
    effect = answers[OBJECTNET].effect
    assert effect is not None
    moved = replace(answers[OBJECTNET].made, effect=replace(effect, value=0.3, models_sd=1.0))
    answers[OBJECTNET] = replace(answers[OBJECTNET], made=moved)
    assert answers[OBJECTNET].beyond_margin and answers[OBJECTNET].verdict == UNKNOWN
    assert replace(found, answers=tuple(answers.values())).judgement(contrast) == UNKNOWN


def test_a_line_that_is_none_decides_nothing(findings: dict[str, Finding]) -> None:
    answer = next(a for a in findings["size"].answers if a.verdict == EQUIVALENT and not a.extrapolated)
    none = replace(answer, line=fit(A, "testbed", "full"))
    assert none.alone == EQUIVALENT and none.verdict == UNKNOWN
    assert none.why is not None and none.why.startswith("no line: R² is 0.39, under a half")


def test_two_models_whose_schedules_are_not_both_stated_tell_nothing(
    findings: dict[str, Finding], as_if_alone: Finding
) -> None:
    """The largest published effect of a source: its numbers stand, and no verdict on the source does."""
    found, name = findings["distribution"], "CC12M instead of YFCC-15M, ResNet-50"
    assert found.why == "also differs: a sixth fewer pairs, and a schedule that is stated for YFCC-15M alone"
    assert [answer.size for answer in found.of(name)] == [answer.size for answer in as_if_alone.of(name)]
    assert as_if_alone.verdict == MOVES and {answer.verdict for answer in found.of(name)} == {UNKNOWN}


def test_outside_the_baselines_range_a_verdict_stands_only_where_the_wider_line_gives_it_too(
    findings: dict[str, Finding], as_if_alone: Finding
) -> None:
    outside = [a for found in (*findings.values(), as_if_alone) for a in found.answers if a.extrapolated]
    assert outside
    for answer in outside:
        assert answer.verdict in (UNKNOWN, None if answer.wide is None else answer.wide.alone)
    sources = as_if_alone.of("CC12M instead of YFCC-15M, ResNet-50")
    assert {a.shift: a.verdict for a in sources} == {
        V2: UNKNOWN,
        R: MOVES,
        SKETCH: MOVES,
        OBJECTNET: UNKNOWN,  # no larger than what two ordinary models differ by
        MEAN: MOVES,
    }


def test_what_no_baseline_reaches_cannot_be_told(as_if_alone: Finding) -> None:
    """A verdict both lines give falls where the wider one does not reach the arms either."""
    answer = next(a for a in as_if_alone.answers if a.extrapolated and a.verdict == MOVES)
    assert answer.wide is not None
    beyond = replace(answer.wide, made=replace(answer.wide.made, members=answer.made.members))
    assert beyond.extrapolated and beyond.alone == MOVES
    assert replace(answer, wide=beyond).verdict == replace(answer, wide=None).verdict == UNKNOWN
    effect = answer.wide.effect
    assert effect is not None
    other_way = replace(answer.wide, made=replace(answer.wide.made, effect=replace(effect, value=-effect.value)))
    assert other_way.alone == MOVES and replace(answer, wide=other_way).verdict == UNKNOWN


@pytest.mark.parametrize("study", ["size", "distribution", "contrastive-loss"])
def test_p_values_are_holms_over_all_the_questions_of_a_study(findings: dict[str, Finding], study: str) -> None:
    asked = [a for a in findings[study].answers if a.effect is not None and not a.contrast.confounded]
    raw = [a.effect.p_value if a.effect else None for a in asked]
    order = sorted(range(len(raw)), key=lambda i: raw[i] or 0.0)
    highest = 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (raw[i] or 0.0) * (len(raw) - rank)))
        assert asked[i].p_adjusted == pytest.approx(highest)
    assert len(asked) >= (0 if study in ("distribution", "contrastive-loss") else 5)
    confounded = [a for a in findings[study].answers if a.contrast.confounded]
    assert confounded and all(a.p_adjusted is None for a in confounded)


def test_imagenet_a_enters_no_verdict(findings: dict[str, Finding]) -> None:
    assert all(answer.shift != A for found in findings.values() for answer in found.answers)
    assert all(found.cells[A] for found in findings.values() if found.study.arms)


def test_different_harnesses_are_said(findings: dict[str, Finding]) -> None:
    for name, said in {"size": True, "test-language": True, "distribution": True, "contrastive-loss": True}.items():
        assert any("different harnesses" in notice for notice in findings[name].notices) == said


def test_a_line_without_the_zero_model_keeps_the_two_segments_it_gave(write: Any) -> None:
    """An arm that split ImageNet-A's line is left out of it; the split is that network's, and stays."""
    arms = "".join(
        f'[[arm]]\nname = "{name}"\nmodel = "{name}"\nsource = "testbed"\n' for name in ("resnet50", "resnet101")
    )
    contrast = '[[contrast]]\nname = "deeper"\nkind = "pair"\narms = ["resnet101", "resnet50"]\n'
    found = run(find(str(write(f'baseline = "testbed"\nheadline = "deeper"\n{arms}{contrast}'))))
    cell = cell_of(found, model="resnet101", shift=A, baseline="testbed-without-2", axis="clean")
    assert cell["segments"] == 2 and cell["left_out"] == ["resnet101"]  # the zero model carries neither segment
    line = fit(A, "testbed", "clean").without(["resnet50", "resnet101"])
    assert cell["effective_robustness"] == line.effective_robustness(cell["clean_accuracy"], cell["accuracy"])
    one = fit(A, baseline("testbed").without(["resnet50", "resnet101"]), "clean")
    gap = cell["effective_robustness"] - one.effective_robustness(cell["clean_accuracy"], cell["accuracy"])
    assert len(one.segments) == 1 and abs(gap) > 0.005


@pytest.mark.parametrize("study", shipped())
def test_the_verdict_of_a_pair_follows_from_the_intervals_and_p_values_beside_it(
    findings: dict[str, Finding], study: str
) -> None:
    """Within one file; the values themselves are recomputed in test_pairs_by_an_independent_script.py."""
    found, checked = findings[study], 0
    for answer in (a for a in found.answers if a.contrast.kind == "pair" and a.effect is not None):
        told = answer.as_json()
        assert told["unit"] == "logit"
        if told["confounded"]:
            assert told["verdict"] == UNKNOWN and told["why"] == f"also differs: {told['confounded']}"
        elif not told["extrapolated"]:
            assert (told["verdict"] == EQUIVALENT) == (told["smallest_margin"] < told["margin"])
            beyond_models = told["pi95"][0] > 0 or told["pi95"][1] < 0
            assert (told["verdict"] == MOVES) == (
                told["smallest_margin"] >= told["margin"] and beyond_models and told["p_adjusted"] < 0.05
            )
        low, high = told["ci95"]
        assert (told["p_value"] < 0.05) == (low > 0 or high < 0)
        checked += 1
    assert checked or study == "contrastive-loss"
