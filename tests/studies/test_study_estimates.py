"""A contrast's size and interval, against scipy's own regressions and t-tests, and against algebra written out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from effrob.results.accuracy import Accuracy
from effrob.results.model_result import ModelResult
from effrob.robustness.effective import assess
from effrob.robustness.fit import RobustnessFit, fit
from effrob.robustness.significance import two_one_sided
from effrob.studies.estimate import ContrastEffect, Effect, effect_of
from effrob.studies.study import Arm, Contrast, Study

N = 10**6
STUDY = Study(name="x", question="?", factor="f", decides="d", cannot_decide="c")


@pytest.fixture(scope="module")
def line() -> RobustnessFit:
    return fit("imagenet-r", "testbed", "full")


def subject(line: RobustnessFit, model: str, clean: float, above: float) -> ModelResult:
    """A model that many logits above the line."""
    y = Accuracy.of(line.scale.back(line.line.at(line.scale.to(clean)) + above), N)
    x = Accuracy.of(clean, N)
    return ModelResult(model, model, {line.shift: y}, x, {line.shift: x}, source="given:made")


def reckoned(
    line: RobustnessFit,
    kind: str,
    arms: Sequence[Arm],
    places: Sequence[Sequence[tuple[float, float]]],
) -> ContrastEffect:
    """The contrast of `kind` over arms whose models have these (clean accuracy, logits above the line)."""
    arms = [replace(arm, models=tuple(f"{arm.name}{i}" for i in range(len(at)))) for arm, at in zip(arms, places)]
    found = {arm.name: tuple(subject(line, m, *p) for m, p in zip(arm.models, at)) for arm, at in zip(arms, places)}
    contrast = Contrast("c", kind, tuple(arm.name for arm in arms))
    return effect_of(replace(STUDY, arms=tuple(arms)), contrast, line, found)


def line_sd_by_matrix(line: RobustnessFit, places: Sequence[float], weights: Sequence[float]) -> float:
    """Standard deviation of a weighted sum of line heights, from the covariance of intercept and slope."""
    one = line.line
    design = np.column_stack([np.ones(one.n), one.tx])
    covariance = one.residual_std**2 * np.linalg.inv(design.T @ design)
    tx = np.array([line.scale.to(x) for x in places])
    gradient = np.asarray(weights) @ np.column_stack([np.ones(len(tx)), tx])
    by_family = gradient @ one.family_covariance @ gradient
    return float(np.sqrt(max(gradient @ covariance @ gradient, by_family)))


def test_a_trend_is_a_regression_on_the_logarithm_of_the_amount(line: RobustnessFit) -> None:
    amounts, clean = [40.0, 80.0, 160.0, 640.0], [0.6, 0.65, 0.7, 0.72]
    above = [0.01, 0.013, 0.02, 0.018]
    arms = [Arm(f"a{i}", (), amount=amount) for i, amount in enumerate(amounts)]
    made = reckoned(line, "trend", arms, [[place] for place in zip(clean, above)]).effect
    assert isinstance(made, Effect)
    there = stats.linregress(np.log2(amounts), above)
    span = np.log2(amounts[-1] / amounts[0])
    assert made.value == pytest.approx(there.slope * span, abs=1e-6)
    assert (made.scatter, made.freedom) == (pytest.approx(there.stderr * span, abs=1e-6), 2)
    away = np.log2(amounts) - np.mean(np.log2(amounts))
    weights = away / (away @ away) * span
    assert made.line_sd == pytest.approx(line_sd_by_matrix(line, clean, weights.tolist()), rel=1e-6)
    ends = made.interval()
    variances, freedoms = np.array([made.scatter**2, made.line_sd**2]), np.array([2, line.line.freedom])
    freedom = variances.sum() ** 2 / (variances**2 / freedoms).sum()  # Satterthwaite
    half = stats.t.ppf(0.975, freedom) * np.sqrt(variances.sum())
    assert ends == pytest.approx((made.value - half, made.value + half))
    assert made.p_value == pytest.approx(2 * stats.t.sf(abs(made.value) / np.sqrt(variances.sum()), freedom))


def test_two_amounts_of_the_same_size_stand_at_one_place(line: RobustnessFit) -> None:
    arms = [Arm("small", (), amount=1), Arm("large", (), amount=8)]
    made = reckoned(line, "trend", arms, [[(0.6, 0.01), (0.61, 0.03)], [(0.7, 0.05), (0.71, 0.07)]]).effect
    assert isinstance(made, Effect)
    assert (made.value, made.freedom) == (pytest.approx(0.04, abs=1e-6), 2)


def test_replicates_in_equal_number_are_paired_by_their_place(line: RobustnessFit) -> None:
    a, b = [0.031, 0.042, 0.055], [0.01, 0.018, 0.036]
    found = reckoned(line, "pair", [Arm("a", ()), Arm("b", ())], [[(0.7, v) for v in a], [(0.7, v) for v in b]])
    made = found.effect
    assert isinstance(made, Effect) and found.paired and found.spread_over == "replicates"
    ends = stats.ttest_rel(a, b).confidence_interval()
    half = (ends.high - ends.low) / 2
    assert made.value == pytest.approx(np.mean(a) - np.mean(b), abs=1e-6)
    assert stats.t.ppf(0.975, made.freedom) * made.scatter == pytest.approx(half, abs=1e-6)
    assert made.line_sd == pytest.approx(0, abs=1e-9)  # all at one clean accuracy: the line's error cancels


def test_replicates_in_unequal_number_are_welchs(line: RobustnessFit) -> None:
    a, b = [0.031, 0.042, 0.055, 0.03], [0.01, 0.018]
    made = reckoned(line, "pair", [Arm("a", ()), Arm("b", ())], [[(0.7, v) for v in a], [(0.7, v) for v in b]]).effect
    there = stats.ttest_ind(a, b, equal_var=False)
    assert isinstance(made, Effect)
    assert made.freedom == np.floor(there.df) or made.freedom == 1
    assert made.value / made.scatter == pytest.approx(there.statistic, rel=1e-4)


def test_a_single_model_beside_replicates_scatters_as_they_do(line: RobustnessFit) -> None:
    a = [0.03, 0.04, 0.05]
    made = reckoned(line, "pair", [Arm("a", ()), Arm("b", ())], [[(0.7, v) for v in a], [(0.7, 0.0)]]).effect
    assert isinstance(made, Effect)
    assert (made.scatter, made.freedom) == (pytest.approx(0.01 * np.sqrt(4 / 3), abs=1e-6), 2)


def test_a_pair_of_single_models_is_effrob_compare(line: RobustnessFit) -> None:
    found = reckoned(line, "pair", [Arm("a", ()), Arm("b", ())], [[(0.7, 0.05)], [(0.6, 0.01)]])
    assert found.effect is not None and not found.paired
    assert found.effect.value == pytest.approx(0.04, abs=1e-6)


def test_lineages_weigh_the_same_against_the_line(line: RobustnessFit) -> None:
    arms = [Arm("a", (), lineage="one"), Arm("b", (), lineage="one"), Arm("c", (), lineage="two")]
    made = reckoned(line, "line", arms, [[(0.7, 0.02)], [(0.7, 0.04)], [(0.7, 0.05)]]).effect
    assert isinstance(made, Effect)
    assert made.value == pytest.approx(0.04, abs=1e-6)
    there = stats.sem([0.03, 0.05])
    assert (made.scatter, made.freedom) == (pytest.approx(there, abs=1e-6), 1)
    assert made.line_sd == pytest.approx(line_sd_by_matrix(line, [0.7], [1.0]), rel=1e-6)


def test_one_arm_against_the_line_has_its_residual_and_is_told_by_the_scatter_of_models(line: RobustnessFit) -> None:
    made = reckoned(line, "line", [Arm("a", ())], [[(0.7, 0.03)]]).effect
    assert isinstance(made, Effect)
    alone = assess(line, Accuracy.of(0.7, N), Accuracy.of(line.predicted(0.7) + 0.03, N))
    assert made.value == pytest.approx(0.03, abs=1e-6) and alone.spread is not None
    assert made.sampling == pytest.approx(alone.spread.sampling, rel=0.02)
    assert not made.in_kind and made.p_value < 0.5
    far = reckoned(line, "line", [Arm("a", ())], [[(0.7, 1.0)]]).effect
    assert far is not None and far.in_kind


def test_the_mean_of_pairs_has_their_scatter_and_their_spread(line: RobustnessFit) -> None:
    arms = [Arm(name, ()) for name in "abcd"]
    pairs = (Contrast("one", "pair", ("a", "b")), Contrast("two", "pair", ("c", "d")))
    mean = Contrast("both", "mean", of=("one", "two"))
    places = [(0.7, 0.05), (0.7, 0.01), (0.6, 0.03), (0.6, 0.01)]
    arms = [replace(arm, models=(f"{arm.name}0",)) for arm in arms]
    results = {arm.name: (subject(line, f"{arm.name}0", *at),) for arm, at in zip(arms, places)}
    made = effect_of(replace(STUDY, arms=tuple(arms), contrasts=(*pairs, mean)), mean, line, results).effect
    assert isinstance(made, Effect) and made.spread == pytest.approx((0.02, 0.04), abs=1e-6)
    assert (made.value, made.scatter, made.freedom) == (
        pytest.approx(0.03, abs=1e-6), pytest.approx(stats.sem([0.04, 0.02]), abs=1e-6), 1
    )  # fmt: skip


def test_an_arm_without_the_shift_is_named_and_leaves_a_pair_without_an_answer(line: RobustnessFit) -> None:
    gone = ModelResult("b0", "b0", {}, Accuracy.of(0.7, N), {}, source="given:made")
    study = replace(STUDY, arms=(Arm("a", ("a0",)), Arm("b", ("b0",))))
    found = effect_of(
        study, Contrast("c", "pair", ("a", "b")), line, {"a": (subject(line, "a0", 0.7, 0.1),), "b": (gone,)}
    )
    assert (found.effect, found.missing) == (None, ("b",))


def test_intervals_cover_and_equivalence_is_rarely_claimed_at_the_margin(line: RobustnessFit) -> None:
    """Five seeds an arm, true difference 0.02: the interval holds it in 95 % of draws, TOST at that margin passes in 5 %."""
    rng, held, claimed, draws = np.random.default_rng(4), 0, 0, 400
    for _ in range(draws):
        a, b = 0.05 + rng.normal(0, 0.01, 5), 0.03 + rng.normal(0, 0.01, 5)
        places = [[(0.7, float(v)) for v in a], [(0.7, float(v)) for v in b]]
        made = reckoned(line, "pair", [Arm("a", ()), Arm("b", ())], places).effect
        assert made is not None
        ends = made.interval()
        assert ends is not None
        held += ends[0] <= 0.02 <= ends[1]
        claimed += bool(two_one_sided(made.interval, 0.02).equivalent)
    assert 0.92 <= held / draws <= 0.98 and claimed / draws <= 0.08
