"""Answers: what every member of a built baseline said of each image, the ground of paired statistics.

One table a view: the shift's images, or the class-matched clean images that go with it. Pure numpy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from effrob.errors import UsageProblem, suggest

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
        """Positions in `ids` of this table's images. Raises UsageProblem where one is missing."""
        places = {name: i for i, name in enumerate(ids.tolist())}
        missing = [name for name in self.ids.tolist() if name not in places]
        if missing:
            raise UsageProblem(
                f"the models answered different images: {len(missing)} of {len(self.ids)} are missing, first {missing[0]}"
            )
        return np.array([places[name] for name in self.ids.tolist()], dtype=np.int64)

    def only(self, models: Sequence[str]) -> PredictionMatrix:
        """The same images, these models in this order."""
        rows = [self.row(model) for model in models]
        return PredictionMatrix(tuple(models), self.ids, self.target, self.correct[rows], self.predicted[rows])


@dataclass(frozen=True, eq=False)
class BaselineAnswers:
    """shift -> table on the shift, and on its clean view."""

    shift: Mapping[str, PredictionMatrix]
    clean: Mapping[str, PredictionMatrix]
