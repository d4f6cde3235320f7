"""Accuracy, its intervals, and the paired tests."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from scipy.special import bdtr, betaincinv, gammaln

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
def test_clopper_pearson_covers_in_simulation(p: float, n: int) -> None:
    k = np.random.default_rng(5).binomial(n, p, size=20_000)
    low, high = (ends[k] for ends in clopper_pearson_of_all(n))
    covered = float(((low <= p) & (p <= high)).mean())
    assert covered >= 0.94
    if n >= 7500 and min(p, 1 - p) * n >= FEWEST_EXPECTED:
        assert covered <= 0.96


FEWEST_EXPECTED = 150  # of either answer; with fewer, one answer more or less is a step too coarse for 96 %


def clopper_pearson_of_all(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Both ends for k = 0 .. n, the library's own at some of them."""
    k = np.arange(n + 1)
    with np.errstate(invalid="ignore"):
        low = np.where(k == 0, 0.0, betaincinv(k, n - k + 1, 0.025))
        high = np.where(k == n, 1.0, betaincinv(k + 1, n - k, 0.975))
    for some in {0, 1, n // 200, n // 3, n // 2, n - 1, n}:
        assert (low[some], high[some]) == pytest.approx(clopper_pearson(some, n), abs=1e-12)
    return low, high


def coverage(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Stretches of p in [0, 1] between neighbouring interval ends: (from, to, least, most), the last two the chance that the
    interval holds p. No draws: on a stretch the same counts first .. last hold p, and the chance of these rises to one peak,
    where C(n-1, first-1) p^(first-1) q^(n-first) = C(n-1, last) p^last q^(n-1-last), and falls."""
    low, high = clopper_pearson_of_all(n)
    cuts = np.unique(np.concatenate([low, high]))
    left, right = cuts[:-1], cuts[1:]
    first = np.searchsorted(high, (left + right) / 2)
    last = np.searchsorted(low, (left + right) / 2, side="right") - 1
    lasting = gammaln(last + 1) + gammaln(np.maximum(n - last, 1))
    odds = np.exp((lasting - gammaln(np.maximum(first, 1)) - gammaln(n - first + 1)) / (last - first + 1))
    peak = np.where(first == 0, left, np.where(last == n, right, np.clip(odds / (1 + odds), left, right)))

    def chance(p: np.ndarray) -> np.ndarray:
        return np.asarray(bdtr(last, n, p) - np.where(first > 0, bdtr(np.maximum(first - 1.0, 0), n, p), 0.0))

    return left, right, np.minimum(chance(left), chance(right)), chance(peak)


@pytest.mark.parametrize("n", [7500, 10_000, 18_574, 30_000, 50_000, 50_889])
def test_clopper_pearson_covers_94_to_96_percent_of_the_real_test_sets_at_every_accuracy(n: int) -> None:
    """The images of ImageNet-A, V2, ObjectNet, R, the validation set and Sketch; every p, none left between grid points."""
    left, right, least, most = coverage(n)
    assert left[0] == 0.0 and right[-1] == 1.0
    assert least.min() >= 0.94
    often = (right >= FEWEST_EXPECTED / n) & (left <= 1 - FEWEST_EXPECTED / n)
    assert most[often].max() <= 0.96
    # What the bound is for: rarer answers do cover more, up to always.
    assert most[~often].max() > 0.99 and (most > 0.96).any()
    rare = right[(most > 0.96) & (left < 0.5)].max() * n
    assert 90 < rare < 120


def test_clopper_pearson_covers_94_percent_everywhere() -> None:
    """Every p, however rare, for each n from 200 to 600 and some larger."""
    for n in (*range(200, 601), 1000, 2345, 5000, 7499):
        _, _, least, most = coverage(n)
        assert least.min() >= 0.94, n
        assert most.max() <= 1.0 + 1e-12


def test_the_coverage_that_is_summed_is_the_binomials() -> None:
    n = 300
    _, right, least, most = coverage(n)
    k = np.arange(n + 1)
    low, high = (ends[:, None] for ends in clopper_pearson_of_all(n))
    p = np.linspace(0, 1, 4001)[1:-1]
    held = (stats.binom.pmf(k[:, None], n, p) * ((low <= p) & (p <= high))).sum(axis=0)
    at = np.searchsorted(right, p)
    assert (held >= least[at] - 1e-9).all() and (held <= most[at] + 1e-9).all()
    assert held.min() == pytest.approx(least.min(), abs=2e-4)


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
