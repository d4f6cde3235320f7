"""Lines with few witnesses: coverage by simulation where whole families miss the line together, in few and uneven families."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, stdtrit

from effrob.results.accuracy import Accuracy
from effrob.robustness.baselines.baseline import Baseline
from effrob.robustness.components import components
from effrob.robustness.difference import Difference
from effrob.robustness.effective import assess
from effrob.robustness.fit import RobustnessFit
from effrob.robustness.line import BaselineLine
from effrob.robustness.scale import LOGIT

DRAWS = 4000
EMPTY = Baseline("simulated", (), "effrob", "effrob")
SLOPE, INTERCEPT, TOGETHER, ALONE = 0.7, -0.9, 0.08, 0.04


def draw(rng: np.random.Generator, families: int, uneven: bool) -> BaselineLine:
    """A baseline whose families miss the line together, by twice what each model misses it by itself; no test-set noise."""
    sizes = rng.poisson(1.0, families) + 1 if uneven else np.full(families, 3)
    if uneven:
        sizes[0] += 4
    family = np.repeat(np.arange(families), sizes)
    n = len(family)
    x = rng.normal(1.0, 0.45, families)[family] + rng.normal(0, 0.25, n)
    y = SLOPE * x + INTERCEPT + rng.normal(0, TOGETHER, families)[family] + rng.normal(0, ALONE, n)
    many = np.full(n, 1e9)
    names = tuple(f"m{i}" for i in range(n)), tuple(f"f{i}" for i in family)
    return BaselineLine(LOGIT, *names, expit(x), expit(y), many, many)


@pytest.mark.parametrize("uneven", [False, True], ids=["even", "uneven"])
@pytest.mark.parametrize("families", [4, 5, 8, 15])
def test_intervals_of_the_line_and_of_an_unseen_model_cover_what_they_say(families: int, uneven: bool) -> None:
    """The parts of ci95 and pi95 that the line gives, on their degrees of freedom."""
    rng, line_held, model_held = np.random.default_rng(families), 0, 0
    for _ in range(DRAWS):
        line = draw(rng, families, uneven)
        tx = rng.normal(1.0, 0.5)
        truth = SLOPE * tx + INTERCEPT
        model = truth + rng.normal(0, TOGETHER) + rng.normal(0, ALONE)
        height, spread = line.at(tx), line.spread_by_family(tx)
        line_held += abs(height - truth) <= -stdtrit(line.freedom, 0.025) * spread
        reach = -stdtrit(line.predictive_freedom(tx), 0.025) * np.hypot(spread, line.predictive_std)
        model_held += abs(height - model) <= reach
    print(families, uneven, line_held / DRAWS, model_held / DRAWS)
    assert 0.94 <= line_held / DRAWS <= 0.96
    assert 0.94 <= model_held / DRAWS <= 0.96


def test_components_are_those_of_a_large_sample() -> None:
    rng = np.random.default_rng(3)
    family = np.repeat(np.arange(400), 5)
    x = rng.normal(0, 1, len(family))
    y = 0.5 * x + rng.normal(0, 0.3, 400)[family] + rng.normal(0, 0.1, len(family))
    slope, intercept = np.polyfit(x, y, 1)
    found = components(x, y - slope * x - intercept, family)
    assert (found.own, found.family) == (pytest.approx(0.01, rel=0.1), pytest.approx(0.09, rel=0.15))


def test_where_every_model_is_its_own_family_the_textbook_stands() -> None:
    rng = np.random.default_rng(4)
    x, y = rng.normal(1, 0.5, 20), rng.normal(0, 0.3, 20)
    names = tuple(f"m{i}" for i in range(20))
    line = BaselineLine(LOGIT, names, names, expit(x), expit(y), np.full(20, 1e9), np.full(20, 1e9))
    assert line.components.family == 0.0 and line.freedom == 18 == line.predictive_freedom(0.3)
    assert line.spread_by_family(0.3) == pytest.approx(line.residual_std * np.sqrt(line.leverage(0.3)), rel=1e-9)


@pytest.mark.parametrize("families", [4, 5, 8, 15])
def test_two_ordinary_models_are_told_apart_in_kind_in_one_case_of_twenty(families: int) -> None:
    """Of two families the line has not seen, with test sets so large that their noise is nothing."""
    rng, told, draws, n = np.random.default_rng(families), 0, 1500, 10**8
    for _ in range(draws):
        fit = RobustnessFit("simulated", "clean", LOGIT, EMPTY, (draw(rng, families, uneven=True),), None, ())
        models = []
        for _ in range(2):
            tx = rng.normal(1.0, 0.3)
            ty = SLOPE * tx + INTERCEPT + rng.normal(0, TOGETHER) + rng.normal(0, ALONE)
            models.append(assess(fit, Accuracy.of(float(expit(tx)), n), Accuracy.of(float(expit(ty)), n)))
        told += bool(Difference(*models).in_kind)
    print(families, told / draws)
    assert 0.03 <= told / draws <= 0.07
