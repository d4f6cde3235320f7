"""What a picture of a shift is made of: points, the line with its band, and the groups that give colour and marker.

Figures and the page draw the same points.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit

from effrob.leaderboard.board import Board
from effrob.leaderboard.row import BoardRow
from effrob.results.accuracy import mean_accuracy
from effrob.results.model_result import MEANS
from effrob.robustness.fit import RobustnessFit
from effrob.robustness.line import BaselineLine
from effrob.robustness.lines import Lines
from effrob.robustness.scale import Scale
from model_zoo.cards import ModelCard, card_of_row, card_of_spec
from model_zoo.registration import saved
from shifts import suite as named

GRID = 60  # points a segment is drawn with


class Look(NamedTuple):
    """A group's name, its colour on a light and on a dark ground, and its marker, by matplotlib's letter."""

    name: str
    colour: str
    on_dark: str
    marker: str


# Okabe and Ito's palette, told apart under the common colour-vision deficiencies; the marker says the same again.
GROUPS = {
    "labels": Look("ImageNet-1k alone", "#6b7280", "#a8b0bd", "o"),
    "robust": Look("ImageNet-1k, made robust", "#E69F00", "#f5b731", "s"),
    "more labels": Look("more labelled data", "#009E73", "#2fcf9f", "^"),
    "captions": Look("image-text pairs", "#0072B2", "#56B4E9", "D"),
    "captions, then labels": Look("image-text, then ImageNet", "#CC79A7", "#e79cc5", "v"),
    "unknown": Look("training not stated", "#8c564b", "#c99a8d", "X"),
}


def card_of(row: BoardRow) -> ModelCard:
    """A row's model card: by its published table, or by its spec."""
    if row.origin != "published":
        return card_of_spec(row.model, saved().get(row.model))
    return _published_card(row.source.removeprefix("published:"), row.model, row.details.get("training_data"))


_published_card = functools.lru_cache(maxsize=None)(card_of_row)


def group_of(card: ModelCard) -> str:
    """The key of GROUPS."""
    if card.lineage == "labels" and card.robust:
        return "robust"
    return card.lineage if card.lineage in GROUPS else "unknown"


def family(key: str, suite: str) -> str:
    """A group's name in a suite whose narrow training set may be another than ImageNet's."""
    name, of_suite = GROUPS[key].name, named(suite)
    if of_suite.declares_places:
        return re.sub("ImageNet(-1k)?", "one labelled set", name)
    train = of_suite.train_set
    return name if train in (None, "imagenet-train") else re.sub("ImageNet(-1k)?", str(train), name)


@dataclass(frozen=True)
class Point:
    """One row on one shift: clean accuracy x, accuracy under shift y, fractions."""

    row: BoardRow
    x: float
    y: float
    group: str


def points(ranking: Board, shift: str, axis: str) -> tuple[list[Point], int]:
    """The points that stand on `axis`, and how many rows have the shift but not that axis. Means stand on `full`."""
    made, left = [], 0
    for row, x, y in _coordinates(ranking.rows, shift, axis):
        if x is None:
            left += 1
        else:
            made.append(Point(row, x, y, group_of(card_of(row))))
    return made, left


def _coordinates(rows: Iterable[BoardRow], shift: str, axis: str) -> Iterator[tuple[BoardRow, float | None, float]]:
    for row in rows:
        full = None if row.clean_full is None else row.clean_full.value
        if shift in MEANS:
            four = [row.cells[part].accuracy for part in MEANS[shift] if part in row.cells]
            if len(four) == len(MEANS[shift]):
                yield row, full, mean_accuracy(four).value
        elif shift in row.cells:
            cell = row.cells[shift]
            clean = None if cell.clean is None else cell.clean.value
            yield row, clean if axis == "clean" else full, cell.accuracy.value


@dataclass(frozen=True)
class Curve:
    """A segment of the line: (n,) clean accuracies, the line there, and the band 95 % of unseen baseline models lie in."""

    x: list[float]
    y: list[float]
    low: list[float]
    high: list[float]


def curves(fit: RobustnessFit, x_low: float, x_high: float) -> list[Curve]:
    """The line over [x_low, x_high] with the band a new baseline model would fall in; two where the shift has two."""
    ends = [x_low, x_high] if fit.split is None else [x_low, fit.split, x_high]
    return [
        _curve(line, fit, low, high)
        for line, low, high in zip(fit.segments, ends[:-1], ends[1:], strict=True)
        if low < high
    ]


def _curve(line: BaselineLine, fit: RobustnessFit, low: float, high: float) -> Curve:
    scale = fit.scale
    tx = np.linspace(scale.to(low), scale.to(high), GRID)
    height = line.slope * tx + line.intercept
    reach = -stdtrit(line.predictive_freedoms(tx), 0.025) * np.hypot(line.predictive_std, line.spreads_by_family(tx))
    x, y, down, up = (scale.inverse(values).tolist() for values in (tx, height, height - reach, height + reach))
    return Curve(x, y, down, up)


def line_of(lines: Lines, shift: str, axis: str) -> RobustnessFit | str:
    """The fit under a picture, or a sentence why there is none."""
    return lines.at(shift, "full" if shift in MEANS else axis)


LONGEST = 34  # characters of a name in a picture


def label(model: str) -> str:
    """A model's name beside its point: without the commonest scheme, and a long one with its middle left out."""
    name = model.removeprefix("openclip:")
    return name if len(name) <= LONGEST else f"{name[: LONGEST // 2 - 1]}…{name[-LONGEST // 2 :]}"


TICKS = (0.5, 0.1, 0.9, 0.01, 0.99, 0.2, 0.8, 0.3, 0.7, 0.4, 0.6, 0.95, 0.05, 0.98, 0.02, 0.001, 0.999, 0.003, 0.995)


def ticks(scale: Scale, low: float, high: float, most: int = 10) -> list[float]:
    """Round accuracies to mark in [low, high]: the roundest first, none nearer another than a `most`-th of the axis."""
    apart = (scale.to(high) - scale.to(low)) / most
    kept: list[float] = []
    for tick in TICKS:
        near = [abs(scale.to(tick) - scale.to(other)) for other in kept]
        if low <= tick <= high and min(near, default=apart) >= apart:
            kept.append(tick)
    return sorted(kept)


def series(drawn: Iterable[Point]) -> list[list[Point]]:
    """The points of each series of models (a run's checkpoints, mixtures of the same two), one reading each, in order."""
    runs: dict[tuple[object, ...], list[tuple[int, Point]]] = {}
    for point in drawn:
        member = point.row.details.get("series")
        if member is not None:
            key = member["name"], point.row.head, point.row.prompts, point.row.protocol, point.row.source
            runs.setdefault(key, []).append((int(member["place"]), point))
    return [[point for _, point in sorted(run, key=lambda each: each[0])] for run in runs.values() if len(run) > 1]
