"""The linear probe at 50 images of each of 1,000 classes: a path of strengths against scikit-learn, and its peak memory.

`python -m benchmarks.probe_of_imagenet ROWS TOL C [C ...]` prints our half as JSON: a process of its own has a peak of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import Finding, call
from benchmarks.probe_problems import features, objective, theirs

SHAPE = (50_000, 512, 1000)  # rows, features and classes: an ImageNet of 50 images a class
FOUR = (1.0, 100.0, 0.1, 10.0)
TOL, LOOSE = 5e-7, 0.1  # relative gaps: the default, and one that is still under where scikit-learn's default stops


def shape_of_imagenet(work: Path, repeats: int, n: int = SHAPE[0], strengths: Sequence[float] = FOUR) -> list[Finding]:
    """N = 50,000, D = 512, K = 1000: a path of 4 strengths against scikit-learn's default, and peak memory.

    Twice: stopped within a tenth of the optimum, which is lower than where scikit-learn stops, and converged.
    """
    rough, fine = child(n, strengths, LOOSE), child(n, strengths, None)
    x, y = features("rectified", n, *SHAPE[1:])
    seconds, done, theirs_at = 0.0, 0, []
    for c, mine in zip(strengths, fine["objectives"]):
        cost, model = theirs(c, x, y)
        theirs_at.append(objective(c, model.coef_, model.intercept_, x, y))
        seconds, done = seconds + cost.cpu, done + int(model.n_iter_[0])
        print(
            f"C {c:g}: scikit-learn {cost.cpu:.0f} s, {model.n_iter_[0]} iterations, {theirs_at[-1] / mine - 1:+.1e}",
            file=sys.stderr,
        )
    name = f"probe path, rectified, N {n}, D 512, K 1000, {len(strengths)} strengths"
    best = fine["objectives"]
    short = max(other / mine - 1 for other, mine in zip(theirs_at, best))
    reference = f"scikit-learn's default: {seconds:.0f} s CPU, {done} iterations, up to {short:.1e} above the optimum"
    found = []
    for told, how, wanted in ((rough, f"tol {LOOSE:g}", 5.0), (fine, "converged", 0.0)):
        over = max(mine / least - 1 for mine, least in zip(told["objectives"], best))
        lower = all(mine <= other for mine, other in zip(told["objectives"], theirs_at))
        side = "lower" if lower else "not lower"
        ratio = seconds / told["cpu"]
        found.append(
            Finding(
                f"{name}, {how}",
                f"{told['cpu']:.0f} s CPU, up to {over:.1e} above the optimum, {side} on every strength",
                reference,
                f"{ratio:.1f}",
                f"≥ {wanted:g} and lower" if wanted else "lower",
                ratio >= wanted and lower,
                told,
            )
        )
    peak, bound = fine["peak"], fine["bound"]
    found.append(
        Finding(
            name,
            f"peak {peak / 2**20:.0f} MB beside the features",
            f"the stated formula: {bound / 2**20:.0f} MB; N x K in float64 would be {8 * n * 1000 / 2**20:.0f} MB",
            f"{peak / bound:.2f}",
            "≤ 1",
            peak <= bound,
        )
    )
    return found


def child(n: int, strengths: Sequence[float], tol: float | None) -> dict[str, Any]:
    """Our path in a process of its own, so that its peak is its own."""
    command = [sys.executable, "-m", "benchmarks.probe_of_imagenet", str(n), str(tol or TOL), *map(str, strengths)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    out = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
    found: dict[str, Any] = json.loads(out)
    return found


def _resident(what: str) -> int:
    """Bytes of this process: VmRSS now or VmHWM at its peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(what)).split()[1]) * 1024


def _ours(n: int, tol: float, strengths: Sequence[float]) -> dict[str, Any]:
    from effrob.logistic.feature_blocks import FeatureBlocks
    from effrob.logistic.regularization_path import FitSettings, fit_path

    x, y = features("rectified", n, *SHAPE[1:])
    fit_path(FeatureBlocks.measure(x[:3000, :64]), y[:3000] % 10, 10, [1.0])
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
    before = _resident("VmRSS")
    points: list[Any] = []

    def fit() -> None:
        points.extend(
            fit_path(FeatureBlocks.measure(x), y, SHAPE[2], strengths, settings=FitSettings(tol, progress=True))
        )

    cost = call(fit)
    peak = _resident("VmHWM") - before
    return {
        "cpu": cost.cpu,
        "wall": cost.wall,
        "peak": peak,
        "bound": max(point.report.memory for point in points),
        "strengths": list(strengths),
        "evaluations": [point.report.evaluations for point in points],
        "gaps": [point.report.gap for point in points],
        "objectives": [objective(point.report.C, point.coef, point.intercept, x, y) for point in points],
    }


if __name__ == "__main__":
    print(json.dumps(_ours(int(sys.argv[1]), float(sys.argv[2]), [float(c) for c in sys.argv[3:]])))
