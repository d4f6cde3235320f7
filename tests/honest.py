"""Records that could be: answers on the images that the official sets hold, under names and classes they may have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from effrob.results.given.columns import known_sets, set_size
from effrob.results.predictions import TOP, Predictions
from effrob.results.provenance import here
from effrob.results.record import EvalRecord, EvalSpec, imported_digest
from effrob.results.recount import key as keys
from effrob.results.recount import proof
from effrob.results.store import ResultStore, Stored, count
from shifts import Shift, suite_of
from shifts.answer_key import label_space, listed
from shifts.classes import Expected, class_table, folder_order
from shifts.imagenet import real_labels, val_labels
from shifts.labels import LabelSpace
from shifts.protocol import protocol
from shifts.shift import label_digest


def digest(letter: str) -> str:
    """A digest that could be one."""
    return (f"0{letter}1f" * 16)[:64]


@contextmanager
def small_sets(total: int = 1000, suite: str = "imagenet") -> Iterator[None]:
    """Every official set holds `total` images meanwhile, as evenly over its classes as can be: quick to write and to read.

    Published accuracies keep their official counts, which are read before, and once for a whole process.
    """
    for name in known_sets():
        set_size(name)
    table = class_table(suite)
    before, changed = dict(table.expected), dict(table.expected)
    for name in before:
        of = suite_of(name).sets[name]
        folders = table.ids if of.folder_names == "indices" else folder_order(of, table)
        each = {f: total // len(folders) + (k < total % len(folders)) for k, f in enumerate(folders)}
        changed[name] = Expected(total, None if name in ("imagenet-r", "imagenet-a") else each)
    assert isinstance(table.expected, dict)
    try:
        table.expected.update(changed)
        _forget()
        yield
    finally:
        table.expected.update(before)
        _forget()


def _forget() -> None:
    keys._keys.clear()
    proof._whole_questions.cache_clear()
    official.cache_clear()


@lru_cache(maxsize=64)
def official(name: str, named_protocol: str = "effrob") -> Shift:
    """A whole official set, without its pictures."""
    table = class_table(str(suite_of(name).classes))
    if name in ("imagenet", "imagenet-real"):
        ids = _validation(name, {table.index[c]: n for c, n in (table.expected["imagenet"].each or {}).items()})
    else:
        of = suite_of(name).sets[name]
        folders, expected = folder_order(of, table), table.expected[name]
        prefix = "images/" if of.folder_names == "objects" else ""
        shared = [expected.total // len(folders) + (k < expected.total % len(folders)) for k in range(len(folders))]
        each = expected.each or dict(zip(folders, shared, strict=True))
        counts = {f: each[table.ids[int(f)] if of.folder_names == "indices" else f] for f in folders}
        ids = [f"{prefix}{folder}/{i:05d}.jpg" for folder in sorted(counts) for i in range(counts[folder])]
    shift, _ = listed(name, sorted(ids), "it", protocol(named_protocol))
    assert not shift.partial, name
    return shift


def _validation(name: str, counts: dict[int, int]) -> list[str]:
    left, ids = dict(counts), []
    for number, label in enumerate(val_labels().tolist(), 1):
        if left[label] and (name == "imagenet" or real_labels()[number - 1]):
            left[label] -= 1
            ids.append(f"{class_table('imagenet').ids[label]}/ILSVRC2012_val_{number:08d}.JPEG")
    return ids


def answers(
    shift: Shift, right: float | np.ndarray, seen_as: str | None = None, seed: int | None = None
) -> Predictions:
    """Answers of which the first share, or those marked, are right; wrong ones name another class: half way round, or drawn.

    seen_as  the shift among whose classes the clean set `shift` is asked; `right` is then of all its images, and the answers
             over all classes are those that the whole set's own record of the same seed gives
    """
    marked = isinstance(right, np.ndarray)
    correct = right if marked else np.arange(len(shift)) < round(right * len(shift))
    many = len(shift.labels)
    step = many // 2 if seed is None else np.random.default_rng(seed).integers(1, many, size=len(shift))
    said = np.where(correct, shift.targets, (shift.targets + step) % many)
    if seen_as is None:
        thousand = np.array([group[0] for group in shift.labels.groups])[said]
        return _rows(shift, np.arange(len(shift)), shift.labels, shift.targets, said, thousand)
    labels = label_space(seen_as, protocol(shift.protocol))
    rows, targets = labels.restrict(shift.targets)
    correct = correct[rows] if marked else np.arange(len(rows)) < round(right * len(rows))
    wrong = (shift.targets + step)[rows] % many
    inside, next_one = labels.owner[wrong], (targets + len(labels) // 2) % len(labels)
    predicted = np.where(correct, targets, np.where(inside >= 0, inside, next_one))
    return _rows(shift, rows, labels, targets, predicted, np.where(correct, shift.targets[rows], wrong))


def told(name: str, ids: np.ndarray, predicted: np.ndarray, seen_as: str | None = None) -> Predictions:
    """The rows of these answers, as a head without further scores gives them, to images by these ids."""
    key = keys.key_of(name, ids, "effrob", seen_as)
    assert key is not None
    thousand = np.array([group[0] for group in key.labels.groups])[predicted]
    shift = replace(key.shift, targets=key.target)
    return replace(_rows(shift, np.arange(len(ids)), key.labels, key.target, predicted, thousand), id=ids)


def _rows(
    shift: Shift, rows: np.ndarray, labels: LabelSpace, targets: np.ndarray, predicted: np.ndarray, thousand: np.ndarray
) -> Predictions:
    top5 = (predicted[:, None] + np.arange(min(TOP, len(labels)))) % len(labels)
    top5 = np.pad(top5, ((0, 0), (0, TOP - top5.shape[1])), constant_values=-1)
    if labels.own_text:
        thousand = np.full(len(rows), -1)
    accepted = None if shift.accepted is None else [set(shift.accepted[int(i)]) for i in rows]
    if accepted is None:
        right, right5 = predicted == targets, (top5 == targets[:, None]).any(axis=1)
    else:
        right = np.array([int(p) in each for p, each in zip(predicted, accepted, strict=True)])
        right5 = np.array([not each.isdisjoint(map(int, five)) for five, each in zip(top5, accepted, strict=True)])
    inside = np.where(thousand >= 0, labels.owner[thousand], -1)
    right_1000 = right & (thousand >= 0) if accepted is not None else inside == targets
    return Predictions(
        index=shift.rows[rows].astype(np.int64),
        id=np.array(shift.ids, dtype=np.str_)[rows],
        target=targets.astype(np.int64),
        predicted=predicted.astype(np.int64),
        top5=top5.astype(np.int64),
        predicted_1000=thousand.astype(np.int64),
        correct=right,
        correct_1000=right_1000,
        correct_top5=right5,
        margin=np.ones(len(rows), dtype=np.float32),
        confidence=np.full(len(rows), 0.5, dtype=np.float32),
        entropy=np.ones(len(rows), dtype=np.float32),
    )


ASKED = EvalSpec(
    "my-model", digest("d"), "default", {"size": [224, 224]}, "exact", "fp32", "native", None, "native", "effrob",
    "", "", "", "", None, None,
)  # fmt: skip


def record_of(
    model: str,
    shift: Shift,
    rows: Predictions,
    clean: Predictions | None = None,
    clean_full: Predictions | None = None,
    asked: EvalSpec = ASKED,
    resolved: Mapping[str, Any] | None = None,
    partial: bool = False,
    clean_shift: Shift | None = None,
    origin: str = "measured",
) -> EvalRecord:
    """The record that a run would keep of these answers; clean_full defaults to the clean view."""
    whole = clean_shift
    if whole is None and clean is not None:
        whole = official(str(shift.clean), shift.protocol)
    spec = replace(
        asked,
        model=model,
        model_digest=asked.model_digest if origin == "measured" else imported_digest(model),
        shift=shift.name,
        protocol=shift.protocol,
        label_space=shift.labels.name,
        source=digest("5") if shift.clean else digest("c"),
        question=label_digest(replace(shift, rows=rows.index, targets=rows.target)),
        clean_source=None if whole is None else digest("e" if whole.partial else "c"),
        clean_question=None if whole is None else label_digest(whole),
    )
    full = clean if clean_full is None else clean_full
    return EvalRecord(
        asked=spec,
        weights=None,
        model_asked=model,
        counts=count(rows),
        n_expected=shift.n_expected,
        partial=partial or shift.partial or (whole is not None and whole.partial),
        clean=None if clean is None else count(clean),
        clean_full=None if full is None else count(full),
        files={},
        resolved={"kind": "logits", **(resolved or {})},
        provenance=here("cpu", "fp32"),
        origin=origin,
    )


def keep(
    root: Path,
    model: str,
    shift: str,
    right: float | np.ndarray,
    clean: float | np.ndarray | None = None,
    seed: int | None = None,
    n: int | None = None,
    **told: Any,
) -> Stored:
    """A record of an official set below `root`, with the answers of `clean` on its clean set: a share, or image by image.

    n  images of either, where not all are wanted: the record is then partial
    """
    of = official(shift) if n is None else official(shift).limited(n)
    rows, view, full, whole = answers(of, right, seed=seed), None, None, None
    if clean is not None and of.clean is not None:
        whole = official(of.clean) if n is None else official(of.clean).limited(n)
        if isinstance(clean, float):  # the same share of every class, so that every view of the clean set has it
            clean = shares(whole, clean)
        view, full = answers(whole, clean, seen_as=shift, seed=seed), answers(whole, clean, seed=seed)
    return ResultStore(root).write(record_of(model, of, rows, view, full, clean_shift=whole, **told), rows, view)


def shares(shift: Shift, share: float) -> np.ndarray:
    """Which images of a clean set are right, so that its share is exact, and that of every view as near as can be."""
    suite, under = suite_of(shift.name), protocol(shift.protocol)
    views = [label_space(name, under).owner[shift.targets] >= 0 for name in (*suite.ranked, *suite.diagnostic)]
    order = np.lexsort(tuple(views))
    steps = np.floor(share * np.arange(len(shift) + 1) + 1e-9)
    right = np.zeros(len(shift), dtype=bool)
    right[order] = np.diff(steps) > 0
    return right
