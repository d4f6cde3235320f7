"""Coverage, by simulation with known truth: each interval holds the number it names as often as it says.

Images are shared between all models, as on real test sets, and half of their difficulty with them.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from worlds import Draw, World

from effrob.results.accuracy import Accuracy
from effrob.robustness.baselines.baseline import Baseline
from effrob.robustness.difference import Difference, PairedAnswers
from effrob.robustness.effective import assess
from effrob.robustness.fit import RobustnessFit
from effrob.robustness.line import BaselineLine
from effrob.robustness.per_image.hierarchical import hierarchical_bootstrap
from effrob.robustness.per_image.pairing import pairing
from effrob.robustness.scale import LOGIT

DRAWS = 2000
SHARED = World(shared=0.5, gaps=(0.3, 0.25), places=(1.0, 1.4))
APART = World(shared=0.0, gaps=(0.3, 0.25), places=(1.0, 1.4))
SISTERS = World(models=18, images=900, families=6, gaps=(0.3, 0.25), places=(1.0, 1.4))
EMPTY = Baseline("simulated", (), "effrob", "effrob")


def fit_of(line: BaselineLine) -> RobustnessFit:
    return RobustnessFit("simulated", "clean", LOGIT, EMPTY, (line,), None, ())


def counts(answers: np.ndarray) -> Accuracy:
    return Accuracy(float(answers.sum()), len(answers))


@cache
def rates(world: World) -> dict[str, float]:
    """Share of draws in which each interval held its truth, and in which equivalence at the margin was claimed."""
    truth, margin = (world.truth(0), world.truth(1)), world.truth(0)
    hits: dict[str, list[bool]] = {}
    for draw in world.draws(DRAWS, seed=20240607):
        for name, held in one(draw, truth, margin).items():
            hits.setdefault(name, []).append(held)
    return {name: float(np.mean(held)) for name, held in hits.items()}


def one(draw: Draw, truth: tuple[float, float], margin: float) -> dict[str, bool]:
    a, b = draw.world.models, draw.world.models + 1
    line = draw.line
    fitted = fit_of(line)
    first, second = (assess(fitted, counts(draw.clean[i]), counts(draw.shift[i])) for i in (a, b))
    shared = pairing(line, *draw.tables(), draw.shift[a], draw.clean[a])
    paired = assess(fitted, counts(draw.clean[a]), counts(draw.shift[a]), shared)
    answers = PairedAnswers(draw.shift[a], draw.shift[b], draw.clean[a], draw.clean[b])
    gap = truth[0] - truth[1]
    return {
        "ci95": inside(first.ci95, truth[0]),
        "ci95 paired": inside(paired.ci95, truth[0]),
        "ci95 paired, models taken for independent": inside(paired.interval(by="model"), truth[0]),
        "difference": inside(Difference(first, second).ci95, gap),
        "difference paired": inside(Difference(first, second, answers).ci95, gap),
        "equivalent at the margin": bool(paired.equivalence(margin).equivalent),
    }


def inside(ends: tuple[float, float] | None, truth: float) -> bool:
    assert ends is not None
    return ends[0] <= truth <= ends[1]


def test_ci95_with_images_shared_and_answers_at_hand() -> None:
    assert 0.94 <= rates(SHARED)["ci95 paired"] <= 0.96


def test_ci95_where_the_models_of_a_family_miss_the_line_together() -> None:
    assert 0.94 <= rates(SISTERS)["ci95 paired"] <= 0.96
    assert rates(SISTERS)["ci95 paired, models taken for independent"] < 0.93
    assert 0.94 <= rates(SISTERS)["difference paired"] <= 0.96
    assert 0.04 <= rates(SISTERS)["equivalent at the margin"] <= 0.06


def test_ci95_without_answers_is_exact_for_separate_images_and_conservative_for_shared_ones() -> None:
    assert 0.94 <= rates(APART)["ci95"] <= 0.96
    assert rates(SHARED)["ci95"] > max(0.96, rates(SHARED)["ci95 paired"])


def test_paired_differences() -> None:
    assert 0.94 <= rates(SHARED)["difference paired"] <= 0.96
    assert 0.94 <= rates(APART)["difference paired"] <= 0.96


def test_differences_without_answers_are_conservative_for_shared_images() -> None:
    assert 0.94 <= rates(APART)["difference"] <= 0.96
    assert rates(SHARED)["difference"] > 0.96


def test_equivalence_is_claimed_at_the_margin_in_one_case_of_twenty() -> None:
    assert 0.04 <= rates(SHARED)["equivalent at the margin"] <= 0.06


@pytest.mark.parametrize(
    ("classes", "world"),
    [
        ("resampled", World(models=16, images=300, classes=25, by_class=0.4)),
        ("fixed", World(models=16, images=160, classes=1, families=8)),
    ],
)
def test_the_hierarchical_bootstrap(classes: str, world: World) -> None:
    truth, m = world.truth(0), world.models
    held = [
        inside(
            hierarchical_bootstrap(
                draw.line, *draw.tables(), draw.shift[m], draw.clean[m], classes=classes, draws=200, seed=i
            ).interval(),
            truth,
        )
        for i, draw in enumerate(world.draws(DRAWS, seed=7))
    ]
    assert 0.93 <= float(np.mean(held)) <= 0.97
