"""Answers of a file as predictions: in the set's label space, with the five best classes where scores tell them."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from effrob.errors import UsageProblem
from effrob.results.answer_files import AnswerFile
from effrob.results.answer_values import NUMBER, place
from effrob.results.predictions import TOP, Predictions
from shifts.protocol import protocol
from shifts.shift import Shift

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class MatchedAnswers:
    """A file of answers beside its set: `place` (n,) is the row of the file that answers each row of `shift`."""

    file: AnswerFile
    shift: Shift
    place: Ints


def predictions_of(answers: MatchedAnswers, clean_of: Shift | None = None) -> Predictions | None:
    """Answers as predictions in the label space of the set, or of `clean_of`, whose clean set it is.

    None where the answers do not tell the best one among a subset's own classes. Raises UsageProblem for classes outside the
    set, and for another number of scores.
    """
    shift, file = answers.shift, answers.file
    space = (clean_of or shift).labels
    rows, targets, accepted = np.arange(len(shift)), shift.targets, shift.accepted
    if clean_of is not None and not space.is_full:
        if file.logits is None or space.own_text:
            return None
        kept, targets = space.restrict(shift.targets)
        rows, accepted = rows[kept], None
    at = answers.place[rows]
    if file.logits is not None:
        made = _of_scores(file, at, clean_of or shift)
    else:
        assert file.classes is not None
        made = _of_classes(file, file.classes[at], clean_of or shift)
    predicted, top5, thousand, margin = made
    correct, correct_1000 = predicted == targets, (space.owner[thousand] == targets) & (thousand >= 0)
    correct_top5 = (top5 == targets[:, None]).any(axis=1)
    if accepted is not None:
        right = [set(each) for each in accepted]
        correct = np.array([p in r for p, r in zip(predicted.tolist(), right)], dtype=bool)
        correct_1000 = np.array([p in r for p, r in zip(thousand.tolist(), right)], dtype=bool)
        correct_top5 = np.array([not r.isdisjoint(five) for five, r in zip(top5.tolist(), right)], dtype=bool)
    ids = shift.ids
    unknown = np.full(len(rows), np.nan, np.float32)
    return Predictions(
        index=shift.rows[rows].astype(np.int64),
        id=np.array([ids[int(row)] for row in rows], dtype=np.str_),
        target=targets.astype(np.int64),
        predicted=predicted,
        top5=top5,
        predicted_1000=thousand,
        correct=correct,
        correct_1000=correct_1000,
        correct_top5=correct_top5,
        margin=margin,
        confidence=unknown,  # the temperature of imported scores is not known
        entropy=unknown,
    )


def _of_scores(file: AnswerFile, at: Ints, of: Shift) -> tuple[Ints, Ints, Ints, NDArray[np.float32]]:
    assert file.logits is not None
    space, width = of.labels, file.logits.shape[1]
    parent = width == len(space.parent_ids) and not (space.own_text and width != len(space))
    if not parent and width != len(space):
        widths = (len(space),) if space.own_text else (len(space.parent_ids), len(space))
        wanted = " or ".join(map(str, dict.fromkeys(widths)))
        more = " (a background class first: drop column 0)" if width == len(space.parent_ids) + 1 else ""
        if len(file.logits) in widths:
            more = " (a row a class, it seems: transpose it)"
        raise UsageProblem(
            f"{file.where} has {width} scores an image, and {of.name} wants {wanted}{more}: give a score a class, in the order "
            "of the class ids"
        )
    membership = protocol(of.protocol).collapse == "membership"
    predicted, thousand = np.zeros(len(at), np.int64), np.full(len(at), -1, np.int64)
    top5, margin = np.full((len(at), TOP), -1, np.int64), np.zeros(len(at), np.float32)
    for start in range(0, len(at), 4096):
        part = slice(start, start + 4096)
        given = scores = file.logits[at[part]]
        if parent:
            thousand[part] = scores.argmax(axis=1)  # equal scores: the lower class, as everywhere here
            scores = scores[:, space.members].max(axis=-1)
        best = np.argsort(-scores, axis=1, kind="stable")[:, :TOP]
        if parent and membership:
            inside = np.where(space.owner >= 0, given, -np.inf)
            top5[part] = space.owner[np.argsort(-inside, axis=1, kind="stable")[:, :TOP]]
        else:
            top5[part, : best.shape[1]] = best
        predicted[part] = best[:, 0]
        ordered = np.take_along_axis(scores, best, axis=1)
        if ordered.shape[1] > 1:
            margin[part] = ordered[:, 0] - ordered[:, 1]
    if len(at) > 1 and not margin.any():
        raise UsageProblem(f"{file.where} gives every class the same score in every row: it answers nothing")
    return predicted, top5, thousand, margin


def _of_classes(
    file: AnswerFile, classes: NDArray[np.int64] | NDArray[np.str_], of: Shift
) -> tuple[Ints, Ints, Ints, NDArray[np.float32]]:
    space = of.labels
    numbers, own = _numbered(file, classes, of)
    if own:
        predicted, thousand = numbers, np.full(len(numbers), -1, np.int64)
    else:
        predicted, thousand = space.owner[numbers], np.full(len(numbers), -1, np.int64)
        outside = int((predicted < 0).sum())
        if outside:
            raise UsageProblem(
                f"{file.where}: {outside:,} of {len(numbers):,} answers are outside the {len(space)} classes of {of.name}: "
                "they compete among all, and effrob's protocols and lines among the set's own; give logits over all "
                "classes, or the best answer among the set's"
            )
    if space.is_full:
        thousand = predicted
    top5 = np.full((len(numbers), TOP), -1, np.int64)
    top5[:, 0] = predicted
    return predicted, top5, thousand, np.full(len(numbers), np.nan, np.float32)


def _numbered(file: AnswerFile, classes: NDArray[np.int64] | NDArray[np.str_], of: Shift) -> tuple[Ints, bool]:
    """(class numbers, whether they count the set's own classes rather than its parent's)."""
    space = of.labels
    if classes.dtype.kind in "US":
        names = {id: k for k, id in enumerate(space.class_ids)}
        own = set(classes.tolist()) <= names.keys()
        known = names if own else {id: k for k, id in enumerate(space.parent_ids)}
        strange = set(classes.tolist()) - known.keys()
        if strange:
            row, found = _first(file, strange)
            raise UsageProblem(
                f"{file.where} answers {found!r} in {place(file.column, row)}, which is no class of "
                f"{of.name}: give class ids, as {space.class_ids[0]}, or their numbers, from 0, in every row"
            )
        return np.array([known[name] for name in classes.tolist()], dtype=np.int64), own
    numbers = np.asarray(classes, dtype=np.int64)
    every = np.asarray(file.classes, dtype=np.int64)
    low, high = int(every.min()), int(every.max())
    if low < 0 or high >= len(space.parent_ids):
        row = int(np.flatnonzero((every < 0) | (every >= len(space.parent_ids)))[0])
        background = high == len(space.parent_ids) == 1000
        raise UsageProblem(
            f"{file.where} holds the class {int(every[row])} in {place(file.column, row)}, and {of.name} has 0 to "
            f"{len(space.parent_ids) - 1}{' (1000 and a background class: subtract 1)' if background else ''}: count from 0 in "
            "the order of the class ids"
            f"{', and where -1 stands for no answer, leave that image out and give --partial' if low == -1 else ''}"
        )
    own = space.is_full or high < len(space)
    if own and not space.is_full and bool((space.owner[every] >= 0).all()):
        raise UsageProblem(
            f"{file.where}: its class numbers could count the {len(space)} classes of {of.name} or all "
            f"{len(space.parent_ids)}: give class ids instead, as {space.class_ids[0]}"
        )
    return numbers, own


def _first(file: AnswerFile, strange: Set[str]) -> tuple[int, str]:
    """(row, text) of the first answer that is no class: where most are numbers, the first that is none."""
    assert file.classes is not None
    answers = list(map(str, file.classes.tolist()))
    numbers = {text for text in strange if NUMBER.fullmatch(text)}
    counted = sum(text in numbers for text in answers)
    odd = strange - numbers if 2 * counted > len(answers) else strange
    return next((row, text) for row, text in enumerate(answers) if text in (odd or strange))
