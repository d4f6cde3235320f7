"""LinearProbe against scikit-learn, the first-order condition and awkward data."""

from __future__ import annotations

import dataclasses
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import check_estimator

from effrob.heads.linear import LinearProbe
from effrob.heads.splits import split
from effrob.logistic.feature_blocks import FeatureBlocks
from effrob.logistic.regularization_path import FitSettings, fit_path


def drawn(n: int, d: int, k: int, seed: int = 0, apart: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Class means and noise of falling spectrum, float64; every class has a row."""
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
    spectrum = 1 / np.sqrt(1 + np.arange(d))
    return (rng.normal(size=(n, d)) + apart * rng.normal(size=(k, d))[y]) * spectrum + 3.0, y


def objective(c: float, coef: np.ndarray, intercept: np.ndarray, x: np.ndarray, y: np.ndarray, w=1.0) -> float:
    """scikit-learn's, recomputed: two classes have one row of coefficients."""
    scores = x @ coef.T + intercept
    if len(coef) == 1:
        scores = np.concatenate([np.zeros_like(scores), scores], axis=1)
    top = scores.max(axis=1)
    loss = top + np.log(np.exp(scores - top[:, None]).sum(axis=1)) - scores[np.arange(len(y)), y]
    return float(c * (w * loss).sum() + 0.5 * (coef**2).sum())


def reference(c: float, x: np.ndarray, y: np.ndarray, w=None) -> LogisticRegression:
    return LogisticRegression(C=c, tol=1e-10, max_iter=20000).fit(x, y, w)


@pytest.mark.parametrize(("n", "d", "k"), [(300, 12, 5), (300, 12, 2), (40, 60, 4), (30, 60, 2), (20, 20, 3)])
@pytest.mark.parametrize("c", [1e-3, 1.0, 100.0])
def test_coefficients_and_objective_are_those_of_a_converged_reference(n: int, d: int, k: int, c: float) -> None:
    x, y = drawn(n, d, k)
    w = np.random.default_rng(1).uniform(0.1, 3.0, n)
    for weights in (None, w):
        ours, theirs = LinearProbe(C=c).fit(x, y, weights), reference(c, x, y, weights)
        assert ours.coef_.shape == theirs.coef_.shape and ours.intercept_.shape == theirs.intercept_.shape
        assert np.abs(ours.coef_ - theirs.coef_).max() <= 1e-3 * np.abs(theirs.coef_).max()
        assert np.allclose(ours.predict_proba(x), theirs.predict_proba(x), atol=1e-4)
        mine = objective(c, ours.coef_, ours.intercept_, x, y, 1.0 if weights is None else weights)
        best = objective(c, theirs.coef_, theirs.intercept_, x, y, 1.0 if weights is None else weights)
        assert mine <= best * (1 + 1e-9)
        assert ours.objective_ == pytest.approx(mine, rel=1e-9)


def test_scikit_learns_own_checks_pass() -> None:
    results = check_estimator(LinearProbe(), on_fail="raise", on_skip=None)
    assert len(results) > 50 and all(r["status"] in ("passed", "skipped") for r in results)
    assert [r["check_name"] for r in results if r["status"] == "skipped"] == ["check_array_api_input"]


def test_it_clones_pickles_and_is_searched_over() -> None:
    x, y = drawn(200, 8, 3)
    probe = LinearProbe(C=0.3, Cs=[0.1, 1.0], held_out=0.2, tol=1e-8).fit(x, y)
    assert clone(probe).get_params() == probe.get_params() and not hasattr(clone(probe), "coef_")
    back = pickle.loads(pickle.dumps(probe))
    assert np.array_equal(back.predict_proba(x), probe.predict_proba(x))
    found = GridSearchCV(LinearProbe(), {"C": [1e-4, 1.0]}, cv=3).fit(x, y)
    assert found.best_params_ == {"C": 1.0} and found.best_score_ > 0.5


@pytest.mark.parametrize("kind", ["in memory", "streamed"])
def test_rows_in_memory_and_streamed_come_to_the_same_optimum(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Float32, lead strengths on few rows, weights: the path of L-BFGS and that of Newton against float64."""
    if kind == "streamed":
        monkeypatch.setattr("effrob.logistic.regularization_path.IN_MEMORY_LIMIT", {"cpu": 4000})
    x, y = drawn(3000, 30, 6)
    w = np.random.default_rng(3).uniform(0.2, 2.0, 3000)
    strengths = [1e-4, 0.01, 1.0, 100.0]
    points = fit_path(FeatureBlocks.measure(x.astype(np.float32), weights=w), y, 6, strengths, weights=w)
    exact = FeatureBlocks.measure(x.astype(np.float32), weights=w, dtype=torch.float64)
    for point, best in zip(points, fit_path(exact, y, 6, strengths, weights=w, settings=FitSettings(1e-11))):
        assert point.report.reason == "gap" and (kind == "streamed" or point.report.precision == "float32")
        assert -1e-7 <= point.report.objective / best.report.objective - 1 <= 2e-6
    rough = fit_path(FeatureBlocks.measure(x.astype(np.float32)), y, 6, [1.0], settings=FitSettings(0.05))[0]
    assert rough.report.objective == pytest.approx(objective(1.0, rough.coef, rough.intercept, x, y), rel=1e-5)


@pytest.mark.parametrize(("n", "d", "k"), [(300, 12, 5), (300, 12, 2), (30, 60, 4)])
@pytest.mark.parametrize("c", [1e-2, 1.0, 100.0])
def test_the_optimum_meets_the_first_order_condition(n: int, d: int, k: int, c: float) -> None:
    """C x (p - onehot)ᵀ x + W = 0 and no pull on the intercept: to 1e-6 of ||W||."""
    x, y = drawn(n, d, k)
    probe = LinearProbe(C=c).fit(x, y)
    apart = probe.predict_proba(x) - np.eye(k)[y]
    coef = probe.coef_
    if k == 2:
        apart = apart[:, 1:]
    pull = c * apart.T @ x + coef - c * apart.sum(axis=0)[:, None] * x.mean(axis=0)
    assert np.linalg.norm(pull) <= 1e-6 * np.linalg.norm(coef)
    assert np.abs(apart.sum(axis=0)).max() <= 1e-6 * n
    if k > 2:
        assert np.abs(probe.coef_.sum(axis=0)).max() < 1e-12 * n and abs(probe.intercept_.sum()) < 1e-9


@pytest.mark.parametrize("kind", ["in memory", "streamed"])
def test_what_misleads_a_solver_does_not_this_one(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Warm starts worse than none, one row that is all of the variance, and intercepts that nothing holds."""
    if kind == "streamed":
        monkeypatch.setattr("effrob.logistic.regularization_path.IN_MEMORY_LIMIT", {"cpu": 10})
    x, y = drawn(800, 10, 5, apart=3.0)
    features = FeatureBlocks.measure(x.astype(np.float32))
    (best,) = fit_path(features, y, 5, [1.0])
    for factor in (-1.0, 30.0, 1e4):
        start = dataclasses.replace(best, coef=best.coef * factor, intercept=best.intercept * factor)
        (point,) = fit_path(features, y, 5, [1.0], start=start)
        assert point.report.objective == pytest.approx(best.report.objective, rel=2e-6)
    x, y = drawn(60, 5, 3, apart=0.0)
    x[0] = 1e4
    (point,) = fit_path(FeatureBlocks.measure(x, dtype=torch.float64), y, 3, [1.0], settings=FitSettings(3e-14))
    theirs = reference(1.0, x - x.mean(axis=0), y)
    assert objective(1.0, point.coef, point.intercept, x, y) <= (1 + 1e-6) * objective(
        1.0, theirs.coef_, theirs.intercept_, x - x.mean(axis=0), y
    )
    x, y = drawn(30, 5, 30)
    for strengths in ([1.0], [1e-10, 1e-3, 1.0, 1e3]):
        path = fit_path(FeatureBlocks.measure(x, dtype=torch.float64), y, 30, strengths, settings=FitSettings(3e-14))
        point = path[strengths.index(1.0)]
        told = objective(1.0, point.coef, point.intercept, x, y)
        assert point.report.objective == pytest.approx(told, rel=1e-11)


def test_a_path_is_in_the_order_asked_and_equal_to_single_fits() -> None:
    x, y = drawn(400, 10, 4)
    strengths = [10.0, 0.01, 1.0, 10.0]
    path = LinearProbe(Cs=strengths).path(x, y)
    assert len(path) == 4 and path[0][0].shape == (4, 10) and path[0][1].shape == (4,)
    for c, (coef, intercept) in zip(strengths, path):
        alone = LinearProbe(C=c).fit(x, y)
        assert np.allclose(coef, alone.coef_, atol=1e-4 * np.abs(alone.coef_).max())
        assert np.allclose(coef @ x.T + intercept[:, None], alone.decision_function(x).T, atol=1e-3)


def test_the_choice_is_the_best_of_the_held_out_rows_and_is_fitted_on_all() -> None:
    x, y = drawn(300, 30, 4, apart=0.4)
    strengths = [1e-4, 1e-2, 1.0, 100.0]
    probe = LinearProbe(Cs=strengths, held_out=0.2, random_state=5).fit(x, y)
    parts = split(y, 0.2, 5)
    right = [reference(c, x[parts.kept], y[parts.kept]).score(x[parts.held_out], y[parts.held_out]) for c in strengths]
    assert [one["held_out_accuracy"] for one in probe.sweep_] == pytest.approx(right)
    assert right[strengths.index(probe.C_)] == max(right)
    assert np.allclose(probe.coef_, reference(probe.C_, x, y).coef_, atol=1e-3 * np.abs(probe.coef_).max())


def test_a_memory_map_is_streamed_and_gives_the_same(tmp_path) -> None:
    x, y = drawn(500, 9, 3)
    np.save(tmp_path / "x.npy", x.astype(np.float32))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    a, b = LinearProbe().fit(mapped, y), LinearProbe().fit(np.array(mapped), y)
    assert np.allclose(a.coef_, b.coef_, atol=1e-6)
    blocks = FeatureBlocks.measure(mapped, block_rows=64)
    assert blocks.resident is None and len(list(blocks.blocks())) == 8


def test_a_large_fit_in_float32_is_as_close_to_the_optimum_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("effrob.heads.linear.SMALL", 0)
    x, y = drawn(1500, 40, 8)
    x = x.astype(np.float32)
    for c in (0.01, 1.0, 1000.0):
        probe, best = LinearProbe(C=c).fit(x, y), LinearProbe(C=c, tol=1e-11).fit(x.astype(np.float64), y)
        apart = probe.objective_ / objective(c, best.coef_, best.intercept_, x.astype(np.float64), y) - 1
        assert probe.report_.precision == "float32" and -1e-7 <= apart <= 2e-6
        assert probe.gap_ <= 5e-7 and probe.report_.reason == "gap"


def test_awkward_data() -> None:
    x, y = drawn(120, 6, 3)
    separable = x.copy()
    separable[:, 0] += 100 * y
    constant = np.concatenate([x, np.full((120, 2), 7.0)], axis=1)
    huge = x * np.array([1e8, 1e-8, 1, 1, 1, 1])
    for c in (1e-3, 1.0, 1e4):
        for rows in (separable, constant):
            ours, theirs = LinearProbe(C=c).fit(rows, y), reference(c, rows - rows.mean(axis=0), y)
            mine = objective(c, ours.coef_, ours.intercept_, rows, y)
            assert mine <= objective(c, theirs.coef_, theirs.intercept_, rows - rows.mean(axis=0), y) * (1 + 1e-6)
        assert LinearProbe(C=c).fit(separable, y).score(separable, y) == 1.0
        assert np.allclose(ours.coef_[:, 6:], 0)
    probe = LinearProbe().fit(huge, y)
    assert np.isfinite(probe.coef_).all() and probe.score(huge, y) > 0.5
    twice = LinearProbe(C=0.5).fit(np.concatenate([x, x]), np.concatenate([y, y]))
    assert np.allclose(twice.coef_, LinearProbe(C=1.0).fit(x, y).coef_, atol=1e-6)
    far = LinearProbe().fit(x + 1e6, y)
    assert np.allclose(far.coef_, LinearProbe().fit(x, y).coef_, atol=1e-4)
    in_order = np.argsort(y, kind="stable")  # blocks of one class each
    assert np.allclose(LinearProbe().fit(x[in_order], y[in_order]).coef_, LinearProbe().fit(x, y).coef_, atol=1e-6)


def test_what_cannot_be_fitted_is_said_in_a_sentence() -> None:
    x, y = drawn(30, 4, 3)
    for wrong, told in (
        (lambda: LinearProbe().fit(np.where(x > 3, np.nan, x), y), "NaN"),
        (lambda: LinearProbe().fit(x, np.zeros(30)), "at least 2 classes, and there is 1 class"),
        (lambda: LinearProbe().fit(x, y[:-1]), "inconsistent numbers of samples"),
        (lambda: LinearProbe().fit(x, y).predict(x[:, :3]), "3 features"),
        (lambda: LinearProbe(C=0).fit(x, y), "finite and above 0"),
        (lambda: LinearProbe(Cs=[]).fit(x, y), "empty list"),
        (lambda: LinearProbe(Cs=[1.0, 2.0], held_out=1.5).fit(x, y), "between 0 and 1"),
        (lambda: LinearProbe().fit(x, y, -np.ones(30)), "Negative"),
        (lambda: fit_path(FeatureBlocks.measure(x), y, 5, [1.0]), "2 of 5 classes have no training row"),
        (lambda: fit_path(FeatureBlocks.measure(x), y[:-1], 3, [1.0]), "30 rows of features and 29 labels"),
        (lambda: FeatureBlocks.measure(x[:0]), "at least one row"),
    ):
        with pytest.raises(ValueError, match=told):
            wrong()


def test_a_fit_that_was_cut_short_warns_and_says_so() -> None:
    x, y = drawn(300, 40, 5)
    with pytest.warns(ConvergenceWarning, match="C = 1000 stopped after"):
        probe = LinearProbe(C=1000.0, max_iter=5).fit(x, y)
    assert probe.report_.reason == "cap" and probe.gap_ > 1e-6
