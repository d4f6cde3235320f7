"""A line that is not one says so: bends, breaks, single models that carry it, noise on both axes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from effrob.robustness.diagnostics import break_p, cook_distance, curvature_p, deming_slope, diagnose, loo_error
from effrob.robustness.fit import fit
from effrob.robustness.line import BaselineLine
from effrob.robustness.scale import LINEAR, LOGIT, PROBIT

LOO = {  # published accuracy points of leave-one-out error: logit, probit, linear
    "imagenet-v2": (0.334, 0.352, 0.532),
    "imagenet-r": (1.89, 1.95, 2.50),
    "imagenet-sketch": (2.02, 1.99, 2.23),
    "objectnet": (1.36, 1.37, 1.99),
    "imagenet-a": (2.66, 3.20, 6.41),
}


@pytest.mark.parametrize("shift", LOO)
def test_leave_one_out_error_per_scale(shift: str) -> None:
    line = fit(shift, segments="single").line
    found = [100 * loo_error(line, scale) for scale in (LOGIT, PROBIT, LINEAR)]
    assert found == pytest.approx(LOO[shift], abs=0.006)


def test_leave_one_out_is_refitting_without_each_model() -> None:
    line = fit("objectnet").line
    gaps = []
    for i in range(line.n):
        rest = np.arange(line.n) != i
        other = stats.linregress(line.tx[rest], line.ty[rest])
        gaps.append(abs(line.y[i] - LOGIT.back(other.slope * line.tx[i] + other.intercept)))
    assert loo_error(line, LOGIT) == pytest.approx(np.mean(gaps), rel=1e-9)


def test_only_imagenet_a_bends_and_breaks() -> None:
    for shift in LOO:
        warnings = " ".join(diagnose(fit(shift, segments="single").line).warnings)
        assert ("bend" in warnings) == (shift == "imagenet-a"), shift
        assert ("breaks" in warnings) == (shift == "imagenet-a"), shift


def test_the_model_that_moves_the_sketch_line_is_named() -> None:
    found = diagnose(fit("imagenet-sketch").line)
    assert found.cook_model == "resnet50-vtab-semi-exemplar"
    assert found.cook_max == pytest.approx(0.58, abs=0.01)
    assert "alone moves the line" in " ".join(found.warnings)


def test_cooks_distance_is_how_far_predictions_move() -> None:
    line = fit("imagenet-r").line
    i = 7
    rest = np.arange(line.n) != i
    other = stats.linregress(line.tx[rest], line.ty[rest])
    moved = (line.slope - other.slope) * line.tx + line.intercept - other.intercept
    assert cook_distance(line)[i] == pytest.approx(float(moved @ moved) / (2 * line.residual_std**2), rel=1e-9)


def test_curvature_and_break_are_calibrated_on_straight_lines_and_see_bent_ones() -> None:
    rng = np.random.default_rng(4)
    straight, broken = [], []
    for _ in range(600):
        x = np.sort(rng.uniform(0, 2, 40))
        y = 0.8 * x + 0.1 * rng.standard_normal(40)
        straight.append(curvature_p(x, y) < 0.05)
        broken.append((break_p(x, y) or 1.0) < 0.05)
    assert 0.03 <= np.mean(straight) <= 0.07
    assert 0.03 <= np.mean(broken) <= 0.07
    assert curvature_p(x, y + 0.5 * (x - 1) ** 2) < 1e-6
    assert (break_p(x, y + 0.8 * np.maximum(x - 1, 0)) or 1.0) < 1e-6


def test_the_slope_with_noise_on_both_axes_is_steeper_and_right_where_least_squares_is_too_flat() -> None:
    rng = np.random.default_rng(3)
    n, truth = 400, 0.9
    x = rng.uniform(0, 1.5, 600)
    y = truth * x - 0.5
    seen_x, seen_y = (rng.binomial(n, LOGIT.inverse(t)) / n for t in (x, y))
    names = tuple(map(str, range(600)))
    line = BaselineLine(LOGIT, names, names, seen_x, seen_y, np.full(600, n), np.full(600, n))
    assert line.slope < truth - 0.03
    assert deming_slope(line) == pytest.approx(truth, abs=0.03)
