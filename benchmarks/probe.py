"""The linear probe against scikit-learn's LogisticRegression(lbfgs): processor seconds and objectives, on the same arrays.

Both solvers get the same array, in float32 as features are cached and in float64 as scikit-learn's own examples have it; both
objectives are recomputed in float64.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import Finding, call
from benchmarks.probe_problems import Floats, Labels, features, objective, theirs

EIGHT = tuple(float(c) for c in np.logspace(-2, 3, 8).round(4))
DTYPES = ("float32", "float64")
NETWORKS = ("pocket:lenet", "pocket:clip")


def path(
    work: Path, repeats: int, kinds: Sequence[str] = ("rectified", "centred"), dtypes: Sequence[str] = DTYPES
) -> list[Finding]:
    """8 strengths, N = 8000, D = 512, K = 100: the whole path against one fit a strength."""
    from effrob.heads.linear import LinearProbe

    found = []
    for kind, dtype in itertools.product(kinds, dtypes):
        x, y = features(kind, 8000, 512, 100)
        x = x.astype(dtype)
        LinearProbe().fit(x[:500], y[:500])  # what the first call of a library costs is no one's speed
        points: list[Any] = []
        run = partial(LinearProbe(Cs=EIGHT).path, x, y)
        ours = [call(lambda run=run, points=points: points.append(run())) for _ in range(repeats)]
        cpu = min(cost.cpu for cost in ours)
        mine = [objective(c, *point, x, y) for c, point in zip(EIGHT, points[0])]
        tight = [theirs(c, x, y, tol=1e-6, max_iter=10_000) for c in EIGHT]
        loose = [theirs(c, x, y) for c in EIGHT]
        best = [
            min(objective(c, m.coef_, m.intercept_, x, y) for m in both)
            for c, *both in zip(EIGHT, [m for _, m in tight], [m for _, m in loose])
        ]
        above = max(a / b - 1 for a, b in zip(mine, best))
        short = max(
            objective(c, m.coef_, m.intercept_, x, y) / min(a, b) - 1
            for c, (_, m), a, b in zip(EIGHT, loose, mine, best)
        )
        detail = {"ours": mine, "best of scikit-learn": best, "strengths": EIGHT, "ours, cpu": [c.cpu for c in ours]}
        for name, runs, wanted in (("tol 1e-6", tight, 5.0), ("its default tol", loose, 2.0)):
            seconds = sum(cost.cpu for cost, _ in runs)
            found.append(
                Finding(
                    f"probe path, {kind} {dtype}, N 8000, D 512, K 100, 8 strengths",
                    f"{cpu:.1f} s CPU; objective at most {above:.1e} above scikit-learn's best",
                    f"scikit-learn at {name}: {seconds:.1f} s CPU, {sum(int(m.n_iter_[0]) for _, m in runs)} iterations"
                    + (f", up to {short:.1e} above the optimum" if runs is loose else ""),
                    f"{seconds / cpu:.1f}",
                    f"≥ {wanted:g}, objective ≤ 1e-6 above",
                    seconds / cpu >= wanted and above <= 1e-6,
                    {**detail, "theirs, cpu": [cost.cpu for cost, _ in runs]},
                )
            )
    return found


def few_shot(work: Path, repeats: int) -> list[Finding]:
    """5 shot counts x 3 seeds, K = 100, D = 512, C = 10: one call against a loop; and networks' features at the head's C."""
    found = []
    for kind, dtype in itertools.product(("rectified", "centred"), DTYPES):
        x, y = features(kind, 4000, 512, 100)
        found += _few_shot(f"few-shot, {kind} {dtype}, K 100, D 512", x.astype(dtype), y, 10.0, repeats, 5.0)
    for model in NETWORKS:
        x, y = of_network(model, work)
        found += _few_shot(f"few-shot, features of {model}, K 20, D {x.shape[1]}", x, y, None, repeats, None)
    return found


def _few_shot(
    name: str, x: Floats, y: Labels, strength: float | None, repeats: int, wanted: float | None
) -> list[Finding]:
    """The loop runs at tighter and tighter tolerances, and then in float64, until its objectives are ours to 1e-6.

    Its cost at the first, and at the one that gets there, are told.
    """
    from effrob.heads.few_shot import Draw, Drawn, fit_few_shot

    k = int(y.max()) + 1
    draws = [Draw(shots, seed) for shots in (1, 2, 4, 8, 16) for seed in range(3)]
    fit_few_shot(x, y, k, draws[:1], strength=strength)
    made: list[dict[Draw, Drawn]] = []

    def run() -> None:
        made.append(fit_few_shot(x, y, k, draws, strength=strength))

    cpu = min(call(run).cpu for _ in range(repeats))
    found = []
    dtypes = [str(x.dtype)] if x.dtype == np.float64 else ["float32", "float64"]
    for dtype, tol in itertools.product(dtypes, (1e-6, 1e-7, 1e-8, 1e-9)):
        seconds, above, below = 0.0, 0.0, 0.0
        for point, places in made[0].values():
            c, rows, labels = point.report.C, x[places], y[places]
            cost, model = theirs(c, rows.astype(dtype), labels, tol=tol, max_iter=20_000)
            seconds += cost.cpu
            ours = objective(c, point.coef, point.intercept, rows, labels)
            other = objective(c, model.coef_, model.intercept_, rows, labels)
            above, below = max(above, ours / other - 1), max(below, other / ours - 1)
        same = below <= 1e-6
        if same or (dtype, tol) == (dtypes[0], 1e-6):
            found.append(
                Finding(
                    f"{name}, 1 to 16 shots x 3 seeds",
                    f"{cpu:.2f} s CPU; objective at most {above:.1e} above",
                    f"scikit-learn's loop in {dtype} at tol {tol:g}: {seconds:.1f} s CPU, up to {below:.1e} above ours",
                    f"{seconds / cpu:.1f}",
                    f"≥ {wanted:g}, objective ≤ 1e-6 above" if same and wanted else "told",
                    above <= 1e-6 and not (same and wanted and seconds / cpu < wanted),
                )
            )
        if same:
            break
    return found


def of_network(model: str, work: Path) -> tuple[Floats, Labels]:
    """(4000, D) features of 20 classes as a pocket network gives them and as they are cached, and labels."""
    from effrob.evaluation.evaluator import Evaluation
    from effrob.evaluation.request import Request

    request = Request(
        models=(model,),
        shifts=("pocket",),
        suite="pocket",
        heads=("knn",),
        results=work / "network-results",
        cache=work / "network-cache",
        progress=False,
    )
    evaluation = Evaluation(request)
    evaluation.run()
    cell = evaluation.tasks[0]
    assert cell.train is not None
    train = evaluation._training(cell, cell.train)
    return np.ascontiguousarray(train.array[train.rows]), train.targets


def on_a_network(work: Path, repeats: int) -> list[Finding]:
    """8 strengths on what a network gives: 4,000 pictures of 20 classes, 1024 and 64 features.

    Strengths are a part of rows x variance, from 1e-2 to 1e-7: the features' scale is the network's own.
    """
    from effrob.heads.linear import LinearProbe

    found = []
    for model in NETWORKS:
        x, y = of_network(model, work)
        unit = 1.0 / (len(x) * float(x.var(axis=0, dtype=np.float64).sum()))
        strengths = [unit / share for share in np.logspace(-2, -7, 8)]
        points: list[Any] = []
        run = partial(LinearProbe(Cs=strengths).path, x, y)
        cpu = min(call(lambda run=run, points=points: points.append(run())).cpu for _ in range(repeats))
        mine = [objective(c, *point, x, y) for c, point in zip(strengths, points[0])]
        for name, options in (("tol 1e-6", {"tol": 1e-6, "max_iter": 20_000}), ("its default tol", {})):
            runs = [theirs(c, x, y, **options) for c in strengths]
            other = [objective(c, m.coef_, m.intercept_, x, y) for c, (_, m) in zip(strengths, runs)]
            seconds = sum(cost.cpu for cost, _ in runs)
            above = max(a / b - 1 for a, b in zip(mine, other))
            found.append(
                Finding(
                    f"probe path, features of {model}, N {len(x)}, D {x.shape[1]}, K 20, 8 strengths",
                    f"{cpu:.1f} s CPU; objective at most {above:.1e} above scikit-learn's",
                    f"scikit-learn at {name}: {seconds:.1f} s CPU, {sum(int(m.n_iter_[0]) for _, m in runs)} iterations, "
                    f"up to {max(b / a - 1 for a, b in zip(mine, other)):.1e} above ours",
                    f"{seconds / cpu:.1f}",
                    "told",
                    bool(above <= 1e-6),
                )
            )
    return found
