"""The questions that can be put to one pass over a set: which images, among which classes, with which answers right."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from shifts.classes import ClassTable, imagenet, pocket
from shifts.labels import LabelSpace
from shifts.shift import Shift

Ints = NDArray[np.int64]
COLLAPSES = ("max", "mean", "sum")


@dataclass(frozen=True)
class AnswerView:
    """rows (n,) of the source and targets (n,) in the K classes that are made of `labels`' parent.

    answer, collapse, axis, classes  as in `ProtocolSetting`; collapse None where no class has several parent classes
    accepted  every right answer a row, or None
    """

    answer: str
    collapse: str | None
    labels: LabelSpace
    rows: Ints
    targets: Ints
    axis: str | None = None
    classes: str | None = None
    accepted: tuple[tuple[int, ...], ...] | None = None

    def predict(self, scores: torch.Tensor, logit_scale: float | None) -> Ints:
        """(B, P) parent scores, or (B, K) of the set's own names -> (B,) class, -1 for an answer outside the set."""
        if self.labels.own_text:
            return np.asarray(scores.argmax(dim=1).cpu().numpy(), dtype=np.int64)
        if self.answer in ("1000-way", "mapped"):
            return np.asarray(self.labels.owner[scores.argmax(dim=1).cpu().numpy()], dtype=np.int64)
        return np.asarray(self._collapsed(scores, logit_scale).argmax(dim=1).cpu().numpy(), dtype=np.int64)

    def _collapsed(self, scores: torch.Tensor, logit_scale: float | None) -> torch.Tensor:
        if self.collapse in (None, "max"):
            return scores[:, torch.from_numpy(self.labels.members)].amax(dim=-1)
        parts = [scores[:, list(group)] for group in self.labels.groups]
        if self.collapse == "mean":
            return torch.stack([part.mean(dim=1) for part in parts], dim=1)
        scale = 1.0 if logit_scale is None else logit_scale
        return torch.stack([torch.logsumexp(part * scale, dim=1) for part in parts], dim=1)

    def right(self, predicted: Ints, at: slice) -> NDArray[np.bool_]:
        """(B,) whether predictions of these rows are right."""
        if self.accepted is None:
            return np.asarray(predicted == self.targets[at], dtype=np.bool_)
        return np.array(
            [int(p) in answers for p, answers in zip(predicted, self.accepted[at], strict=True)], dtype=bool
        )


def views_of(shift: Shift) -> Iterator[AnswerView]:
    """A test set among its own classes and among all of its parent's, by every collapse."""
    labels = shift.labels
    many = any(len(group) > 1 for group in labels.groups)
    if not labels.is_full:
        for collapse in COLLAPSES if many else (None,):
            yield AnswerView("masked", collapse, labels, shift.rows, shift.targets, accepted=shift.accepted)
    whole = "mapped" if many else "1000-way"
    yield AnswerView(whole, None, labels, shift.rows, shift.targets, accepted=shift.accepted)


def clean_views(clean: Shift, others: Mapping[str, LabelSpace]) -> Iterator[AnswerView]:
    """A clean set on all its classes, and on the classes of each other set that has fewer."""
    yield AnswerView("1000-way", None, clean.labels, clean.rows, clean.targets, "full", accepted=clean.accepted)
    for name, labels in others.items():
        if labels.is_full or clean.accepted is not None or labels.parent_ids != clean.labels.parent_ids:
            continue
        kept, targets = labels.restrict(clean.targets)
        many = any(len(group) > 1 for group in labels.groups)
        for collapse in COLLAPSES if many else (None,):
            yield AnswerView("masked", collapse, labels, clean.rows[kept], targets, "clean", name)
        yield AnswerView("mapped" if many else "1000-way", None, labels, clean.rows[kept], targets, "clean", name)


def own_name_views(shift: Shift) -> dict[str, tuple[AnswerView, ...]]:
    """List of names -> views in which the set's own class names compete; empty where it has none of its own."""
    table = _table_of(shift.labels)
    if table is None or set(shift.labels.class_ids) - set(table.object_groups):
        return {}
    others = tuple(sorted(table.object_others))
    made = {}
    for name, written in (("own", str.lower), ("own, as written", str)):
        spoken = [written(table.object_names[folder]) for folder in shift.labels.class_ids]
        alone = dataclasses.replace(shift.labels, class_names=tuple(spoken), own_text=True)
        views = [AnswerView("own-names", None, alone, shift.rows, shift.targets)]
        if others and all(folder in table.object_names for folder in others):
            made_of = len(shift.labels.parent_ids)
            wide = LabelSpace(
                f"{shift.labels.name}-all",
                (*shift.labels.class_ids, *others),
                (*spoken, *(written(table.object_names[folder]) for folder in others)),
                (*shift.labels.groups, *((made_of + i,) for i in range(len(others)))),
                (*shift.labels.parent_ids, *others),
                (*shift.labels.parent_names, *others),
                own_text=True,
            )
            views.append(AnswerView(f"all-{len(wide)}", None, wide, shift.rows, shift.targets))
        made[name] = tuple(views)
    return made


def _table_of(labels: LabelSpace) -> ClassTable | None:
    return next((table for table in (imagenet(), pocket()) if table.ids == labels.parent_ids), None)


def name_lists(labels: LabelSpace) -> dict[str, tuple[str, ...]]:
    """Every list of names a zero-shot head may speak of the parent's classes; lists equal to an earlier one are left out."""
    official = imagenet()
    is_imagenet = labels.parent_ids == official.ids
    lists = {"openai" if is_imagenet else "suite": labels.parent_names}
    lists["lower-case"] = tuple(name.lower() for name in labels.parent_names)
    if is_imagenet:
        from shifts.classes import DATA

        lines = (DATA / "imagenet_lemmas.txt").read_text(encoding="utf-8").splitlines()
        lists["wordnet"] = tuple(line.partition(",")[0] for line in lines)
    kept: dict[str, tuple[str, ...]] = {}
    for name, words in lists.items():
        if words not in kept.values():
            kept[name] = words
    return kept
