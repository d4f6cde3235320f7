"""Few-shot probes: logistic regression on K training rows of every class, several counts and seeds in one call.

Draws of one count have one shape, so their seeds are one stack of problems, solved in step, where one alone would leave the
device idle. A seed's smaller draws lie inside its larger ones, and nothing but training rows is drawn. The strength is fixed:
K rows leave none to choose one by.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from effrob.heads.blocks import FeatureBlocks, RowSpace, Source
from effrob.heads.head import Readout, Training
from effrob.heads.holdout import draw_shots, train_facts, usable
from effrob.heads.kept import CELLS, KeptLoss
from effrob.heads.newton import newton
from effrob.heads.path import Rules, fit_path, warn_short
from effrob.heads.point import ProbePoint, memory_bound, point_of, softmax_strength
from effrob.heads.problem import check_strengths
from effrob.heads.trail import ROUGH, STRIDE, Trail, lead_in
from model_zoo.encoder import Encoder
from shifts.labels import LabelSpace

SHARE = 1e-2  # penalty / (rows x summed variance of the features)
TOL = 2e-7  # relative gap: few rows cost little, and their curvature is a poorer guide
CAP = 1000  # evaluations, a safety
STACKED = {
    "cpu": 1 << 17,
    "cuda": 1 << 27,
}  # draws x rows x classes, at most, of a stack: more fill a device


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
    every = np.arange(len(labels)) if rows is None else rows
    if min((draw.shots for draw in draws), default=1) < 1:
        raise ValueError(f"a few-shot probe needs at least 1 shot, and {min(draws).shots} were asked")
    places = {draw: draw_shots(labels, n_classes, draw.shots, draw.seed) for draw in sorted(set(draws))}
    found: dict[Draw, Drawn] = {}
    for shots in sorted({draw.shots for draw in places}):
        same = [draw for draw in places if draw.shots == shots]
        each = shots * n_classes * n_classes
        side = max(1, STACKED.get(torch.device(device).type, 0) // each)
        for first in range(0, len(same), side):
            some = same[first : first + side]
            points = _fitted(
                source,
                [every[places[draw]] for draw in some],
                [labels[places[draw]] for draw in some],
                n_classes,
                strength,
                tol,
                device,
            )
            found |= {draw: Drawn(point, places[draw]) for draw, point in zip(some, points)}
    return found


def _fitted(
    source: Source,
    rows: Sequence[NDArray[np.int64]],
    labels: Sequence[NDArray[np.int64]],
    n_classes: int,
    strength: float | None,
    tol: float,
    device: str,
) -> list[ProbePoint]:
    """Draws of one count side by side, or the one that is too large to be kept."""
    measured = [FeatureBlocks.measure(source, some, device=device, resident=True) for some in rows]
    strengths = [strength or 1.0 / (SHARE * len(one) * (one.spread or 1.0)) for one in measured]
    if len(rows) == 1 and len(labels[0]) * n_classes > CELLS.get(measured[0].device.type, 0):
        return fit_path(measured[0], labels[0], n_classes, strengths, rules=Rules(tol, CAP))
    return _Stack([RowSpace.of(one) for one in measured], labels, n_classes).solve(check_strengths(strengths), tol)


@dataclass(frozen=True)
class _Stack:
    """Problems of one shape: P row spaces of the same N and d, with (N,) labels each."""

    spaces: Sequence[RowSpace]
    labels: Sequence[NDArray[np.int64]]
    n_classes: int

    def solve(self, strengths: Sequence[float], tol: float) -> list[ProbePoint]:
        """All in step; those that float32 cannot bring to `tol` once more in float64, from where they stand."""
        kept = [space.blocks for space in self.spaces]
        loss, trail = self._loss(kept), Trail()
        ways = [lead_in(c, len(one) * one.spread, self.n_classes) for c, one in zip(strengths, kept)]
        theta = torch.zeros(len(kept), self.n_classes, kept[0].dimension + 1, dtype=torch.float64, device=loss.y.device)
        logits = None
        for stage in range(max(map(len, ways)), -1, -1):
            part = STRIDE**-stage
            loss.penalty = self._penalty([c * part for c in strengths], kept)
            if trail.seen:
                theta, logits = trail.ahead(loss, part, None)
            minima = newton(loss, theta, logits, tol=ROUGH if stage else tol, max_evaluations=CAP)
            theta = torch.stack([minimum.theta for minimum in minima])
            if stage:
                trail.add(part, theta, ROUGH, loss.place() if len(kept) == 1 else None)
        again = [i for i, minimum in enumerate(minima) if minimum.reason != "gap"]
        if again:
            finer = [kept[i].in_dtype(torch.float64) for i in again]
            few = _Stack([self.spaces[i] for i in again], [self.labels[i] for i in again], self.n_classes)
            loss = few._loss(finer)
            loss.penalty = few._penalty([strengths[i] for i in again], finer)
            once_more = newton(loss, theta[again], tol=tol, max_evaluations=CAP)
            for i, blocks, minimum in zip(again, finer, once_more):
                minima[i], kept[i] = minimum, blocks
        for c, minimum in zip(strengths, minima):
            if minimum.reason != "gap":
                warn_short(c, minimum)
        held = sum(memory_bound(blocks, self.n_classes) for blocks in kept)
        return [
            point_of(minimum, space, c, self.n_classes, float(len(y)), blocks.dtype, held)
            for minimum, space, c, y, blocks in zip(minima, self.spaces, strengths, self.labels, kept)
        ]

    def _loss(self, blocks: Sequence[FeatureBlocks]) -> KeptLoss:
        first = blocks[0]
        rows = torch.stack([one.take(slice(0, len(one))) for one in blocks])
        y = torch.stack([torch.from_numpy(labels) for labels in self.labels]).to(first.device)
        penalty = torch.ones(len(blocks), dtype=torch.float64, device=first.device)
        scale = torch.stack([one.scale for one in blocks])
        return KeptLoss(rows, y, None, penalty, scale, self.n_classes, first.block_rows)

    def _penalty(self, strengths: Sequence[float], blocks: Sequence[FeatureBlocks]) -> torch.Tensor:
        mass = float(len(self.labels[0]))
        scaled = [softmax_strength(c, self.n_classes) * mass * one.unit**2 for c, one in zip(strengths, blocks)]
        return 1.0 / torch.tensor(scaled, dtype=torch.float64, device=blocks[0].device)


@dataclass(frozen=True)
class FewShot:
    """The head `few-shot-K` (seed 0) or `few-shot-K@SEED`."""

    shots: int
    seed: int = 0
    name: str = "few-shot"

    def fit(self, encoder: Encoder | None, labels: LabelSpace, train: Training | None) -> Readout:
        """Raises UsageProblem for a training set that cannot teach, ValueError where a class has too few rows."""
        name = f"{self.name}-{self.shots}"
        train = usable(train, name)
        draw = Draw(self.shots, self.seed)
        drawn = fit_few_shot(train.array, train.targets, train.n_classes, [draw], rows=train.rows, device=train.device)[
            draw
        ]
        facts = {"shots": self.shots, "seed": self.seed, "train": train_facts(train), **drawn.point.report.facts()}
        return drawn.point.readout({"few_shot": facts})
