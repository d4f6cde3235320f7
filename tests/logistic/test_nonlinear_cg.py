"""Nonlinear conjugate gradients end at the optimum and say how near, in low precision and in a shared basis too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from effrob.heads import few_shot as fewshot
from effrob.heads.few_shot import Draw, fit_few_shot
from effrob.heads.splits import draw_shots
from effrob.logistic.eigenbasis import Eigenbasis
from effrob.logistic.feature_blocks import FeatureBlocks
from effrob.logistic.nonlinear_cg import NonlinearCG, NonlinearCGSettings
from effrob.logistic.regularization_path import FitSettings, fit_path
from effrob.logistic.solution import Minimum

K, D, SHOTS = 12, 40, 6


def drawn(kind: str = "centred", n: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Float32 rows of K classes; `rectified` ones are correlated and far from centred, `separable` ones far apart."""
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(K), rng.integers(0, K, n - K)])
    apart = 5.0 if kind == "separable" else 1.0
    x = (rng.normal(size=(n, D)) + apart * rng.normal(size=(K, D))[y]) / np.sqrt(1 + np.arange(D))
    if kind == "rectified":
        x = np.maximum(x @ rng.normal(size=(D, D)), 0)
    return x.astype(np.float32), y


def objective(c: float, coef: np.ndarray, intercept: np.ndarray, x: np.ndarray, y: np.ndarray) -> float:
    scores = torch.from_numpy(x.astype(np.float64) @ coef.T + intercept)
    loss = torch.nn.functional.cross_entropy(scores, torch.from_numpy(y), reduction="sum")
    return c * float(loss) + 0.5 * float((coef**2).sum())


def optimum(c: float, x: np.ndarray, y: np.ndarray) -> float:
    """Of a float64 solver of another kind."""
    best = LogisticRegression(C=c, tol=1e-10, max_iter=20000).fit(x.astype(np.float64), y)
    (ours,) = fit_path(
        FeatureBlocks.measure(x, dtype=torch.float64), y, int(y.max()) + 1, [c], settings=FitSettings(1e-12)
    )
    return min(objective(c, best.coef_, best.intercept_, x, y), objective(c, ours.coef, ours.intercept, x, y))


def descended(x: np.ndarray, y: np.ndarray, share: float, **options: Any) -> tuple[Minimum, float, torch.Tensor]:
    """The minimum, its relative gap in truth, and the true gradient there."""
    blocks = FeatureBlocks.measure(x, resident=True)
    basis = Eigenbasis.of(blocks)
    rows = basis.transform(blocks)
    penalty = share * blocks.spread / blocks.unit**2
    led = options.pop("led", 0)
    penalties = [penalty * 10.0**i for i in range(led, -1, -1)]
    labels, variances = torch.from_numpy(y), basis.variances / blocks.unit**2
    given = (options.pop("rows_low", rows.bfloat16()), options.pop("settings", NonlinearCGSettings()))
    solver = NonlinearCG(rows, labels, int(y.max()) + 1, variances, *given)
    done = solver.minimize(penalties, **{"tol": 3e-7, "max_evaluations": 300, **options})
    chance = torch.softmax(rows.double() @ done.theta.T, 1)
    value = -float(chance.gather(1, labels.unsqueeze(1)).log().mean())
    value += penalty / 2 * float(done.theta[:, :-1].square().sum())
    residual = chance - torch.nn.functional.one_hot(labels)
    gradient = residual.T @ rows.double() / len(x)
    gradient[:, :-1] += penalty * done.theta[:, :-1]
    assert done.value == pytest.approx(value, rel=1e-6)
    c = 1 / (share * len(x) * blocks.spread)
    return done, value * c * len(x) / optimum(c, x, y) - 1, gradient


@pytest.mark.parametrize("kind", ["centred", "rectified", "separable"])
@pytest.mark.parametrize("share", [1e-1, 1e-2, 1e-3, 1e-4, 1e-5])
def test_it_ends_at_the_optimum_and_says_how_near(kind: str, share: float) -> None:
    done, gap, gradient = descended(*drawn(kind), share)
    assert done.reason == "gap" and done.gap <= 3e-7
    assert gap < 1e-6
    # what bfloat16 loses is little beside what is left, and not a part of the gradient at nothing
    assert float((done.gradient - gradient).norm()) < 0.3 * float(gradient.norm()) + 1e-7


def test_a_weak_penalty_is_come_to_through_stronger_ones() -> None:
    x, y = drawn("separable")
    done, gap, _ = descended(x, y, 1e-6, led=1)
    assert done.reason == "gap" and gap < 1e-6


def test_a_step_that_saturates_all_rows_does_not_strand_it() -> None:
    """Curvature measured there would send the next steps anywhere: without its floor these fits are lost."""
    rng = np.random.default_rng(0)
    spectrum = 1 / np.sqrt(1 + np.arange(150))
    means = rng.normal(size=(60, 150)) + rng.normal(size=(60, 150))
    x = np.concatenate([means, means + 0.1 * rng.normal(size=means.shape)]) * spectrum
    x, y = x.astype(np.float32), np.tile(np.arange(60), 2)
    done, gap, _ = descended(x, y, 1e-5)
    assert done.reason == "gap" and gap < 1e-6
    no_floor = NonlinearCGSettings(saturation_margin=float("inf"))
    assert descended(x, y, 1e-5, settings=no_floor)[0].reason != "gap"


@pytest.mark.parametrize("share", [1e-2, 1e-4])
def test_low_precision_rows_lead_to_the_optimum_of_the_rows_themselves(share: float) -> None:
    """Also of fewer digits than bfloat16 has, and as soon: a line search that told slopes by them would go on for ever."""
    x, y = drawn("rectified")
    blocks = FeatureBlocks.measure(x, resident=True)
    rows = Eigenbasis.of(blocks).transform(blocks)
    exponent = torch.exp2(torch.floor(torch.log2(rows.abs().clamp_min(1e-30))) - 5)
    done, gap, _ = descended(x, y, share, rows_low=torch.round(rows / exponent) * exponent, tol=1e-7)
    exact, _, _ = descended(x, y, share, rows_low=None, tol=1e-7)
    assert done.reason == "gap" and gap < 1e-6
    assert done.evaluations <= exact.evaluations + 5


@pytest.mark.parametrize("tol", [1e-2, 1e-4, 1e-6])
def test_the_gap_is_told_where_it_stops_early(tol: float) -> None:
    """Where it comes near fast, and where it does not: few correlated features, and a penalty that is next to nothing."""
    for share, long in ((1e-4, 2.0), (1e-6, 3.0)):
        rng = np.random.default_rng(0)
        y = np.concatenate([np.arange(K), rng.integers(0, K, 388)])
        x = (rng.normal(size=(400, 20)) + rng.normal(size=(K, 20))[y]) @ rng.normal(size=(20, 20))
        done, gap, _ = descended(np.maximum(x, 0).astype(np.float32), y, share, tol=tol)
        assert done.reason == "gap" and 0 < gap < long * done.gap <= long * tol


def test_a_fit_without_passes_left_says_so() -> None:
    done, gap, _ = descended(*drawn("rectified"), 1e-4, max_evaluations=6)
    assert done.reason == "cap" and gap > 3e-7 and done.gap > 3e-7


def test_features_that_tell_nothing_leave_every_class_as_likely() -> None:
    x, y = np.full((4 * K, 5), 7.0, dtype=np.float32), np.tile(np.arange(K), 4)
    for point, _ in fit_few_shot(x, y, K, [Draw(4, 0)]).values():
        assert not point.coef.any() and not point.intercept.any() and point.report.reason == "gap"


def test_in_the_eigenbasis_the_covariance_is_diagonal() -> None:
    x, _ = drawn("rectified")
    x[:, 3] *= 40.0
    blocks = FeatureBlocks.measure(x, resident=True)
    basis = Eigenbasis.of(blocks)
    rows = basis.transform(blocks)
    assert torch.equal(rows[:, -1], torch.ones(len(x)))
    along = rows[:, :-1].double() * blocks.unit
    covariance = along.T @ along / len(x)
    assert torch.allclose(covariance.diagonal(), basis.variances, atol=1e-5 * float(basis.variances.max()))
    assert float((covariance - covariance.diagonal().diag()).abs().max()) < 1e-5 * float(basis.variances.max())
    theta = torch.randn(K, D + 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    back = basis.inverse_transform(theta)
    plain = torch.from_numpy(x).double() - blocks.centre
    scores = plain / blocks.unit @ back[:, :-1].T + back[:, -1]
    assert torch.allclose(scores, rows.double() @ theta.T, atol=1e-4)
    assert float(back[:, :-1].norm()) == pytest.approx(float(theta[:, :-1].norm()), rel=1e-5)


@pytest.mark.parametrize("features", [D, 100, 400])
def test_draws_of_a_call_share_a_basis_and_not_answers(features: int) -> None:
    """With fewer features than rows, with more than the small draws have, and with more than any: as each alone."""
    rng = np.random.default_rng(1)
    x, y = drawn(n=K * 40)
    x = np.concatenate([x, rng.normal(size=(len(x), features - D)).astype(np.float32)], 1)
    draws = [Draw(shots, seed) for shots in (1, 3, 16) for seed in range(2)]
    together = fit_few_shot(x, y, K, draws, strength=1.0)
    for draw in draws:
        point, places = together[draw]
        ((alone, same),) = fit_few_shot(x, y, K, [draw], strength=1.0).values()
        assert np.array_equal(places, same)
        values = [objective(1.0, p.coef, p.intercept, x[places], y[places]) for p in (point, alone)]
        assert values[0] == pytest.approx(values[1], rel=1e-6)
        assert values[0] == pytest.approx(point.report.objective, rel=1e-6)


@pytest.mark.parametrize(
    ("strength", "changed"),
    [(1e6, {}), (1.0, {"MAX_STEPS": 3}), (1.0, {"IN_MEMORY_LIMIT": {"cpu": K * K}}), (1.0, {"MIN_TOL": 1.0})],
)
def test_other_draws_are_solved_as_any_other_probe(
    strength: float, changed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A weak penalty, a solve that does not get there, many rows, and more digits than float32 has."""
    asked: list[float] = []

    def counted(*given: Any, **options: Any) -> Any:
        asked.extend(given[3])
        return fit_path(*given, **options)

    for name, value in changed.items():
        monkeypatch.setattr(fewshot, name, value)
    monkeypatch.setattr(fewshot, "fit_path", counted)
    x, y = drawn()
    ((point, places),) = fit_few_shot(x, y, K, [Draw(SHOTS, 0)], strength=strength).values()
    assert asked == [strength]
    best = optimum(strength, x[places], y[places])
    assert objective(strength, point.coef, point.intercept, x[places], y[places]) < best * (1 + 1e-6)


def test_a_row_far_off_in_a_larger_draw_costs_a_smaller_one_no_digits() -> None:
    x, y = drawn(n=K * 40)
    four, sixteen = draw_shots(y, K, 4, 0), draw_shots(y, K, 16, 0)
    x[np.setdiff1d(sixteen, four)[0]] *= 1e6
    ((alone, _),) = fit_few_shot(x, y, K, [Draw(4, 0)]).values()
    point, places = fit_few_shot(x, y, K, [Draw(4, 0), Draw(16, 0)])[Draw(4, 0)]
    assert pytest.approx(alone.report.C, rel=1e-5) == point.report.C
    value = objective(alone.report.C, point.coef, point.intercept, x[places], y[places])
    assert value == pytest.approx(
        objective(alone.report.C, alone.coef, alone.intercept, x[places], y[places]), rel=1e-6
    )
    assert value == pytest.approx(point.report.objective, rel=1e-6)


def test_an_eigenbasis_that_float32_does_not_find_is_found_in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    """As happens where half of a thousand features are constant."""
    eigh, asked = torch.linalg.eigh, []

    def failing(matrix: torch.Tensor) -> Any:
        asked.append(matrix.dtype)
        if matrix.dtype == torch.float32:
            raise torch.linalg.LinAlgError("did not converge")
        return eigh(matrix)

    monkeypatch.setattr(torch.linalg, "eigh", failing)
    x, y = drawn()
    ((point, places),) = fit_few_shot(x, y, K, [Draw(SHOTS, 0)], strength=0.1).values()
    assert asked == [torch.float32, torch.float64]
    best = optimum(0.1, x[places], y[places])
    assert objective(0.1, point.coef, point.intercept, x[places], y[places]) < best * (1 + 1e-6)


def test_what_cannot_be_drawn_or_fitted_is_said_in_a_sentence() -> None:
    x, y = drawn(n=K * 20)
    draws = [Draw(2, 0)]
    for wrong, told in (
        ({"source": x[:50]}, "50 rows of features and 240 labels"),
        ({"rows": np.arange(len(y)) + 1}, "rows must lie in 0..239, and they span 1..240"),
        ({"source": x[:0], "labels": y[:0]}, "needs at least one row"),
        ({"labels": y.astype(float)}, "labels must be whole numbers"),
        ({"tol": 0.0}, "the tolerance must be finite and above 0, and it was 0.0"),
        ({"strength": -1.0}, "C must be finite and above 0"),
        ({"source": x.astype(float) * 1e-160}, "C must be finite and above 0, and it was .inf."),
        ({"draws": [Draw(0, 0)]}, "at least 1 shot"),
    ):
        given = {"source": x, "labels": y, "n_classes": K, "draws": draws, **wrong}
        with pytest.raises(ValueError, match=told):
            fit_few_shot(**given)
    bad = x.copy()
    row = draw_shots(y, K, 2, 0)[5]
    bad[row] = np.inf
    with pytest.raises(ValueError, match=f"first in row {row}"):
        fit_few_shot(bad, y, K, draws)
    with pytest.warns(ConvergenceWarning, match="C = 1e.300 stopped"):
        ((point, _),) = fit_few_shot(
            x, y.astype(np.uint8), K, draws, strength=1e300, rows=np.ones(len(y), bool)
        ).values()
    assert np.isfinite(point.coef).all()
