"""Whether answers can be of the set they are said to be of: against its labels, against chance, and stretch by stretch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, bdtrc

from effrob.errors import UsageProblem
from effrob.results.answer_files import AnswerFile
from effrob.results.predictions import Predictions
from shifts.shift import Shift

Ints = NDArray[np.int64]
ENOUGH = 100  # images below which chance and a weak model cannot be told apart
STRETCH = 250  # images of a stretch, and the classes it must hold
CLASSES = 20  # or half of those there are
BY_CHANCE = 1e-4
IMPOSSIBLE = 1e-12


def check_labels(file: AnswerFile, shift: Shift, place: Ints) -> None:
    """The file's own right answers must be the set's. Raises UsageProblem naming the first that is not."""
    assert file.labels is not None
    labels, space = file.labels[place], shift.labels
    if len(labels) and int(labels.max()) >= len(space):
        inside = (labels >= 0) & (labels < len(space.parent_ids))
        labels = np.where(inside, space.owner[np.where(inside, labels, 0)], -1)
    wrong = np.flatnonzero(labels != shift.targets)
    if shift.accepted is None and len(wrong):
        row = int(wrong[0])
        raise UsageProblem(
            f"{file.where} labels {shift.ids[row]} as class {int(file.labels[place][row])}, and in {shift.name} it is "
            f"{int(shift.targets[row])} ({space.class_ids[int(shift.targets[row])]}); {len(wrong):,} of {len(labels):,} labels "
            "differ: it is of another set, or its classes are numbered otherwise"
        )


def check_plausible(where: str, shift: Shift, predictions: Predictions) -> None:
    """Raises UsageProblem where the answers agree with the labels no more than answers dealt at random would."""
    n, k = len(predictions), int(predictions.correct.sum())
    if n < ENOUGH:
        return
    chance = _chance(predictions.predicted, predictions.target)
    if not k or float(bdtrc(k - 1, n, chance)) > BY_CHANCE:
        raise UsageProblem(
            f"{where} is right on {k:,} of {n:,} images of {shift.name}, and {chance * n:,.0f} are expected by chance: the "
            "answers are in another order, of another set, or their classes are numbered otherwise"
            f"{_hint(predictions, shift)}; if the model is truly that weak, say --chance"
        )


def _chance(predicted: Ints, target: Ints) -> float:
    """The share right if the same answers were dealt to the images at random."""
    size = int(max(predicted.max(initial=0), target.max(initial=0))) + 1
    said, shown = (np.bincount(each[each >= 0], minlength=size) / len(each) for each in (predicted, target))
    return float(said @ shown)


def _hint(predictions: Predictions, shift: Shift) -> str:
    """What would make the answers right, where one of the usual mistakes does."""
    predicted, target, size = predictions.predicted, predictions.target, len(shift.labels)
    for text, other in (
        ("a background class stands at 0: subtract 1", predicted - 1),
        ("they count from 1: subtract 1", (predicted - 1) % size),
        ("they are one too low: add 1", predicted + 1),
    ):
        if float((other == target).mean()) > 10 * _chance(predicted, target) + 0.05:
            return f" ({text}, and {100 * float((other == target).mean()):.0f} % are right)"
    return ""


def check_order(where: str, place: Ints, predictions: Predictions) -> None:
    """Raises UsageProblem where a stretch of the file is right by chance alone, and the rest is not: shards out of order."""
    order = np.argsort(place, kind="stable")
    correct, target, predicted = predictions.correct[order], predictions.target[order], predictions.predicted[order]
    start, classes = 0, min(CLASSES, max(2, -(-len(np.unique(target)) // 2)))
    while start + STRETCH <= len(order):
        end = start + STRETCH
        while end < len(order) and len(np.unique(target[start:end])) < classes:
            end += STRETCH
        part = slice(start, min(end, len(order)))
        rest = np.ones(len(order), bool)
        rest[part] = False
        if rest.sum() < STRETCH or len(np.unique(target[part])) < classes:
            return
        k, n, elsewhere = int(correct[part].sum()), len(correct[part]), float(correct[rest].mean())
        by_chance = float(bdtrc(k - 1, n, _chance(predicted[part], target[part]))) if k else 1.0
        if by_chance > 1e-2 and float(bdtr(k, n, elsewhere)) < IMPOSSIBLE:
            raise UsageProblem(
                f"{where}: rows {start:,} to {part.stop - 1:,} are right on {k} of {n} images, as by chance, and the others "
                f"on {100 * elsewhere:.1f} %: that stretch is in another order; put the answers into the order of the images, "
                "or give their ids"
            )
        start = part.stop
