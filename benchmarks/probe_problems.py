"""The problems that probes are timed on, and scikit-learn's answer to them.

Features are drawn twice over: `rectified` as a network's last layer gives them (not negative, far from centred, correlated),
and `centred` with a falling spectrum.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from benchmarks.measure import Cost, call

Floats = NDArray[np.floating]
Labels = NDArray[np.int64]


def features(kind: str, n: int, d: int, k: int, seed: int = 0) -> tuple[Floats, Labels]:
    """(n, d) float32 features of k classes, and labels; every class has a row."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, k, n)
    y[:k] = np.arange(k)
    if kind == "centred":
        spectrum = (1 + np.arange(d)) ** -0.5
        turned = np.linalg.qr(rng.normal(size=(d, d)))[0]
        return (((rng.normal(size=(n, d)) + 0.7 * rng.normal(size=(k, d))[y]) * spectrum) @ turned).astype(
            np.float32
        ), y
    hidden = min(d // 4, 128)
    latent = (rng.normal(size=(n, hidden)) + rng.normal(size=(k, hidden))[y]) * (1 + np.arange(hidden)) ** -0.5
    drive = latent.astype(np.float32) @ rng.normal(size=(hidden, d)).astype(np.float32)
    return np.maximum(drive + 0.3 * rng.normal(size=(n, d)).astype(np.float32) - 0.5, 0), y


def objective(c: float, coef: Any, intercept: Any, x: Floats, y: Labels) -> float:
    """C x Σ loss + ½ ||W||², in float64, a block at a time."""
    loss = 0.0
    for start in range(0, len(x), 4096):
        scores = x[start : start + 4096].astype(np.float64) @ coef.T + intercept
        top = scores.max(axis=1)
        right = scores[np.arange(len(scores)), y[start : start + 4096]]
        loss += float((top + np.log(np.exp(scores - top[:, None]).sum(axis=1)) - right).sum())
    return c * loss + 0.5 * float((np.asarray(coef, dtype=np.float64) ** 2).sum())


def theirs(c: float, x: Floats, y: Labels, **options: Any) -> tuple[Cost, LogisticRegression]:
    """One strength of scikit-learn's; its warnings of not having converged are what is being measured."""
    made: list[LogisticRegression] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cost = call(lambda: made.append(LogisticRegression(C=c, **options).fit(x, y)))
    return cost, made[0]
