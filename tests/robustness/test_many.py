"""The p-values of many models at once are those of each alone."""

from __future__ import annotations

import pytest

from effrob.leaderboard.judging.p_values import p_values
from effrob.results.accuracy import Accuracy
from effrob.robustness.effective import Effective, assess
from effrob.robustness.fit import fit
from effrob.robustness.per_image.pairing import Pairing
from model_zoo.published import published
from shifts import suite


@pytest.fixture(scope="module")
def judged() -> list[Effective]:
    """Every fourteenth published row of two tables on every shift, on both scales, and the ends of the scale."""
    found = []
    for row in [*published("testbed"), *published("openclip")][::14]:
        for shift in set(suite("imagenet").shifts) & set(row.accuracies):
            axis = "clean" if row.clean(shift) is not None else "full"
            clean = row.clean(shift, axis)
            assert clean is not None
            for scale in ("logit", "probit"):
                line = fit(shift, axis=axis, scale=scale)
                found.append(assess(line, Accuracy.of(*clean), Accuracy.of(row.accuracies[shift], row.images[shift])))
    line = fit("imagenet-r")
    on_it = line.predicted(0.8)
    odd = [(0.8, 0.0), (0.8, 1.0), (0.001, 0.5), (0.9999, 0.2), (1.0, 0.9), (0.8, on_it), (0.8, on_it + 1e-9)]
    found += [assess(line, Accuracy.of(x, 10_000), Accuracy.of(y, 30_000)) for x, y in odd]
    found += [assess(line, Accuracy.of(0.8, n), Accuracy.of(0.5, n)) for n in (2, 50, 10**9)]
    return [*found, assess(line, None, Accuracy(1, 2)), assess(line, Accuracy(1, 2), None)]


def test_they_are_the_p_values_of_each_alone(judged: list[Effective]) -> None:
    together = p_values(judged)
    assert len(together) == len(judged) > 200
    for one, p in zip(judged, together):
        assert (p is None) == (one.p_value is None)
        if p is not None:
            assert p == pytest.approx(one.p_value, rel=1e-9, abs=0)
    known = [p for p in together if p is not None]
    assert min(known) < 1e-20 and max(known) == 1.0


def test_a_p_under_five_percent_and_the_prediction_interval_never_disagree(judged: list[Effective]) -> None:
    for one, p in zip(judged, p_values(judged)):
        if p is not None and one.pi95 is not None:
            assert (p < 0.05) == (one.pi95[0] > 0 or one.pi95[1] < 0)


def test_order_and_company_change_nothing(judged: list[Effective]) -> None:
    known = [one for one in judged if one.p_value is not None]
    assert p_values(known[::-1]) == pytest.approx(p_values(known)[::-1], rel=1e-9, abs=0)
    assert p_values([]) == []


def test_models_with_per_image_answers_are_among_them() -> None:
    line = fit("imagenet-r")
    alone = assess(line, Accuracy.of(0.8, 10_000), Accuracy.of(0.3, 30_000))
    paired = assess(line, alone.clean, alone.shift, Pairing(variance=1e-5, variance_scale=1e-4, own_noise=1e-4))
    assert p_values([alone, paired]) == pytest.approx([alone.p_value, paired.p_value])
    assert alone.p_value != paired.p_value
