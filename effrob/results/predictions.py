"""What a head said of each image: the primary record, from which every accuracy is derived.

It needs neither the model nor the images: a file of it can be checked and scored again on any laptop.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from effrob.errors import EffrobError
from effrob.files import whole_file
from effrob.results.accuracy import Accuracy
from shifts.bounds.files import open_regular, read_arrays

TOP = 5
SCHEMA = 2
ADDED = ("confidence", "entropy")  # by schema 2; NaN where a file lacks them


@dataclass(frozen=True)
class Predictions:
    """One row an image, in the shift's row order; N rows, K classes in the label space.

    index          (N,) int64 row in the source
    id             (N,) str
    target         (N,) int64 in [0, K)
    predicted      (N,) int64 in [0, K)
    top5           (N, 5) int64, best first, padded with -1 where K < 5
    predicted_1000 (N,) int64 argmax over all the parent's classes, -1 where the head speaks only of the K
    correct        (N,) bool: `predicted` is the target, or one of the accepted answers
    correct_1000   (N,) bool: `predicted_1000` belongs to the target's group; all False where it is -1
    correct_top5   (N,) bool: one of the five is right
    margin         (N,) float32, best score minus second best, in the head's own units
    confidence     (N,) float32, largest probability of the softmax over the K classes at the head's own temperature
    entropy        (N,) float32, of the same, in nats; both NaN where the head has no softmax, and in files of schema 1
    """

    index: NDArray[np.int64]
    id: NDArray[np.str_]
    target: NDArray[np.int64]
    predicted: NDArray[np.int64]
    top5: NDArray[np.int64]
    predicted_1000: NDArray[np.int64]
    correct: NDArray[np.bool_]
    correct_1000: NDArray[np.bool_]
    correct_top5: NDArray[np.bool_]
    margin: NDArray[np.float32]
    confidence: NDArray[np.float32]
    entropy: NDArray[np.float32]

    def __post_init__(self) -> None:
        n = len(self.index)
        for field in fields(self):
            if len(getattr(self, field.name)) != n:
                raise ValueError(f"predictions: {field.name} has {len(getattr(self, field.name))} rows, index has {n}")
        if self.top5.shape != (n, TOP):
            raise ValueError(f"predictions: top5 must be ({n}, {TOP}), got {self.top5.shape}")

    def __len__(self) -> int:
        return len(self.index)

    @property
    def accuracy(self) -> Accuracy:
        """Right answers of all, in the label space."""
        return Accuracy(int(self.correct.sum()), len(self))

    @property
    def accuracy_1000(self) -> Accuracy | None:
        """Right answers of all when every class of the parent competes; None where the head has no such scores."""
        if len(self) and bool((self.predicted_1000 < 0).all()):
            return None
        return Accuracy(int(self.correct_1000.sum()), len(self))

    def save(self, path: Path) -> str:
        """Write an .npz, whole or not at all; the bytes depend on the content alone. Returns its SHA-256."""
        with whole_file(path) as file:
            columns = {field.name: getattr(self, field.name) for field in fields(self)}
            np.savez_compressed(file, schema=np.int64(SCHEMA), **columns)
        return file_digest(path)


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_predictions(path: Path, sha256: str | None = None) -> Predictions:
    """Read what `save` wrote. Raises EffrobError where the file is torn, foreign or not the one its record names."""
    try:
        if sha256 is not None and file_digest(path) != sha256:
            raise EffrobError(
                f"{path} is not the file its record names (its SHA-256 differs): evaluate the model again"
            )
        arrays = read_arrays(path)
        schema = int(arrays["schema"]) if "schema" in arrays else 1
        if schema > SCHEMA:
            raise EffrobError(f"{path} is of schema {schema}, and this effrob reads up to {SCHEMA}: upgrade effrob")
        kept = [field.name for field in fields(Predictions) if schema == SCHEMA or field.name not in ADDED]
        columns: dict[str, Any] = {name: arrays[name] for name in kept}
        unknown = np.full(len(columns["index"]), np.nan, dtype=np.float32)
        return Predictions(**{**dict.fromkeys(ADDED, unknown), **columns})
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise EffrobError(f"{path} is not a readable predictions file ({error}): evaluate the model again") from error
