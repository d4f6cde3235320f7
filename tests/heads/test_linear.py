"""LinearProbe against scikit-learn, finite differences, the first-order condition and awkward data."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import check_estimator

from effrob.heads.linear import LinearProbe


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
