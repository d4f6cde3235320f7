"""Several clean sets, agreement without labels, classes, the multiverse, and the levels of the bootstrap."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import ndtr
from stores import MODELS, ROBUST, fill
from worlds import World

from effrob.errors import UsageProblem
from effrob.files import strict_json
from effrob.results.accuracy import Accuracy
from effrob.results.answers import PredictionMatrix
from effrob.results.model_result import ModelResult
from effrob.results.store import ResultStore
from effrob.robustness.baselines.catalogue import baseline
from effrob.robustness.compare import compare
from effrob.robustness.effective import assess
from effrob.robustness.fit import fit
from effrob.robustness.multi_id import fit_multi, multi_id, variance_inflation
from effrob.robustness.multiverse import multiverse, multiverse_of
from effrob.robustness.per_image.agreement import agreement_on_the_line, agreements
from effrob.robustness.per_image.hierarchical import hierarchical_bootstrap, multinomial_weights
from effrob.robustness.per_image.per_class import duplicate_names, per_class, prior_strength
from model_zoo.published import published


def test_a_second_clean_set_explains_what_the_first_cannot() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.uniform(0.3, 0.9, (2, 80))
    logit = np.log(a / (1 - a)), np.log(b / (1 - b))
    y = 1 / (1 + np.exp(-(0.6 * logit[0] + 0.4 * logit[1] - 0.5)))
    both, one = fit_multi(np.column_stack([a, b]), y, ["a", "b"]), fit_multi(a[:, None], y, ["a"])
    assert both.weights.tolist() == pytest.approx([-0.5, 0.6, 0.4], abs=1e-9)
    assert both.stable and both.r2 > one.r2 + 0.1
    assert both.effective_robustness([a[0], b[0]], y[0]) == pytest.approx(0.0, abs=1e-12)
    assert not both.far([0.6, 0.6]) and both.far([0.9999, 0.01])


def test_the_interval_of_several_sets_is_the_textbooks_prediction_interval() -> None:
    rng, held, draws = np.random.default_rng(8), 0, 400
    for _ in range(draws):
        x = rng.normal(0.5, 0.5, (41, 2))
        y = 1 / (1 + np.exp(-(x @ [0.6, 0.4] - 0.5 + rng.normal(0, 0.1, 41))))
        clean = 1 / (1 + np.exp(-x))
        made = fit_multi(clean[:40], y[:40], ["a", "b"])
        ends = made.interval(clean[40].tolist(), float(y[40]))
        assert ends is not None
        held += ends[0] <= 0 <= ends[1]
    assert 0.92 <= held / draws <= 0.98
    assert fit_multi(clean[:40], y[:40], ["a", "b"], ridge=0.1).interval([0.5, 0.5], 0.5) is None


def test_collinear_clean_sets_are_refused_unless_ridge_or_the_user_says_otherwise() -> None:
    sets = ["imagenet", "imagenet-v2-top-images"]
    with pytest.raises(UsageProblem, match="rise and fall together"):
        multi_id("imagenet-r", sets)
    ridged = multi_id("imagenet-r", sets, ridge=0.1)
    assert ridged.stable and ridged.weights[1] == pytest.approx(ridged.weights[2], rel=0.2)
    with pytest.raises(UsageProblem, match="did you mean imagenet-sketch"):
        multi_id("imagenet-r", ["imagenet", "imagenet-sketchy"])
    with pytest.raises(UsageProblem, match="one accuracy each on imagenet"):
        ridged.effective_robustness([0.7], 0.5)


def test_too_few_models_and_models_at_an_end_are_refused() -> None:
    x = np.linspace(0.3, 0.8, 29)
    with pytest.raises(UsageProblem, match="at least 30 models; 29"):
        fit_multi(np.column_stack([x, x[::-1]]), x, ["a", "b"])
    with pytest.raises(UsageProblem, match="at 0 or 1"):
        fit_multi(np.append(x, 1.0)[:, None], np.append(x, 0.5), ["a"])


def test_variance_inflation_of_unrelated_and_copied_columns() -> None:
    x = np.random.default_rng(1).standard_normal((5000, 2))
    assert variance_inflation(x) == pytest.approx([1.0, 1.0], abs=0.01)
    assert np.isinf(variance_inflation(np.column_stack([x[:, 0], x[:, 0]]))).all()


def agreeing(
    slope: float, intercept: float, seed: int = 3, models: int = 12
) -> tuple[PredictionMatrix, PredictionMatrix, np.ndarray]:
    """Models of different skill that find nearly the same images hard: accuracies and agreements share one probit line."""
    rng = np.random.default_rng(seed)
    skill = np.linspace(0.0, 1.6, models)
    tables = []
    for name, n, on in (("c", 20000, skill), ("s", 20000, slope * skill + intercept)):
        target = rng.integers(1000, size=n)
        noise = np.sqrt(0.97) * rng.standard_normal(n) + np.sqrt(0.03) * rng.standard_normal((models, n))
        correct = noise < on[:, None]
        predicted = np.where(correct, target, rng.integers(1000, size=correct.shape))
        ids = np.array([f"{name}{i}" for i in range(n)])
        tables.append(PredictionMatrix(tuple(f"m{i}" for i in range(models)), ids, target, correct, predicted))
    return tables[0], tables[1], ndtr(slope * skill + intercept)


def test_shift_accuracy_is_predicted_without_shift_labels() -> None:
    clean, shift, truth = agreeing(0.8, -0.3)
    blind = PredictionMatrix(
        shift.models, shift.ids, np.zeros_like(shift.target), np.zeros_like(shift.correct), shift.predicted
    )
    found = agreement_on_the_line(clean, blind)
    assert found.holds and found.pairs == 66
    s, d = found.error(truth)
    assert d < 0.02
    assert s < 0.06
    naive = float(np.abs(clean.correct.mean(axis=1) - truth).mean())
    assert d < naive / 4


def test_agreement_that_is_no_line_is_not_believed() -> None:
    clean, shift, _ = agreeing(0.8, -0.3)
    rng = np.random.default_rng(9)
    scrambled = shift.predicted.copy()
    for row, share in zip(scrambled, rng.uniform(0, 0.5, len(scrambled))):
        moved = rng.random(len(row)) < share
        row[moved] = rng.integers(1000, size=moved.sum())
    found = agreement_on_the_line(
        clean, PredictionMatrix(shift.models, shift.ids, shift.target, shift.correct, scrambled)
    )
    assert not found.holds


def test_agreement_wants_models_and_pairs() -> None:
    clean, shift, _ = agreeing(0.8, -0.3, models=3)
    with pytest.raises(UsageProblem, match="three models"):
        agreement_on_the_line(clean.only(clean.models[:2]), shift.only(clean.models[:2]))
    same = PredictionMatrix(
        clean.models, clean.ids, clean.target, clean.correct, np.repeat(clean.predicted[:1], 3, axis=0)
    )
    with pytest.raises(UsageProblem, match="0 of 3 do"):
        agreement_on_the_line(same, same)
    assert agreements(same.predicted).tolist() == [1.0, 1.0, 1.0]


def classy(gains: np.ndarray, images: int = 40, seed: int = 0) -> tuple[object, ...]:
    """A world of len(gains) classes in which the target gains what it says in each; returns per_class's arguments."""
    rng = np.random.default_rng(seed)
    world = World(models=20, scatter=0.0)
    x = rng.uniform(0.2, 1.8, 20)
    target = np.repeat(np.arange(len(gains)), images)
    tx, ty = np.append(x, 1.0), np.append(0.9 * x - 0.6, 0.3)
    heights = np.repeat(ty[:, None], len(target), axis=1)
    heights[-1] += gains[target]
    shift = rng.random(heights.shape) < 1 / (1 + np.exp(-heights))
    clean = rng.random(heights.shape) < 1 / (1 + np.exp(-tx[:, None]))
    from worlds import Draw

    draw = Draw(world, shift, clean, target)
    return draw.line, *draw.tables(), shift[-1], clean[-1]


def test_classes_that_carry_the_gain_are_found_and_sum_to_the_whole() -> None:
    gains = np.zeros(30)
    gains[[3, 17, 25]] = 2.5
    found = per_class(*classy(gains, images=150))  # type: ignore[arg-type]
    assert set(np.argsort(found.effective_robustness)[-3:]) == {3, 17, 25}
    assert float(found.weight @ found.effective_robustness) + found.gap == pytest.approx(found.overall, abs=1e-12)
    assert abs(found.gap) < 0.02
    assert found.top_share is not None and found.top_share > 0.6


def test_few_images_a_class_are_shrunk_nearer_to_the_mean() -> None:
    few, many = (per_class(*classy(np.zeros(30), images=n)) for n in (10, 400))  # type: ignore[arg-type]
    assert few.shrinkage > 0.5
    assert few.effective_robustness.std() < 0.1
    assert many.effective_robustness.std() < 0.06


def test_the_priors_strength_is_that_of_the_classes_spread() -> None:
    rng = np.random.default_rng(6)
    images = np.full(2000, 30.0)
    for strength in (4.0, 20.0):
        right = rng.binomial(30, rng.beta(0.6 * strength, 0.4 * strength, size=2000)).astype(float)
        assert prior_strength(right, images) == pytest.approx(strength, rel=0.15)
    assert prior_strength(rng.binomial(30, 0.6, size=2000).astype(float), images) > 100


def test_classes_of_one_name_are_flagged() -> None:
    names = ["cat", "missile", "dog", "missile", "cat"]
    assert duplicate_names(names, np.array([0, 1, 3])) == ((1, 3),)
    found = per_class(*classy(np.zeros(4)), class_names=["a", "b", "a", "c"])  # type: ignore[arg-type]
    assert found.duplicates == ((0, 2),)


def clip() -> ModelResult:
    row = next(row for row in published("testbed") if row.model == "vit_b_32_clip_zeroshot")
    clean, full = row.clean("imagenet-r"), row.clean("imagenet-r", "full")
    assert clean is not None and full is not None
    shift = Accuracy.of(row.accuracies["imagenet-r"], 30000)
    return ModelResult(
        "clip",
        "clip",
        {"imagenet-r": shift, "objectnet": shift},
        Accuracy.of(*full),
        {"imagenet-r": Accuracy.of(*clean)},
        source="given:clip",
    )


def test_clips_verdict_survives_every_analysis_and_its_size_does_not() -> None:
    found = multiverse("imagenet-r", {"testbed's own": clip()})
    assert len(found.analyses) == 8
    assert found.survives("above") == 1.0
    assert found.span[1] - found.span[0] > 0.04
    strict_json(found.as_json())


def test_choices_that_cannot_be_made_are_listed_not_hidden() -> None:
    row = clip()
    found = multiverse("objectnet", {"p": row})
    assert {a.axis for a in found.analyses} == {"full"}
    assert any("timm-in1k has no accuracies on objectnet" in reason for reason in found.skipped)
    assert any("no clean clean accuracy" in r or "no clean accuracy" in r or "clean" in r for r in found.skipped)
    with pytest.raises(UsageProblem, match="no analysis"):
        multiverse("objectnet", {"p": replace(row, clean_full=None)})


def test_large_data_models_flip_their_sign_on_imagenet_a_with_the_axis() -> None:
    row = next(row for row in published("testbed") if row.model == "efficientnet-l2-noisystudent")
    signs = set()
    for axis in ("clean", "full"):
        clean = row.clean("imagenet-a", axis)
        assert clean is not None
        found = assess(
            fit("imagenet-a", axis=axis), Accuracy.of(*clean), Accuracy.of(row.accuracies["imagenet-a"], 7500)
        )
        signs.add((found.effective_robustness or 0) > 0)
    assert signs == {True, False}


def test_the_multiverse_of_a_published_model_holds_every_line_once() -> None:
    by_shift = {found.shift: found for found in multiverse_of("testbed:vit_b_32_clip_zeroshot")}
    assert list(by_shift) == ["imagenet-v2", "imagenet-r", "imagenet-sketch", "objectnet", "imagenet-a"]
    lines = ("testbed", "testbed-wide", "timm-in1k")
    assert [(a.baseline, a.scale) for a in by_shift["imagenet-v2"].analyses] == [
        (line, scale) for line in lines for scale in ("logit", "probit")
    ]
    assert {a.baseline for a in by_shift["objectnet"].analyses} == set(lines[:2])
    assert by_shift["imagenet-r"].most_common == ("above", 1.0)
    for found in by_shift.values():
        for one in found.analyses:
            assert one.effective.fit.baseline.name == one.baseline
    (only,) = multiverse_of("resnet50", ["imagenet-r"], ["testbed"])
    assert len(only.analyses) == 4 and only.as_json()["survives"] == 1.0
    with pytest.raises(UsageProblem, match="has no accuracy on pocket-r"):
        multiverse_of("resnet50", ["pocket-r"])


def test_the_multiverse_of_a_measured_model_holds_every_prompt_set(tmp_path: Path) -> None:
    root = fill(tmp_path)
    for one in list(ResultStore(root)):
        if one.record.asked.model == ROBUST:
            for prompts in ("openai", "simple"):
                asked = replace(one.record.asked, prompts=prompts, head_digest=prompts)
                ResultStore(root).write(replace(one.record, asked=asked), one.predictions(), one.clean_predictions())
    (found,) = multiverse_of(ROBUST, ["pocket-r"], ["measured"], root)
    assert {a.prompts for a in found.analyses} == {"zero-shot", "zero-shot openai", "zero-shot simple"}
    assert "conservative-interval" not in found.analyses[0].effective.flags
    (member,) = multiverse_of(MODELS[2], ["pocket-r"], ["measured"], root)
    assert all(a.effective.fit.left_out == (MODELS[2],) for a in member.analyses)
    # A comparison of such a model wants one of them named.
    with pytest.raises(UsageProblem, match="by --head and --prompts"):
        compare(ROBUST, MODELS[2], ["pocket-r"], root, baseline=baseline("measured", root))
    for prompts in ("openai", "simple"):
        found_ = compare(ROBUST, MODELS[2], ["pocket-r"], root, baseline=baseline("measured", root), prompts=prompts)
        assert found_.differences[0].paired


def test_bootstrap_weights_have_the_covariance_of_sampling() -> None:
    weights = multinomial_weights(np.random.default_rng(0), 40_000, 6)
    assert weights.mean(axis=0) == pytest.approx(np.ones(6), abs=0.02)
    assert weights.var(axis=0) == pytest.approx(np.ones(6), rel=0.05)
    with pytest.raises(UsageProblem, match="at least two"):
        multinomial_weights(np.random.default_rng(0), 10, 1)


def test_the_bootstrap_is_repeatable_and_its_modes_are_named() -> None:
    draw = next(World(models=10, images=200, classes=10, by_class=0.3).draws(1, seed=0))
    arguments = (draw.line, *draw.tables(), draw.shift[10], draw.clean[10])
    one, two = (hierarchical_bootstrap(*arguments, draws=100, seed=5) for _ in range(2))
    assert one.interval() == two.interval()
    fixed = hierarchical_bootstrap(*arguments, draws=100, classes="fixed")
    assert fixed.interval()[1] - fixed.interval()[0] < 1.3 * (one.interval()[1] - one.interval()[0])
    with pytest.raises(UsageProblem, match="resampled or fixed"):
        hierarchical_bootstrap(*arguments, classes="both")
