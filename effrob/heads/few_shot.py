"""Few-shot probes: logistic regression on K training rows of every class, several counts and seeds in one call.

A draw is solved by descent from nothing, on rows turned onto the axes of their covariance; draws of one call share the axes.
One whose penalty is weak, or whose rows are many, is solved as any other probe is. A seed's smaller draws lie inside its
larger ones, and nothing but training rows is drawn. The strength is fixed: K rows leave none to choose one by.
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
from effrob.heads.splits import draw_shots, train_facts, usable
from effrob.logistic.eigenbasis import Axes
from effrob.logistic.feature_blocks import FeatureBlocks, RowSpace, Source
from effrob.logistic.in_memory_loss import CELLS
from effrob.logistic.nonlinear_cg import descend
from effrob.logistic.regularization_path import TOL, Rules, fit_path
from effrob.logistic.solution import ProbePoint, memory_bound, point_of, softmax_strength
from effrob.logistic.streamed_loss import quick_dtype
from effrob.logistic.validation import check_labels, check_strengths
from effrob.logistic.warm_start import STRIDE
from model_zoo.encoder import Encoder
from shifts.labels import LabelSpace

SHARE = 1e-2  # penalty / (rows x summed variance of the features)
CAP = 3000  # evaluations of a fit, a safety: few rows cost little
FINE = 1e-7  # relative gap that descent in float32 reaches; less is for float64
BOLD = 1e-5  # such a share can be begun at from nothing, and
WEAK = 1e-6  # under this one descent takes more passes than Newton's method takes products
FAR = 100.0  # x a draw's own summed variance, at most, of the rows it shares coordinates with
SMALL = 1 << 20  # multiplications of a product that are as quick in float32, at most
PASSES = 200  # of a descent, at most: it is not for this problem then


class Draw(NamedTuple):
    """One few-shot problem: `shots` of every class, drawn with `seed`."""

    shots: int
    seed: int


class Drawn(NamedTuple):
    """What a draw came to: its fitted point and the (shots x K,) rows it was fitted on, ascending places of `labels`."""

    point: ProbePoint
    places: NDArray[np.int64]


def fit_few_shot(
    source: Source,
    labels: NDArray[np.int64],
    n_classes: int,
    draws: Sequence[Draw],
    *,
    strength: float | None = None,
    rows: NDArray[np.int64] | None = None,
    tol: float = TOL,
    device: str = "cpu",
) -> dict[Draw, Drawn]:
    """Fit every draw; `labels` (N,) belong to `rows` of `source` (M, D), or to all of it.

    `strength` None is 1 / (SHARE x rows x summed variance), a draw's own. Raises ValueError naming a class with too few rows.
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
    rules = Rules(tol, CAP)
    places = {draw: draw_shots(labels, n_classes, draw.shots, draw.seed) for draw in sorted(set(draws))}
    batch = _Batch(source, every, labels, n_classes, strength, rules, device)
    points: dict[Draw, ProbePoint] = {}
    with torch.inference_mode():  # small steps: what autograd asks of every operation is a fifteenth of their time
        for seed in sorted({draw.seed for draw in places}):
            points |= batch.fitted({draw: at for draw, at in places.items() if draw.seed == seed})
    return {draw: Drawn(points[draw], at) for draw, at in places.items()}


class _Turned(NamedTuple):
    """Rows in coordinates of float32 for descent, and the way back.

    rows (n, d + 1)  along `axes`, in the unit of the space's blocks;  quick  the same in the device's quick dtype, if it
    has one;  memory  in bytes, at most
    """

    space: RowSpace
    axes: Axes
    rows: torch.Tensor
    quick: torch.Tensor | None
    memory: int

    def some(self, places: NDArray[np.int64]) -> _Turned:
        """The rows at these places."""
        at = torch.from_numpy(places).to(self.rows.device)
        return self._replace(rows=self.rows[at], quick=None if self.quick is None else self.quick[at])

    def spread(self) -> float:
        """The summed variance of the features."""
        flat, mean = self.rows.view(-1), self.rows.mean(0)
        apart = float(torch.dot(flat, flat)) / len(self.rows) - float(torch.dot(mean, mean))
        return max(apart, 0.0) * self.space.blocks.unit**2


@dataclass
class _Seed:
    """The largest draw of a seed, which holds the rows of the others; they are turned where one of them asks for it."""

    places: NDArray[np.int64]
    space: RowSpace
    turned: _Turned | None = None


@dataclass
class _Batch:
    """The draws of one call; those of as many features share axes."""

    source: Source
    every: NDArray[np.int64]
    labels: NDArray[np.int64]
    n_classes: int
    strength: float | None
    rules: Rules
    device: str
    axes: Axes | None = None

    def fitted(self, places: dict[Draw, NDArray[np.int64]]) -> dict[Draw, ProbePoint]:
        """The draws of one seed, the largest first."""
        found: dict[Draw, ProbePoint] = {}
        seed: _Seed | None = None
        for draw, at in reversed(places.items()):
            point = None
            if len(at) * self.n_classes <= CELLS.get(torch.device(self.device).type, 0) and self.rules.tol >= FINE:
                seed = seed or _Seed(at, RowSpace.of(self._measured(at)))
                point = self._descended(seed, at)
            found[draw] = point or self._as_any_other(at)
        return found

    def _measured(self, at: NDArray[np.int64], resident: bool = False) -> FeatureBlocks:
        return FeatureBlocks.measure(self.source, self.every[at], device=self.device, resident=resident)

    def _turned(self, space: RowSpace) -> _Turned:
        """Rows along axes of their own, or of an earlier seed's where these span all features."""
        axes = self.axes if space.basis is None and self.axes is not None else Axes.of(space.blocks)
        self.axes = axes if space.basis is None else None
        rows = axes.turned(space.blocks)
        memory = memory_bound(space.blocks.changed(resident=rows), self.n_classes, space.basis)
        dtype = quick_dtype(rows.dtype, rows.device)
        return _Turned(space, axes, rows, None if dtype == rows.dtype else rows.to(dtype), memory)

    def _descended(self, seed: _Seed, at: NDArray[np.int64]) -> ProbePoint | None:
        """A draw by descent; None where its penalty is too weak for it, or where it did not get there."""
        blocks, n, whole = seed.space.blocks, len(at), at is seed.places
        asked = softmax_strength(self.strength or 0.0, self.n_classes) * n
        if not asked * blocks.spread * WEAK <= 1.0:
            return None
        seed.turned = seed.turned or self._turned(seed.space)
        turned = seed.turned if whole else seed.turned.some(np.searchsorted(seed.places, at))
        spread = blocks.spread if whole else turned.spread()
        if spread * FAR < blocks.spread:  # a row far off, of the larger draw alone, leaves these rows few digits
            return self._descended(_Seed(at, RowSpace.of(self._measured(at))), at)
        c = self.strength or 1.0 / (SHARE * n * (spread or 1.0))
        scaled = softmax_strength(c, self.n_classes) * n
        size = scaled * blocks.spread
        if not (math.isfinite(size) and scaled * blocks.unit**2 > 0):
            return None
        led = max(0, round(math.log(size * BOLD, STRIDE))) if size * BOLD > 1 else 0
        penalty = 1.0 / (scaled * blocks.unit**2)
        minimum = descend(
            turned.rows,
            torch.from_numpy(self.labels[at]).to(turned.rows.device),
            self.n_classes,
            [penalty * STRIDE**i for i in range(led, -1, -1)],
            turned.axes.spectrum / blocks.unit**2,
            quick=turned.quick if turned.rows.numel() * self.n_classes > SMALL else None,
            tol=self.rules.tol,
            max_evaluations=PASSES,
        )
        if minimum.reason != "gap":
            return None
        minimum = replace(minimum, theta=turned.axes.back(minimum.theta))
        return point_of(minimum, turned.space, c, self.n_classes, float(n), torch.float32, turned.memory)

    def _as_any_other(self, at: NDArray[np.int64]) -> ProbePoint:
        blocks = self._measured(at, resident=True)
        c = self.strength or 1.0 / (SHARE * len(at) * (blocks.spread or 1.0))
        (point,) = fit_path(blocks, self.labels[at], self.n_classes, [c], rules=self.rules)
        return point


@dataclass(frozen=True)
class FewShot:
    """The head `few-shot-K` (seed 0) or `few-shot-K@SEED`."""

    shots: int
    seed: int = 0
    name: str = "few-shot"

    def fit(self, encoder: Encoder | None, labels: LabelSpace, train: Training | None) -> LinearClassifier:
        """Raises UsageProblem for a training set that cannot teach, ValueError where a class has too few rows."""
        name = f"{self.name}-{self.shots}"
        train = usable(train, name)
        draw = Draw(self.shots, self.seed)
        drawn = fit_few_shot(train.array, train.targets, train.n_classes, [draw], rows=train.rows, device=train.device)[
            draw
        ]
        facts = {"shots": self.shots, "seed": self.seed, "train": train_facts(train), **drawn.point.report.facts()}
        return drawn.point.readout({"few_shot": facts})
