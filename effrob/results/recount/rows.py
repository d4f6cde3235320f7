"""The columns of a predictions file held against the right answers and against each other, and the counts they give."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from effrob.results.predictions import TOP, Predictions
from effrob.results.record import Counts

if TYPE_CHECKING:
    from effrob.results.recount.key import AnswerKey

Ints = NDArray[np.int64]
ROUNDING = 1e-4  # of probabilities and entropies kept in float32


def count(rows: Predictions) -> Counts:
    """The counts a record keeps of these predictions."""
    thousand = rows.accuracy_1000
    # Imported answers without scores know neither a second choice nor a margin.
    return Counts(
        n=len(rows),
        n_correct=int(rows.correct.sum()),
        n_correct_top5=None if _one_answer_each(rows) else int(rows.correct_top5.sum()),
        n_correct_1000way=None if thousand is None else int(rows.correct_1000.sum()),
    )


def _one_answer_each(rows: Predictions) -> bool:
    return bool(len(rows)) and bool(np.isnan(rows.margin).all()) and bool((rows.top5[:, 1] < 0).all())


def wrong_rows(rows: Predictions, key: AnswerKey | None, membership: bool = False) -> Iterator[str]:
    """What these rows say that cannot be, a sentence each; every column is recomputed as far as the others tell it.

    key         the right answers of these ids; None for a set whose labels are not shipped: rows are held against themselves
    membership  whether the top 5 are the owners of the best classes of the parent, so that a class may stand there twice
    """
    if not len(rows):
        yield "holds no image"
        return
    yield from _kinds(rows)
    if rows.index.min() < 0 or _repeats(rows.index) or (key is None and len(set(rows.id.tolist())) < len(rows)):
        yield "answers an image twice"
        return
    target = rows.target if key is None else key.target
    if not np.array_equal(rows.target, target):
        yield _at("states a target that is not the class of its image", rows.target != target, rows)
    classes = None if key is None else len(key.labels)
    yield from _ranges(rows, classes, key)
    if key is not None and _outside(rows, key):
        return  # the columns cannot be looked up
    yield from _top5(rows, classes, membership)
    if key is None and not np.array_equal(rows.correct, rows.predicted == rows.target):
        yield "calls answers right that are not the target, or the reverse"
    if key is not None:
        yield from _right(rows, key)


def _kinds(rows: Predictions) -> Iterator[str]:
    for name in ("index", "target", "predicted", "top5", "predicted_1000"):
        if getattr(rows, name).dtype != np.int64:
            yield f"holds {name} as {getattr(rows, name).dtype}, wanted int64"
    for name in ("correct", "correct_1000", "correct_top5"):
        if getattr(rows, name).dtype != np.bool_:
            yield f"holds {name} as {getattr(rows, name).dtype}, wanted bool"


def _repeats(index: Ints) -> bool:
    return not bool((np.diff(index) > 0).all()) and len(np.unique(index)) != len(index)


def _ranges(rows: Predictions, classes: int | None, key: AnswerKey | None) -> Iterator[str]:
    """Numbers that no head can give: classes that are not there, negative margins, impossible probabilities."""
    top = np.iinfo(np.int64).max if classes is None else classes
    for name, column, low, high in (
        ("predicted", rows.predicted, 0, top),
        ("top5", rows.top5, -1, top),
        ("predicted_1000", rows.predicted_1000, -1, top if key is None else len(key.labels.parent_ids)),
    ):
        if column.min() < low or column.max() >= high:
            yield f"holds a class in {name} that the set does not have"
    thousand = rows.predicted_1000 < 0
    if thousand.any() and not thousand.all():
        yield _at("leaves out the answer over all classes for some images and not for others", thousand, rows)
    unknown = np.isnan(rows.margin)
    if (unknown.any() and not unknown.all()) or not bool((rows.margin[~unknown] >= 0).all()):
        yield _at("states a margin below 0, or for some images alone", unknown | (rows.margin < 0), rows)
    yield from _probabilities(rows, classes)


def _probabilities(rows: Predictions, classes: int | None) -> Iterator[str]:
    known = ~np.isnan(rows.confidence)
    if bool((known != ~np.isnan(rows.entropy)).any()):
        yield _at("states a confidence without an entropy, or the reverse", known == np.isnan(rows.entropy), rows)
        return
    if not known.any():
        return
    if not known.all():
        yield _at("states a confidence for some images alone", ~known, rows)
        return
    confidence, entropy = rows.confidence.astype(np.float64), rows.entropy.astype(np.float64)
    least, most = (0.0, math.inf) if classes is None else (1 / classes, math.log(classes))
    bad = (confidence < least - ROUNDING) | (confidence > 1 + ROUNDING)
    if bad.any():
        yield _at("states a confidence that no softmax gives", bad, rows)
    # Shannon's entropy is at least the min-entropy, minus the logarithm of the largest probability.
    floor = -np.log(np.clip(confidence, 1e-300, 1.0))
    bad = (entropy < -ROUNDING) | (entropy > most + ROUNDING) | (entropy < floor - ROUNDING - 1e-3 * floor)
    if bad.any():
        yield _at("states an entropy that no softmax of this confidence gives", bad, rows)


def _outside(rows: Predictions, key: AnswerKey) -> bool:
    classes, parents = len(key.labels), len(key.labels.parent_ids)
    return (
        bool(rows.predicted.min() < 0 or rows.predicted.max() >= classes or rows.top5.min() < -1)
        or bool(rows.top5.max() >= classes)
        or bool(rows.predicted_1000.min() < -1 or rows.predicted_1000.max() >= parents)
    )


def _top5(rows: Predictions, classes: int | None, membership: bool) -> Iterator[str]:
    """The five best begin with the best, name no class twice, and are as many as there are classes for."""
    top5, tied = rows.top5, rows.margin == 0
    apart = top5[:, 0] != rows.predicted
    if membership:  # of equal scores the parent's order decides, not the set's
        apart &= ~tied
    if apart.any():
        yield _at("lists five best classes that do not begin with the best", apart, rows)
    if _one_answer_each(rows):
        return
    held = top5 >= 0
    wanted = TOP if classes is None else min(TOP, classes)
    if not (held[:, :wanted].all() and not held[:, wanted:].any()) and classes is not None:
        yield _at(f"lists other than {wanted} best classes", held.sum(axis=1) != wanted, rows)
        return
    if not membership:
        ordered = np.sort(top5, axis=1)
        double = ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any(axis=1)
        if double.any():
            yield _at("lists a class twice among the five best", double, rows)


def _right(rows: Predictions, key: AnswerKey) -> Iterator[str]:
    """Right and wrong, recomputed from the answers and the key."""
    labels = key.labels
    inside = np.where(rows.predicted_1000 >= 0, labels.owner[rows.predicted_1000], -1)
    full = rows.predicted_1000 >= 0
    if labels.is_full:
        apart = full & (rows.predicted_1000 != rows.predicted)
    else:  # the best of all classes is the best of the set's where it is one of them; of equal scores either may come first
        apart = (inside >= 0) & (inside != rows.predicted) & ~(rows.margin == 0)
    if apart.any():
        yield _at("answers otherwise among all classes than among the set's own", apart, rows)
    for name, correct in (
        ("correct", key.accepts(rows.predicted)),
        ("correct_1000", key.accepts(inside) & full),
        ("correct_top5", key.accepts(rows.top5).any(axis=1)),
    ):
        stated = getattr(rows, name)
        if not np.array_equal(stated, correct):
            yield _at(f"calls answers right that are not ({name}), or the reverse", stated != correct, rows)


def _at(sentence: str, wrong: NDArray[np.bool_], rows: Predictions) -> str:
    where = np.flatnonzero(wrong)
    first = f", first {rows.id[where[0]]}" if len(where) else ""
    return f"{sentence} ({len(where):,} of {len(rows):,}{first})"
