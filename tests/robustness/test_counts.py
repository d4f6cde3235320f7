"""Accuracy, its intervals, and the paired tests."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from scipy.special import betaincinv

from effrob.errors import UsageProblem
from effrob.results.accuracy import Accuracy, clopper_pearson, compare_correct, mcnemar, mean_accuracy


def test_the_ends_are_0_and_1_where_all_are_wrong_or_right() -> None:
    assert clopper_pearson(0, 100)[0] == 0.0
    assert clopper_pearson(100, 100)[1] == 1.0


@pytest.mark.parametrize(("k", "n"), [(-1, 10), (11, 10), (math.nan, 10), (1, 0), (1, math.inf)])
def test_impossible_counts_are_refused(k: float, n: float) -> None:
    with pytest.raises(UsageProblem):
        Accuracy(k, n)


def test_a_percentage_given_as_a_fraction_is_refused() -> None:
    with pytest.raises(UsageProblem, match="percent"):
        Accuracy.of(45.0, 100)


@pytest.mark.parametrize("k", [0, 1, 50, 99, 100])
def test_the_score_interval_lies_in_the_unit_interval_and_holds_the_estimate(k: int) -> None:
    low, high = Accuracy(k, 100).wilson(1.96)
    assert 0 <= low <= k / 100 <= high <= 1
    assert high - low > 0.01


@pytest.mark.parametrize("p", [0.0005, 0.02, 0.3, 0.5, 0.77, 0.99])
@pytest.mark.parametrize("n", [20, 500, 7500, 50000])
def test_clopper_pearson_covers(p: float, n: int) -> None:
    """At least 94 % everywhere; at most 96 % where n >= 7,500 leaves more than a handful of either answer."""
    k = np.random.default_rng(5).binomial(n, p, size=20_000)
    with np.errstate(invalid="ignore"):
        low = np.where(k == 0, 0.0, betaincinv(k, n - k + 1, 0.025))
        high = np.where(k == n, 1.0, betaincinv(k + 1, n - k, 0.975))
    assert (low[0], high[0]) == pytest.approx(clopper_pearson(int(k[0]), n), abs=1e-12)
    covered = float(((low <= p) & (p <= high)).mean())
    assert covered >= 0.94
    if n >= 7500 and min(p, 1 - p) * n >= 50:
        assert covered <= 0.96


def test_clopper_pearson_covers_exactly_95_to_96_percent_of_7500_images() -> None:
    """No simulation: the binomial is summed. With fewer than 150 expected of either answer it is too coarse for 96 %."""
    n = 7500
    k = np.arange(n + 1)
    ends = np.array([clopper_pearson(int(right), n) for right in k])
    for p in np.random.default_rng(8).uniform(150 / n, 1 - 150 / n, 150):
        inside = k[(ends[:, 0] <= p) & (p <= ends[:, 1])]
        assert len(inside) == inside[-1] - inside[0] + 1
        covered = stats.binom.cdf(inside[-1], n, p) - stats.binom.cdf(inside[0] - 1, n, p)
        assert 0.95 <= covered <= 0.96


def test_mcnemar_is_the_exact_binomial_test() -> None:
    for b, c in ((0, 0), (0, 5), (12, 30), (400, 390)):
        wanted = 1.0 if b + c == 0 else stats.binomtest(b, b + c, 0.5).pvalue
        assert mcnemar(b, c) == pytest.approx(wanted, rel=1e-9)


def test_a_model_against_its_own_copy_shows_no_difference() -> None:
    answers = np.random.default_rng(0).random(500) < 0.7
    found = compare_correct(answers, answers.copy())
    assert (found.difference, found.ci95, found.mcnemar_p) == (0.0, (0.0, 0.0), 1.0)


def test_the_paired_bootstrap_agrees_with_drawing_images_and_is_repeatable() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.random(400) < 0.7, rng.random(400) < 0.6
    found = compare_correct(first, second)
    assert found == compare_correct(first, second)
    drawn = rng.integers(400, size=(4000, 400))
    gaps = first[drawn].mean(axis=1) - second[drawn].mean(axis=1)
    assert found.ci95 == pytest.approx(np.percentile(gaps, [2.5, 97.5]), abs=0.01)
    assert found.sd == pytest.approx(gaps.std(), rel=0.05)


def test_different_images_are_refused() -> None:
    with pytest.raises(UsageProblem, match="same images"):
        compare_correct(np.ones(3, bool), np.ones(4, bool))


def test_a_mean_over_sets_keeps_its_variance() -> None:
    parts = [Accuracy(50, 100), Accuracy(900, 1000)]
    mean = mean_accuracy(parts)
    assert mean.value == pytest.approx(0.7)
    assert mean.sd**2 == pytest.approx((0.25 / 100 + 0.09 / 1000) / 4)
    with pytest.raises(UsageProblem):
        mean_accuracy([])
