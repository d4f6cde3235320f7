"""Multinomial logistic regression on feature blocks, at every strength asked, walked from strong to weak penalty.

Objective, scikit-learn's: C x Σ weight x loss + ½ ||W||², the intercept free; for two classes the penalty is on their
one difference. Each strength starts where the last two point to, so a path costs little more than its weakest member.
Streams its rows; knows no estimator, no cache and no files.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from effrob.heads.blocks import FeatureBlocks, RowSpace
from effrob.heads.metric import Metric
from effrob.heads.minimise import Minimum, minimise
from effrob.heads.point import MEMORY, ProbePoint, memory_bound, point_of, softmax_strength
from effrob.heads.problem import check_labels, check_strengths
from effrob.heads.softmax import Batch, SoftmaxLoss, stream

TOL = 5e-7
ROUGH = 0.1  # relative gap of the strengths that only lead to one that was asked for
STRIDE = 10.0  # factor between them
SURE = 100.0, 10.0  # x 1 / (rows x summed variance), and that for each class, the larger: safe to start at from nothing
SAMPLE = (8, 32)  # curvature is measured on this many rows a feature, or a class, whichever is more


@dataclass(frozen=True)
class Rules:
    """When a fit stops, and what it shows.

    tol              relative gap to the optimum;  max_evaluations  of one strength, a safety: reached above TOL, it warns
    progress         a bar;  seed  of the rows that curvature is measured on
    """

    tol: float = TOL
    max_evaluations: int = 1000
    progress: bool = False
    seed: int = 0


def fit_path(
    features: FeatureBlocks,
    labels: NDArray[np.int64],
    n_classes: int,
    strengths: Sequence[float],
    *,
    weights: NDArray[np.float64] | None = None,
    start: ProbePoint | None = None,
    rules: Rules = Rules(),
) -> list[ProbePoint]:
    """Fit every strength C; points in the order of `strengths`.

    labels (N,) in 0..n_classes-1, weights (N,) >= 0. Float32 features that cannot reach the tolerance are finished in
    float64. `start` warms the first strength. Raises ValueError as `check_labels` does.
    """
    walked = walk_path(features, labels, n_classes, strengths, weights=weights, start=start, rules=rules)
    found = {point.report.C: point for point in walked}
    return [found[float(c)] for c in strengths]


def walk_path(
    features: FeatureBlocks,
    labels: NDArray[np.int64],
    n_classes: int,
    strengths: Sequence[float],
    *,
    weights: NDArray[np.float64] | None = None,
    start: ProbePoint | None = None,
    rules: Rules = Rules(),
) -> Iterator[ProbePoint]:
    """The same points one by one, from the strongest penalty to the weakest: who has seen enough stops asking."""
    order = sorted(set(check_strengths(strengths)))
    check_labels(labels, len(features), n_classes, weights)
    walk = _Walk(RowSpace.of(features, weights), labels, n_classes, weights, rules)
    seen: list[_Optimum] = []
    with tqdm(order, desc="probe", unit="C", disable=not rules.progress) as walk.bar:
        for c in walk.bar:
            spent = 0
            before = seen[-1].c if seen else None if start is None else c
            for led in lead_in(c, walk.mass * walk.blocks.spread, n_classes, before):
                walk.metric = None
                done = walk.solve(_ahead(seen, led) if seen else walk.origin(start), led, ROUGH)
                seen, spent = [*seen[-1:], _Optimum(led, done.theta.unsqueeze(0), ROUGH)], spent + done.evaluations
            if spent:
                walk.metric = None
            done = walk.solve(_ahead(seen, c) if seen else walk.origin(start), c, rules.tol, spent)
            if done.reason != "gap" and done.gap > max(rules.tol, TOL):
                warnings.warn(
                    f"the probe at C = {c:g} stopped after {done.evaluations} evaluations, relative gap near {done.gap:.1e}",
                    _convergence_warning(),
                    stacklevel=3,
                )
            seen = [*seen[-2:], _Optimum(c, done.theta.unsqueeze(0), rules.tol)]
            yield walk.point(done, c)


def lead_in(c: float, size: float, n_classes: int, before: float | None = None) -> list[float]:
    """Strengths to pass through, roughly, on the way to c from `before`, or from nothing where that is None.

    A cold start at a weak penalty meets rows that are all sure, and curvature there misleads. size: rows x summed variance.
    """
    begin = before if before is not None else max(SURE[0], SURE[1] * n_classes) / size if size > 0 else c
    steps = math.ceil(math.log(c / begin) / math.log(STRIDE) - 1e-9) if c > begin else 0
    led = [c * STRIDE ** -(steps - i) for i in range(steps)]
    return led if before is None else led[1:]


def _convergence_warning() -> type[Warning]:
    from sklearn.exceptions import ConvergenceWarning

    return ConvergenceWarning  # type: ignore[no-any-return]


class _Optimum(NamedTuple):
    """Where a strength ended: theta (1, K, D + 1), to a relative gap of `tol`."""

    c: float
    theta: torch.Tensor
    tol: float


def _ahead(seen: Sequence[_Optimum], c: float) -> torch.Tensor:
    """Where the path points to, in log C.

    Linear through the last two optima and at most two of their steps away; halfway from there to the parabola through
    the last three, where all three are near their optimum: it bends the right way and overshoots.
    """
    last = seen[-1]
    if len(seen) == 1:
        return last.theta
    x = [math.log(one.c) - math.log(c) for one in seen]
    stride = min(2.0, x[-1] / (x[-2] - x[-1]))
    line = last.theta + stride * (last.theta - seen[-2].theta)
    if len(seen) < 3 or any(one.tol >= ROUGH for one in seen) or stride == 2.0:
        return line
    shares = [math.prod(other / (other - own) for other in x if other != own) for own in x]
    parabola = sum((share * one.theta for share, one in zip(shares[1:], seen[1:])), shares[0] * seen[0].theta)
    return (line + parabola) / 2


class _Walk:
    """One path in progress: the rows, and the metric carried from one strength to the next."""

    def __init__(
        self,
        space: RowSpace,
        labels: NDArray[np.int64],
        n_classes: int,
        weights: NDArray[np.float64] | None,
        rules: Rules,
    ) -> None:
        self.space, self.blocks, self.n_classes, self.rules = space, space.blocks, n_classes, rules
        self.bar: tqdm[float] = tqdm(disable=True)
        device = self.blocks.device
        self.y = torch.from_numpy(labels).to(device)
        self.w = None if weights is None else torch.from_numpy(weights).to(device)
        self.mass = float(len(labels)) if weights is None else float(weights.sum())
        self.prior = np.bincount(labels, weights, minlength=n_classes) / self.mass
        self.metric: Metric | None = None
        wanted = max(SAMPLE[0] * self.blocks.dimension, SAMPLE[1] * n_classes)
        self.sampled: NDArray[np.int64] | None = None
        if round(len(labels) / wanted) > 1:
            self.sampled = np.sort(np.random.default_rng(rules.seed).choice(len(labels), wanted, replace=False))

    def origin(self, start: ProbePoint | None) -> torch.Tensor:
        """(1, K, D + 1): the given point, or no weights and the intercepts of the class frequencies."""
        theta = np.zeros((1, self.n_classes, self.blocks.dimension + 1))
        if start is None:
            theta[0, :, -1] = np.log(self.prior) - np.log(self.prior).mean()
        else:
            theta[0, :, :-1], theta[0, :, -1] = self.space.inward(start.coef, start.intercept)
        return torch.from_numpy(theta).to(self.blocks.device)

    def solve(self, theta: torch.Tensor, c: float, tol: float, spent: int = 0) -> Minimum:
        """One strength, from `theta`; in float64 from here on where float32 reached its rounding floor first.

        `spent` evaluations led here, and count.
        """
        while True:
            loss = self._loss(c)
            metric = None if self.metric is None else self.metric.with_penalty(loss.penalty)
            done, self.metric = minimise(
                loss,
                theta,
                metric,
                loss.penalty,
                tol=tol,
                max_evaluations=max(1, self.rules.max_evaluations - spent),
                dtype=self.blocks.dtype,
                memory=MEMORY,
                watch=lambda n, gap: self.bar.set_postfix_str(f"C={c:g}, {n} passes, gap {gap:.0e}", refresh=False),
            )
            minimum = replace(done[0], evaluations=done[0].evaluations + spent)
            if minimum.reason != "rounding" or self.blocks.dtype == torch.float64:
                return minimum
            spent = minimum.evaluations
            self.blocks, self.metric, theta = self.blocks.in_dtype(torch.float64), None, minimum.theta.unsqueeze(0)

    def _loss(self, c: float) -> SoftmaxLoss:
        blocks = self.blocks
        mass = torch.tensor([self.mass], dtype=torch.float64, device=blocks.device)
        rows = stream(blocks, self.y, self.w)
        sample, sampled = rows, mass
        if self.sampled is not None:
            sample = self._sample
            if self.w is None:
                sampled = torch.full_like(mass, len(self.sampled))
            else:
                sampled = self.w[torch.from_numpy(self.sampled).to(blocks.device)].sum().clamp_min(1e-300).reshape(1)
        penalty = 1.0 / (softmax_strength(c, self.n_classes) * mass * blocks.unit**2)
        return SoftmaxLoss(rows, sample, mass, sampled, penalty, blocks.scale.unsqueeze(0), blocks.dtype)

    def _sample(self) -> Iterator[Batch]:
        assert self.sampled is not None
        for first in range(0, len(self.sampled), self.blocks.block_rows):
            ids = self.sampled[first : first + self.blocks.block_rows]
            at = torch.from_numpy(ids).to(self.blocks.device)
            yield Batch(
                self.blocks.take(ids).unsqueeze(0),
                self.y[at].unsqueeze(0),
                None if self.w is None else self.w[at].unsqueeze(0),
            )

    def point(self, done: Minimum, c: float) -> ProbePoint:
        """The minimum as coefficients on the features as they were given."""
        bound = memory_bound(self.blocks, self.n_classes)
        return point_of(done, self.space, c, self.n_classes, self.mass, self.blocks.dtype, bound)
