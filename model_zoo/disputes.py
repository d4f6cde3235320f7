"""Dispute and Conflict: where published accuracies of the same weights contradict one another. Nothing is resolved here.

A conflict is computed: two references, one set, one head, more than a point apart. A dispute is a finding that ships as data
(`data/published/disputed.csv`): a row whose accuracy other evidence contradicts, with both values and both sources.
"""

from __future__ import annotations

import csv
import functools
from collections import defaultdict
from dataclasses import dataclass
from itertools import combinations

from model_zoo.errors import ModelError
from model_zoo.published import DATA, PublishedAccuracy, published, sources

APART = (
    0.01  # harnesses differ by up to a point on the same weights; more is another protocol, other weights or an error
)
ROUNDING = 1e-9
PRINTED = 0.0005 + ROUNDING  # a percentage with one decimal is within this of the figure it was rounded from


@dataclass(frozen=True)
class Dispute:
    """One accuracy of a published row that other evidence contradicts; fractions.

    basis  `published`: another source states `other` for the same weights; `predicted`: the row's other sets imply it
    """

    source: str
    model: str
    shift: str
    accuracy: float
    other: float
    basis: str
    other_source: str

    @property
    def sentence(self) -> str:
        beside = f"in {self.other_source}, for the same weights"
        if self.basis == "predicted":
            beside = f"predicted from {self.other_source}"
        return f"{self.shift} is disputed: {100 * self.accuracy:.2f} in {self.source}, {100 * self.other:.2f} {beside}"


@dataclass(frozen=True)
class Conflict:
    """Two published accuracies of the same weights on one set, by the same kind of head; fractions."""

    weights: str
    shift: str
    head: str
    first: float
    first_source: str
    first_protocol: str
    second: float
    second_source: str
    second_protocol: str

    @property
    def sentence(self) -> str:
        return (
            f"{self.shift}: {100 * self.first:.2f} in {self.first_source} ({self.first_protocol}), "
            f"{100 * self.second:.2f} in {self.second_source} ({self.second_protocol})"
        )


def disputes_of(row: PublishedAccuracy) -> tuple[Dispute, ...]:
    """What is disputed of this row; empty where nothing is."""
    return _disputes().get((row.source, row.model), ())


def disputes_of_given(model: str, shift: str, accuracy: float) -> tuple[Dispute, ...]:
    """Disputes of a published accuracy that a given one repeats: the same model's name, and equal as far as it is printed."""
    return tuple(
        each
        for disputes in _disputes().values()
        for each in disputes
        if each.shift == shift
        and model in (each.model, each.model.partition(":")[2])
        and abs(each.accuracy - accuracy) <= PRINTED
    )


@functools.cache
def _disputes() -> dict[tuple[str, str], tuple[Dispute, ...]]:
    disputes: dict[tuple[str, str], list[Dispute]] = defaultdict(list)
    with (DATA / "published" / "disputed.csv").open(newline="", encoding="utf-8") as file:
        for cells in csv.DictReader(file):
            if cells["basis"] not in ("published", "predicted"):
                raise ModelError(f"disputed.csv: a basis is published or predicted, found {cells['basis']!r}")
            one = Dispute(
                cells["source"],
                cells["model"],
                cells["shift"],
                float(cells["accuracy"]),
                float(cells["other"]),
                cells["basis"],
                cells["other_source"],
            )
            disputes[one.source, one.model].append(one)
    return {key: tuple(each) for key, each in disputes.items()}


@functools.cache
def conflicts() -> tuple[Conflict, ...]:
    """Every pair of rows with the same weights, head and size (or none stated) that differ by more than a point on a set."""
    alike: dict[tuple[str, str], list[PublishedAccuracy]] = defaultdict(list)
    for name in sources():
        for row in published(name):
            alike[row.weights, row.head].append(row)
    return tuple(
        Conflict(
            weights, shift, head, one[shift], _cited(first), first.protocol, two[shift], _cited(second), second.protocol
        )
        for (weights, head), rows in alike.items()
        for first, second in combinations(rows, 2)
        if _cited(first) != _cited(second) and _same_size(first, second)
        for one, two in [(_values(first), _values(second))]
        for shift in one
        if shift in two and abs(one[shift] - two[shift]) > APART + ROUNDING
    )


def conflicts_of(weights: str) -> tuple[Conflict, ...]:
    """The conflicts of one set of weights, by the name every table shares."""
    return tuple(each for each in conflicts() if each.weights == weights)


def _values(row: PublishedAccuracy) -> dict[str, float]:
    full = {} if row.clean_full is None else {"imagenet": row.clean_full}
    return {**full, **row.accuracies}


def _cited(row: PublishedAccuracy) -> str:
    return row.reference or row.source


def _same_size(first: PublishedAccuracy, second: PublishedAccuracy) -> bool:
    return first.img_size is None or second.img_size is None or first.img_size == second.img_size
