"""Few-shot probes: logistic regression on K training rows of every class, several counts and seeds in one call.

A draw is solved by nonlinear conjugate gradients from zero weights, in the eigenbasis of its rows' covariance, which the draws
of one call share. One whose penalty is weak, or whose rows are many, is solved as any other probe. A seed's smaller draws are
subsets of its larger ones. The strength is fixed: K rows leave none to choose one by.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from effrob.heads.classifier import LinearClassifier, Training
from effrob.heads.splits import check_training, draw_shots, train_facts
from effrob.logistic.eigenbasis import Eigenbasis
from effrob.logistic.feature_blocks import FeatureBlocks, FeatureSource, RowSpace
from effrob.logistic.losses import IN_MEMORY_LIMIT, low_precision_dtype
from effrob.logistic.nonlinear_cg import NonlinearCG
from effrob.logistic.regularization_path import DEFAULT_TOL, FitSettings, check_labels, check_strengths, fit_path
from effrob.logistic.solution import ProbePoint, memory_bound, probe_point, softmax_strength
from effrob.logistic.warm_start import LEAD_IN_FACTOR
from model_zoo.encoder import Encoder
from shifts.labels import LabelSpace

RELATIVE_PENALTY = 1e-2  # penalty / (rows x summed variance of the features), where no strength is given
MAX_EVALUATIONS = 3000  # passes of a fit as any other probe: few rows cost little
MIN_TOL = 1e-7  # relative gap that conjugate gradients reach in float32; a smaller one is left to float64
FIRST_PENALTY = 1e-5  # relative penalty that can be begun at from zero weights; weaker ones are led in to
MIN_PENALTY = 1e-6  # relative penalty under which Newton's method takes fewer products (docs/decisions/006)
MAX_SPREAD_RATIO = 100.0  # summed variance of the rows a draw shares a basis with, over its own, at most
MIN_LOW_PRECISION_SIZE = 1 << 20  # multiplications of a product under which float32 is as fast as bfloat16
MAX_STEPS = 200  # of conjugate gradients: a draw that takes more is solved as any other probe


class Draw(NamedTuple):
    """One few-shot problem: `shots` of every class, drawn with `seed`."""

    shots: int
    seed: int


class Drawn(NamedTuple):
    """What a draw came to: its fitted point and the (shots x K,) rows it was fitted on, ascending places of `labels`."""

    point: ProbePoint
    places: NDArray[np.int64]


def fit_few_shot(
    source: FeatureSource,
    labels: NDArray[np.int64],
    n_classes: int,
    draws: Sequence[Draw],
    *,
    strength: float | None = None,
    rows: NDArray[np.int64] | None = None,
    tol: float = DEFAULT_TOL,
    device: str = "cpu",
) -> dict[Draw, Drawn]:
    """Fit every draw; `labels` (N,) belong to `rows` of `source` (M, D), or to all of it.

    `strength` None is 1 / (RELATIVE_PENALTY x rows x summed variance), a draw's own. Raises ValueError naming a class with too
    few rows.
    """
    every = np.arange(len(source)) if rows is None else rows
    if every.dtype == bool:
        every = np.flatnonzero(every)
    if min((draw.shots for draw in draws), default=1) < 1:
        raise ValueError(f"a few-shot probe needs at least 1 shot, and {min(draws).shots} were asked")
    check_labels(labels, len(every), n_classes, None)
    if every.min() < 0 or every.max() >= len(source):
        raise ValueError(f"rows must lie in 0..{len(source) - 1}, and they span {every.min()}..{every.max()}")
    labels = labels.astype(np.int64, copy=False)
    if strength is not None:
        check_strengths([strength])
    settings = FitSettings(tol, MAX_EVALUATIONS)
    places = {draw: draw_shots(labels, n_classes, draw.shots, draw.seed) for draw in sorted(set(draws))}
    batch = _Batch(source, every, labels, n_classes, strength, settings, device)
    points: dict[Draw, ProbePoint] = {}
    with torch.inference_mode():  # steps are small: autograd's bookkeeping is a fifteenth of their time
        for seed in sorted({draw.seed for draw in places}):
            points |= batch.fit_seed({draw: at for draw, at in places.items() if draw.seed == seed})
    return {draw: Drawn(points[draw], at) for draw, at in places.items()}


class _Transformed(NamedTuple):
    """Rows in an eigenbasis, and the way back.

    rows (n, d + 1) float32, in the unit of the space's blocks;  rows_low  the same in a faster dtype, if the device has
    one;  memory  in bytes, at most
    """

    space: RowSpace
    basis: Eigenbasis
    rows: torch.Tensor
    rows_low: torch.Tensor | None
    memory: int

    def subset(self, places: NDArray[np.int64]) -> _Transformed:
        """The rows at these places."""
        at = torch.from_numpy(places).to(self.rows.device)
        return self._replace(rows=self.rows[at], rows_low=None if self.rows_low is None else self.rows_low[at])

    def spread(self) -> float:
        """The summed variance of the features."""
        flat, mean = self.rows.view(-1), self.rows.mean(0)
        variance = float(torch.dot(flat, flat)) / len(self.rows) - float(torch.dot(mean, mean))
        return max(variance, 0.0) * self.space.blocks.unit**2


@dataclass
class _Seed:
    """The largest draw of a seed, whose rows include those of the others; transformed where a draw first needs it."""

    places: NDArray[np.int64]
    space: RowSpace
    transformed: _Transformed | None = None


@dataclass
class _Batch:
    """The draws of one call; those that span all features share an eigenbasis."""

    source: FeatureSource
    every: NDArray[np.int64]
    labels: NDArray[np.int64]
    n_classes: int
    strength: float | None
    settings: FitSettings
    device: str
    basis: Eigenbasis | None = None

    def fit_seed(self, places: dict[Draw, NDArray[np.int64]]) -> dict[Draw, ProbePoint]:
        """The draws of one seed, the largest first."""
        points: dict[Draw, ProbePoint] = {}
        seed: _Seed | None = None
        limit = IN_MEMORY_LIMIT.get(torch.device(self.device).type, 0)
        for draw, at in reversed(places.items()):
            point = None
            if len(at) * self.n_classes <= limit and self.settings.tol >= MIN_TOL:
                seed = seed or _Seed(at, RowSpace.of(self._measured(at)))
                point = self._by_conjugate_gradients(seed, at)
            points[draw] = point or self._as_any_other(at)
        return points

    def _measured(self, at: NDArray[np.int64], resident: bool = False) -> FeatureBlocks:
        return FeatureBlocks.measure(self.source, self.every[at], device=self.device, resident=resident)

    def _transformed(self, space: RowSpace) -> _Transformed:
        """In a basis of their own, or in that of an earlier seed where these rows span all features."""
        basis = self.basis if space.basis is None and self.basis is not None else Eigenbasis.of(space.blocks)
        self.basis = basis if space.basis is None else None
        rows = basis.transform(space.blocks)
        memory = memory_bound(replace(space.blocks, resident=rows), self.n_classes, space.basis)
        dtype = low_precision_dtype(rows.dtype, rows.device)
        return _Transformed(space, basis, rows, None if dtype == rows.dtype else rows.to(dtype), memory)

    def _by_conjugate_gradients(self, seed: _Seed, at: NDArray[np.int64]) -> ProbePoint | None:
        """None where the penalty is too weak for them, or where they did not reach the gap."""
        blocks, n, whole = seed.space.blocks, len(at), at is seed.places
        given = softmax_strength(self.strength or 0.0, self.n_classes) * n
        if not given * blocks.spread * MIN_PENALTY <= 1.0:
            return None
        seed.transformed = seed.transformed or self._transformed(seed.space)
        own = seed.transformed if whole else seed.transformed.subset(np.searchsorted(seed.places, at))
        spread = blocks.spread if whole else own.spread()
        if (
            spread * MAX_SPREAD_RATIO < blocks.spread
        ):  # an outlier of the larger draw alone would cost these rows digits
            return self._by_conjugate_gradients(_Seed(at, RowSpace.of(self._measured(at))), at)
        c = self.strength or 1.0 / (RELATIVE_PENALTY * n * (spread or 1.0))
        scaled = softmax_strength(c, self.n_classes) * n
        size = scaled * blocks.spread
        if not (math.isfinite(size) and scaled * blocks.unit**2 > 0):
            return None
        lead_in = max(0, round(math.log(size * FIRST_PENALTY, LEAD_IN_FACTOR))) if size * FIRST_PENALTY > 1 else 0
        penalty = 1.0 / (scaled * blocks.unit**2)
        rows_low = own.rows_low if own.rows.numel() * self.n_classes > MIN_LOW_PRECISION_SIZE else None
        targets, variances = torch.from_numpy(self.labels[at]).to(own.rows.device), own.basis.variances / blocks.unit**2
        solver = NonlinearCG(own.rows, targets, self.n_classes, variances, rows_low)
        penalties = [penalty * LEAD_IN_FACTOR**i for i in range(lead_in, -1, -1)]
        minimum = solver.minimize(penalties, self.settings.tol, MAX_STEPS)
        if minimum.reason != "gap":
            return None
        minimum = replace(minimum, theta=own.basis.inverse_transform(minimum.theta))
        return probe_point(minimum, own.space, c, self.n_classes, float(n), torch.float32, own.memory)

    def _as_any_other(self, at: NDArray[np.int64]) -> ProbePoint:
        blocks = self._measured(at, resident=True)
        c = self.strength or 1.0 / (RELATIVE_PENALTY * len(at) * (blocks.spread or 1.0))
        (point,) = fit_path(blocks, self.labels[at], self.n_classes, [c], settings=self.settings)
        return point


@dataclass(frozen=True)
class FewShot:
    """The head `few-shot-K` (seed 0) or `few-shot-K@SEED`."""

    shots: int
    seed: int = 0
    name: str = "few-shot"

    def fit(self, encoder: Encoder | None, labels: LabelSpace, train: Training | None) -> LinearClassifier:
        """Raises UsageProblem for a training set that cannot teach, ValueError where a class has too few rows."""
        train = check_training(train, f"{self.name}-{self.shots}")
        draw = Draw(self.shots, self.seed)
        point, _ = fit_few_shot(
            train.array, train.targets, train.n_classes, [draw], rows=train.rows, device=train.device
        )[draw]
        facts = {"shots": self.shots, "seed": self.seed, "train": train_facts(train), **point.report.facts()}
        return LinearClassifier.from_coefficients(point.coef, point.intercept, {"few_shot": facts})
