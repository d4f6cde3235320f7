"""The losses against finite differences and each other; combinations of iterates; steps from far off."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from effrob.logistic.feature_blocks import FeatureBlocks
from effrob.logistic.in_memory_loss import InMemoryLoss
from effrob.logistic.losses import Iterate
from effrob.logistic.newton_cg import NewtonCG
from effrob.logistic.streamed_loss import StreamedLoss


def drawn(n: int, d: int, k: int, seed: int = 0, apart: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Class means and noise of falling spectrum, float64; every class has a row."""
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
    spectrum = 1 / np.sqrt(1 + np.arange(d))
    return (rng.normal(size=(n, d)) + apart * rng.normal(size=(k, d))[y]) * spectrum + 3.0, y


def objective(c: float, coef: np.ndarray, intercept: np.ndarray, x: np.ndarray, y: np.ndarray, w=1.0) -> float:
    """scikit-learn's, recomputed."""
    scores = x @ coef.T + intercept
    top = scores.max(axis=1)
    loss = top + np.log(np.exp(scores - top[:, None]).sum(axis=1)) - scores[np.arange(len(y)), y]
    return float(c * (w * loss).sum() + 0.5 * (coef**2).sum())


def losses(
    x: np.ndarray, y: np.ndarray, w: torch.Tensor, k: int, block_rows: int = 17
) -> tuple[InMemoryLoss, StreamedLoss]:
    """The same loss in memory and streamed, in several blocks of float64."""
    blocks = FeatureBlocks.measure(x, weights=w.numpy(), dtype=torch.float64, block_rows=block_rows)
    labels = torch.from_numpy(y)
    assert blocks.resident is not None
    in_memory = InMemoryLoss(blocks.resident, labels, w, blocks.scale, k, block_rows)
    return in_memory, StreamedLoss(blocks, labels, w, float(w.sum()))


def test_the_gradient_is_that_of_finite_differences() -> None:
    """In the solver's own coordinates, with weights, in several blocks, at a random place; so is the Hessian's product."""
    x, y = drawn(60, 7, 4)
    w = torch.from_numpy(np.random.default_rng(2).uniform(0.2, 2, 60))
    seeded, penalty = torch.Generator().manual_seed(0), 0.03
    theta, direction = (torch.randn(4, 8, dtype=torch.float64, generator=seeded) for _ in range(2))
    in_memory, streamed = losses(x, y, w, 4)
    blocks = streamed.features
    for loss in (in_memory, streamed):
        value, gradient = loss.evaluate(theta, penalty)
        step = 1e-6
        for place in np.ndindex(4, 8):
            there, back = theta.clone(), theta.clone()
            there[place] += step
            back[place] -= step
            slope = (loss.evaluate(there, penalty).value - loss.evaluate(back, penalty).value) / (2 * step)
            assert float(gradient[place]) == pytest.approx(float(slope), rel=1e-5, abs=1e-8)
        scaled = blocks.take(slice(0, 60)).numpy() * blocks.scale.numpy()
        wanted = objective(1.0, theta[:, :-1].numpy(), theta[:, -1].numpy(), scaled, y, w.numpy())
        weight = float(theta[..., :-1].square().sum())
        assert float(value) == pytest.approx((wanted - weight / 2) / float(w.sum()) + penalty / 2 * weight, rel=1e-12)
    assert streamed.value(theta, penalty) == pytest.approx(float(value), rel=1e-12)
    ahead, behind = theta + 1e-6 * direction, theta - 1e-6 * direction
    change = in_memory.evaluate(ahead, penalty).gradient - in_memory.evaluate(behind, penalty).gradient
    in_memory.evaluate(theta, penalty)
    product = in_memory.hessian_product(direction, penalty, low_precision=True)[1]
    assert torch.allclose(product, change / 2e-6, rtol=1e-5, atol=1e-8)
    for a, b in zip(in_memory.moments(theta, penalty), streamed.moments(theta, penalty)):
        assert torch.allclose(a, b, rtol=0.2, atol=0.05 * float(a.abs().max()))


def test_a_combination_of_iterates_is_no_worse_than_asked_and_near_the_best() -> None:
    x, y = drawn(200, 9, 4)
    loss, _ = losses(x, y, torch.ones(200, dtype=torch.float64), 4)
    seeded, penalty = torch.Generator().manual_seed(1), 1e-4
    iterates = [loss.iterate(torch.randn(4, 10, dtype=torch.float64, generator=seeded)) for _ in range(3)]
    best = loss.combine(iterates, [0.2, 0.3, 0.5], penalty)
    asked = loss.value(sum(factor * one.theta for factor, one in zip((0.2, 0.3, 0.5), iterates)), penalty)
    value = loss.value(best.theta, penalty)
    assert value < asked and loss.evaluate(best.theta, penalty, best.logits).value == pytest.approx(value, rel=1e-12)
    for _ in range(8):  # repeated, until no combination is better
        best = loss.combine([*iterates, best], [0.0, 0.0, 0.0, 1.0], penalty)
    gradient = loss.evaluate(best.theta, penalty).gradient
    assert all(abs(float((gradient * one.theta).sum())) < 1e-6 for one in iterates)


def test_a_step_whose_model_goes_too_far_is_shortened() -> None:
    """From far off, where all rows are saturated and wrong: the first quadratic model's minimum lies beyond f's."""
    x, y = drawn(300, 10, 5)
    loss, _ = losses(x, y, torch.ones(300, dtype=torch.float64), 5)
    far = 30 * torch.randn(5, 11, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    solver = NewtonCG(loss)
    ended, best = (solver.minimize(Iterate(start), 1e-6, tol=1e-10, max_evaluations=2000) for start in (far, 0 * far))
    assert ended.reason == best.reason == "gap" and ended.value == pytest.approx(best.value, rel=1e-9)
