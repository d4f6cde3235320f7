"""The right answers of a list of images, from their ids and the shipped tables, kept for the next record of the set."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from effrob.errors import EffrobError
from shifts import DataError, DataMissing, Shift
from shifts.answer_key import answers_are_shipped, label_space, listed
from shifts.classes import class_table
from shifts.labels import LabelSpace
from shifts.protocol import protocol
from shifts.registry import suite_of
from shifts.shift import label_digest

Ints = NDArray[np.int64]
KEPT = 64  # keys in memory: a results folder has a few dozen lists of images


@dataclass(frozen=True, eq=False)
class AnswerKey:
    """Right answers of N images, in the order of their ids.

    target    (N,) class in `labels`;  accepted  (N, A) every right answer, padded with -2, or None where target is the only one
    labels    what the targets are classes of;  clean  the clean set of this one, or None
    n_expected, complete  images that the official set has, and whether these are all of them, class by class
    parent    (N,) class of each image among all of its clean set's, where `seen_as` was given, else None
    shift     the set of these images in their order, as it is asked about: its own labels, not those of a view
    """

    target: Ints
    accepted: Ints | None
    labels: LabelSpace
    n_expected: int
    complete: bool
    clean: str | None
    shift: Shift
    parent: Ints | None = None
    _questions: dict[bytes, str] = field(default_factory=dict)

    def question(self, index: Ints) -> str:
        """The digest of what is asked of these rows of a source, as a measured record states it."""
        rows = index.tobytes()
        if rows not in self._questions:
            self._questions.clear()
            self._questions[rows] = label_digest(replace(self.shift, rows=index))
        return self._questions[rows]

    def accepts(self, answers: Ints) -> NDArray[np.bool_]:
        """Whether answers are right: (N,) -> (N,), or (N, k) -> (N, k)."""
        wide = answers.reshape(len(self.target), -1)
        right: NDArray[np.bool_]
        if self.accepted is None:
            right = wide == self.target[:, None]
        else:
            right = (wide[:, :, None] == self.accepted[:, None, :]).any(axis=2)
        return right.reshape(answers.shape)


_keys: OrderedDict[tuple[str, str, str | None, bytes], AnswerKey] = OrderedDict()


def key_of(name: str, ids: NDArray[np.str_], named_protocol: str, seen_as: str | None = None) -> AnswerKey | None:
    """The right answers of these images of a set; None where its labels are not shipped.

    seen_as  the shift whose classes a clean set is asked among: its class-matched view
    Raises EffrobError saying what in the ids cannot be.
    """
    if not answers_are_shipped(name):
        return None
    about = (name, named_protocol, seen_as, hashlib.blake2b(ids.tobytes(), digest_size=16).digest())
    if about in _keys:
        _keys.move_to_end(about)
        return _keys[about]
    try:
        key = _made(name, ids, named_protocol, seen_as)
    except (DataError, DataMissing, ValueError) as error:
        raise EffrobError(str(error)) from error
    _keys[about] = key
    if len(_keys) > KEPT:
        _keys.popitem(last=False)
    return key


def _made(name: str, ids: NDArray[np.str_], named_protocol: str, seen_as: str | None) -> AnswerKey:
    under = protocol(named_protocol)
    space = None if seen_as is None else label_space(seen_as, under)
    view = () if space is None else tuple(space.parent_ids[i] for group in space.groups for i in group)
    shift, place = listed(name, ids.tolist(), "it", under, view)
    order = np.argsort(place)
    target = shift.targets[order]
    accepted = None if shift.accepted is None else tuple(shift.accepted[int(i)] for i in order)
    shift = replace(shift, rows=np.arange(len(order)), targets=target, accepted=accepted)
    if space is None:
        return AnswerKey(
            target, _padded(accepted), shift.labels, shift.n_expected, not shift.partial, shift.clean, shift
        )
    inside = space.owner[target]
    if (inside < 0).any():
        stray = ids[int(np.argmax(inside < 0))]
        raise EffrobError(f"it answers {stray}, an image of {name} that shows no class of {seen_as}")
    wanted = _images_of(name, space)
    complete = wanted is not None and np.array_equal(np.bincount(target, minlength=len(wanted)), wanted)
    n_expected = len(ids) if wanted is None else int(wanted.sum())
    return AnswerKey(inside, None, space, n_expected, complete, None, shift, target)


def _padded(accepted: tuple[tuple[int, ...], ...] | None) -> Ints | None:
    if accepted is None:
        return None
    widest = max(map(len, accepted))
    return np.array([each + (-2,) * (widest - len(each)) for each in accepted], dtype=np.int64)


def _images_of(name: str, space: LabelSpace) -> Ints | None:
    """(P,) images of each class of a clean set that belong to the view; None where that is not published."""
    table = class_table(str(suite_of(name).classes))
    each = table.expected[name].each
    if each is None:
        return None
    return np.array([each[id] if space.owner[k] >= 0 else 0 for k, id in enumerate(table.ids)], dtype=np.int64)
