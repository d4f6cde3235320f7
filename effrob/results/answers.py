"""Per-image answers of several models side by side: what paired statistics and the statistics over images read.

One matrix a view: the shift's images, or the class-matched clean images that go with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from effrob.errors import UsageProblem, suggest
from effrob.results.model_result import ModelResult
from shifts.bounds.files import read_arrays

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class PredictionMatrix:
    """M models on the same N images.

    ids (N,) str; target (N,) class index; correct (M, N) bool; predicted (M, N) class index
    """

    models: tuple[str, ...]
    ids: NDArray[np.str_]
    target: Ints
    correct: Bools
    predicted: Ints

    def __post_init__(self) -> None:
        shape = (len(self.models), len(self.ids))
        if self.correct.shape != shape or self.predicted.shape != shape or len(self.target) != shape[1]:
            raise UsageProblem(
                f"answers of {shape[0]} models on {shape[1]} images were wanted, found arrays {self.correct.shape} "
                f"and {self.predicted.shape}: build the baseline again"
            )

    def row(self, model: str) -> int:
        """Raises UsageProblem for a model without answers here."""
        if model not in self.models:
            raise UsageProblem(f"no answers of {model!r} are kept{suggest(model, self.models)}")
        return self.models.index(model)

    def order(self, ids: NDArray[np.str_]) -> Ints:
        """Positions in `ids` of this matrix's images. Raises UsageProblem where one is missing."""
        mine, theirs = same_names(self.ids, ids)
        places = {name: i for i, name in enumerate(theirs.tolist())}
        missing = [name for name in mine.tolist() if name not in places]
        if missing:
            raise UsageProblem(
                f"the models answered different images: {len(missing)} of {len(self.ids)} are missing, first {missing[0]}"
            )
        return np.array([places[name] for name in mine.tolist()], dtype=np.int64)

    def only(self, models: Sequence[str]) -> PredictionMatrix:
        """The same images, these models in this order."""
        rows = [self.row(model) for model in models]
        return PredictionMatrix(tuple(models), self.ids, self.target, self.correct[rows], self.predicted[rows])


def same_names(first: NDArray[np.str_], second: NDArray[np.str_]) -> tuple[NDArray[np.str_], NDArray[np.str_]]:
    """Two sets' ids, made comparable: as they are where they are equal, else by file name where that names each image once.

    The validation images lie flat on one disk and in class folders on another, under the same official names.
    """
    if len(first) != len(second) or set(first.tolist()) == set(second.tolist()):
        return first, second
    names = [np.array([id.rpartition("/")[2] for id in ids.tolist()], dtype=np.str_) for ids in (first, second)]
    return (names[0], names[1]) if all(len(set(each.tolist())) == len(each) for each in names) else (first, second)


def same_images(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Whether two models' answers (columns with `id`) are about the same images, in whatever order."""
    one, two = same_names(first["id"].astype(str), second["id"].astype(str))
    return set(one.tolist()) == set(two.tolist())


def aligned(first: Mapping[str, Any], second: Mapping[str, Any]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """`correct` of two models' answers, (n,) each, in the first one's order of images.

    Raises UsageProblem for an image named twice, and for answers to different images.
    """
    for ids in (first["id"].tolist(), second["id"].tolist()):
        if len(set(ids)) < len(ids):
            twice = next(name for name, n in Counter(ids).items() if n > 1)
            raise UsageProblem(f"a model's answers name the image {twice} twice: evaluate it again")
    mine, theirs = same_names(first["id"].astype(str), second["id"].astype(str))
    places = {name: i for i, name in enumerate(theirs.tolist())}
    order = [places.get(name, -1) for name in mine.tolist()]
    if -1 in order or len(order) != len(places):
        raise UsageProblem(
            f"the two models answered different images ({len(order)} and {len(places)}): evaluate both on the same set"
        )
    return first["correct"].astype(np.bool_), second["correct"].astype(np.bool_)[order]


@dataclass(frozen=True, eq=False)
class BaselineAnswers:
    """shift -> matrix on the shift, and on its clean view."""

    shift: Mapping[str, PredictionMatrix]
    clean: Mapping[str, PredictionMatrix]


def answers_of(members: Sequence[ModelResult]) -> BaselineAnswers | None:
    """Per-image answers of measured models, on the shifts where every member measured there has them; None without one."""
    on_shift, on_clean = {}, {}
    for shift in dict.fromkeys(shift for member in members for shift in member.accuracies):
        folders = {m.model: m.folder(shift) for m in members if shift in m.accuracies}
        known = {model: folder for model, folder in folders.items() if folder is not None}
        files = [folder / file for folder in known.values() for file in ("predictions.npz", "clean.npz")]
        if len(known) == len(folders) and all(path.is_file() for path in files):
            on_shift[shift] = _matrix({model: folder / "predictions.npz" for model, folder in known.items()})
            on_clean[shift] = _matrix({model: folder / "clean.npz" for model, folder in known.items()})
    return BaselineAnswers(on_shift, on_clean) if on_shift else None


def _matrix(files: Mapping[str, Path]) -> PredictionMatrix:
    """Members' answers in the image order of the first."""
    columns = [read_npz(path, ("id", "target", "predicted", "correct")) for path in files.values()]
    ids, target = columns[0]["id"].astype(str), columns[0]["target"].astype(np.int64)
    empty = PredictionMatrix((), ids, target, np.zeros((0, len(ids)), np.bool_), np.zeros((0, len(ids)), np.int64))
    orders = [empty.order(each["id"].astype(str)) for each in columns]
    correct = np.array([each["correct"].astype(np.bool_)[order] for each, order in zip(columns, orders)])
    predicted = np.array([each["predicted"].astype(np.int64)[order] for each, order in zip(columns, orders)])
    return PredictionMatrix(tuple(files), ids, target, correct, predicted)


def read_npz(path: Path, names: Sequence[str]) -> dict[str, Any]:
    """Named arrays of an .npz without pickles. Raises UsageProblem where the file is torn or lacks one."""
    try:
        return read_arrays(path, names)
    except (OSError, KeyError, ValueError) as error:
        raise UsageProblem(f"{path} is not a readable file of per-image answers ({error}): build it again") from None
