"""What makes solvers fast must not make them wrong: low precision, diagonal preconditioners, lead-ins on some rows."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning

from effrob.heads.few_shot import Draw, fit_few_shot
from effrob.logistic.feature_blocks import FeatureBlocks
from effrob.logistic.in_memory_loss import InMemoryLoss
from effrob.logistic.lbfgs import LBFGS
from effrob.logistic.losses import Iterate
from effrob.logistic.newton_cg import NewtonCG
from effrob.logistic.preconditioner import Preconditioner
from effrob.logistic.regularization_path import FitSettings, fit_path
from effrob.logistic.streamed_loss import StreamedLoss


def drawn(n: int, d: int, k: int, seed: int = 0, apart: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Float32 class means and noise of falling spectrum; every class has a row."""
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
    spectrum = 1 / np.sqrt(1 + np.arange(d))
    return ((rng.normal(size=(n, d)) + apart * rng.normal(size=(k, d))[y]) * spectrum).astype(np.float32), y


def in_memory(x: np.ndarray, y: np.ndarray, k: int) -> InMemoryLoss:
    blocks = FeatureBlocks.measure(x, resident=True)
    assert blocks.resident is not None
    return InMemoryLoss(blocks.resident, torch.from_numpy(y), None, blocks.scale, k, 64)


def theta_of(k: int, d: int, seed: int) -> torch.Tensor:
    return torch.randn(k, d + 1, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("low", [False, True])
def test_a_low_precision_evaluation_is_wrong_by_a_small_part_of_the_change(low: bool) -> None:
    """At a place a little on, many steps after one another included, against an exact evaluation there."""
    x, y = drawn(300, 20, 6)
    loss, exact, penalty = in_memory(x, y, 6), in_memory(x, y, 6), 0.01
    theta = theta_of(6, 20, 0)
    here = first = loss.evaluate(theta, penalty)
    for seed in range(1, 4):
        theta = theta + 0.1 * theta_of(6, 20, seed)
        here = loss.evaluate(theta, penalty, None, here, low_precision_logits=low)
    there = exact.evaluate(theta, penalty)
    change = float((there.gradient - first.gradient).norm())
    assert float((here.gradient - there.gradient).norm()) < 0.01 * change
    if loss.has_low_precision:
        assert not torch.equal(here.gradient, there.gradient)
    off = abs(float(here.value - there.value))
    assert off < (0.01 * abs(float(there.value - first.value)) if low else 1e-6 * float(there.value))
    assert low or torch.allclose(loss.logits, exact.logits, atol=1e-5)


def test_saturated_rows_keep_their_digits_in_low_precision() -> None:
    """Where p of the right class is 1 but for 1e-6, its change is told by the wrong ones."""
    x, y = drawn(200, 10, 4, apart=6.0)
    loss, exact, penalty = in_memory(x, y, 4), in_memory(x, y, 4), 1e-6
    zero = Iterate(torch.zeros(4, 11, dtype=torch.float64))
    theta = NewtonCG(loss).minimize(zero, penalty, tol=1e-3, max_evaluations=500).theta
    for scale in (1.0, 2.0):
        last, further = loss.evaluate(scale * theta, penalty), 1.01 * scale * theta
        there, here = exact.evaluate(further, penalty), loss.evaluate(further, penalty, None, last)
        change = float((there.gradient - last.gradient).norm())
        assert float((here.gradient - there.gradient).norm()) < 0.01 * change


def test_the_component_common_to_all_classes_is_removed() -> None:
    """In steps, in the optimum, and in a start that has some; preconditioned steps still go downhill."""
    x, y = drawn(300, 12, 5)
    loss, penalty = in_memory(x, y, 5), 1e-3
    start = theta_of(5, 12, 3) + 5.0
    centred = start - start.mean(0)
    gradient = loss.evaluate(centred, penalty).gradient
    step = Preconditioner.of(loss.moments(centred, penalty), penalty).apply(gradient.float())
    assert float(step.mean(0).abs().max()) < 1e-5 * float(step.abs().max())
    assert float((step * gradient).sum()) > 0
    ended, other = (
        NewtonCG(loss).minimize(Iterate(one), penalty, tol=1e-6, max_evaluations=1000) for one in (start, 0 * start)
    )
    assert ended.reason == "gap" and float(ended.theta.mean(0).abs().max()) < 1e-12
    assert ended.value == pytest.approx(other.value, rel=2e-6)


def test_a_diagonal_preconditioner_is_used_where_the_penalty_outweighs_the_features() -> None:
    """... and only there, and the optimum is the same with either."""
    x, y = drawn(400, 16, 5)
    loss, theta = in_memory(x, y, 5), theta_of(5, 16, 0)
    diagonal, full = loss.moments(theta, 10.0), loss.moments(theta, 1e-5)
    assert diagonal.covariance.shape == (16,) and full.covariance.shape == (16, 16)
    assert torch.allclose(diagonal.covariance, full.covariance.diagonal(), rtol=1e-4)
    unit = torch.eye(17, dtype=torch.float32)[:1].expand(5, 17) * torch.tensor([1.0, -1, 0, 0, 0])[:, None]
    alike = [Preconditioner.of(moments, 1e9).apply(unit) for moments in (diagonal, full)]
    assert torch.allclose(*alike, rtol=1e-5)


def test_few_shots_do_not_search_for_what_a_low_precision_value_hides() -> None:
    """A value made of low-precision logits is wrong by more than the last step gains: directional derivatives decide then."""
    x, y = drawn(4000, 128, 50)
    draws = [Draw(8, seed) for seed in range(6)]
    for drawn_ in fit_few_shot(x, y, 50, draws).values():
        assert drawn_.point.report.reason == "gap" and drawn_.point.report.evaluations <= 25


def test_what_float32_has_no_digits_for_ends_in_float64_and_not_at_the_cap() -> None:
    """One feature a hundred times the others, and next to no penalty."""
    x, y = drawn(343, 40, 4, apart=3.0)
    x[:, 0] *= 100
    features = FeatureBlocks.measure(x)
    (point,) = fit_path(features, y, 4, [1e6])
    (best,) = fit_path(FeatureBlocks.measure(x, dtype=torch.float64), y, 4, [1e6], settings=FitSettings(1e-12))
    assert (point.report.reason, point.report.precision) == ("gap", "float64") and point.report.evaluations < 800
    assert point.report.objective <= best.report.objective * (1 + 1e-5)


def test_the_gradient_where_a_strength_ended_is_known_under_the_next_penalty() -> None:
    x, y = drawn(200, 8, 3)
    loss = StreamedLoss(FeatureBlocks.measure(x), torch.from_numpy(y), None, 200.0)
    solver = LBFGS(loss)
    theta = solver.minimize(Iterate(theta_of(3, 8, 0)), 0.1, tol=1e-3, max_evaluations=3).theta
    known = solver.known_gradient(0.02)
    assert known is not None and known[0] is theta
    assert torch.allclose(known[1], loss.evaluate(theta, 0.02).gradient, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("streamed", [False, True])
def test_a_lead_in_that_overfits_its_rows_is_made_again_on_all(streamed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """One row in a hundred of the other class; and rows of which a part can be told apart by 400 features, and all not."""
    if streamed:
        monkeypatch.setattr("effrob.logistic.regularization_path.IN_MEMORY_LIMIT", {"cpu": 4000})
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(4000, 3)).astype(np.float32), (rng.random(4000) < 0.01).astype(np.int64)
    wide = rng.normal(size=(4000, 400)) + 0.3 * rng.normal(size=(10, 400))[(own := rng.integers(0, 10, 4000))]
    for rows, labels, c in ((x, y, 1.0), (wide.astype(np.float32), own, 1e4)):
        k = int(labels.max()) + 1
        for seed in range(3):
            settings = FitSettings(seed=seed)
            (point,) = fit_path(FeatureBlocks.measure(rows), labels, k, [c], settings=settings)
            assert point.report.reason == "gap" and point.report.evaluations < 300
            (best,) = fit_path(FeatureBlocks.measure(rows), labels, k, [c], start=point, settings=FitSettings(1e-8))
            assert point.report.objective <= best.report.objective * (1 + 2e-6)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("size", [1e3, 1e5])
def test_a_row_far_beyond_the_others_does_not_hide_a_gap(
    size: float, streamed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other features are next to nothing beside it: no preconditioner sees how far f still falls along them, convexity does."""
    rng, y = np.random.default_rng(0), np.repeat(np.arange(10), 8)
    x = (rng.normal(size=(10, 20))[y] + rng.normal(size=(80, 20))).astype(np.float32)
    x[17] *= size
    (best,) = fit_path(FeatureBlocks.measure(x, dtype=torch.float64), y, 10, [1.0], settings=FitSettings(1e-11, 5000))
    if streamed:
        monkeypatch.setattr("effrob.logistic.regularization_path.IN_MEMORY_LIMIT", {"cpu": 100})
    (point,) = fit_path(FeatureBlocks.measure(x), y, 10, [1.0])
    gap = point.report.objective / best.report.objective - 1
    assert gap < (3.5e-5 if point.report.reason == "gap" else 140 * point.report.gap)
    assert point.report.gap_bound <= 70.1 * point.report.gap


def test_strengths_next_to_each_other_and_far_apart_make_one_path() -> None:
    x, y = drawn(300, 8, 4)
    features = FeatureBlocks.measure(x)
    for strengths in (
        [1e4, float(np.nextafter(1e4, 2e4)), 3e4],
        [0.7, 0.1 * 7, 2, 7],
        [1, 1 + 1e-9, 3, 10],
        [1, 1.01, 1e3, 1e4],
    ):
        path = fit_path(features, y, 4, strengths)
        for c, point in zip(strengths, path):
            (alone,) = fit_path(features, y, 4, [c])
            assert point.report.objective == pytest.approx(alone.report.objective, rel=2e-6)


def test_rows_without_weight_lead_nowhere() -> None:
    x, y = drawn(6000, 10, 4)
    w = np.zeros(6000)
    w[:60] = 1.0
    (point,) = fit_path(FeatureBlocks.measure(x, weights=w), y, 4, [10.0], weights=w)
    (alone,) = fit_path(FeatureBlocks.measure(x[:60]), y[:60], 4, [10.0])
    assert point.report.objective == pytest.approx(alone.report.objective, rel=2e-6)


def test_a_start_that_leans_on_a_constant_feature_lets_go_of_it() -> None:
    x, y = drawn(400, 8, 3)
    x[:, 3] = 2.0
    features = FeatureBlocks.measure(x)
    (best,) = fit_path(features, y, 3, [1.0])
    coef = best.coef.copy()
    coef[:, 3] = (0.1, -0.1, 0.0)
    (point,) = fit_path(features, y, 3, [1.0], start=replace(best, coef=coef))
    assert point.report.objective == pytest.approx(best.report.objective, rel=1e-6) and np.allclose(point.coef[:, 3], 0)
    for factor in (10.0, -10.0):
        (point,) = fit_path(features, y, 3, [1.0], start=replace(best, coef=best.coef * factor))
        assert point.report.objective == pytest.approx(best.report.objective, rel=2e-6)


def test_a_strength_beyond_what_a_float_holds_is_said_and_one_near_it_is_fitted() -> None:
    x, y = drawn(200, 8, 3)
    for c, scale in ((1e300, 1e10), (1e-300, 1e-20)):
        features = FeatureBlocks.measure(x * np.float32(scale))
        with pytest.raises(ValueError, match=r"with features near .* is beyond float64: rescale one of them"):
            fit_path(features, y, 3, [c])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for c in (1e-290, 1e290):
            (point,) = fit_path(FeatureBlocks.measure(x), y, 3, [c])
            assert np.isfinite(point.coef).all() and np.isfinite(point.intercept).all()
