"""Checks of a problem's input: strengths above 0, one label a row, and weight in every class."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def check_strengths(strengths: Sequence[float]) -> list[float]:
    """Floats, in the order given. Raises ValueError where one is not a finite positive number, or there are none."""
    values = [float(c) for c in strengths]
    if not values or not all(math.isfinite(c) and c > 0 for c in values):
        raise ValueError(f"C must be finite and above 0, and it was {values if values else 'an empty list'}")
    return values


def check_labels(labels: NDArray[np.int64], n_rows: int, n_classes: int, weights: NDArray[np.float64] | None) -> None:
    """Raises ValueError for no rows, lengths that differ, labels out of range, one class, and classes without weight."""
    if n_rows == 0:
        raise ValueError("a probe needs at least one row of features, and there are none")
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"labels must be whole numbers, the places of classes, and these are {labels.dtype}")
    if len(labels) != n_rows:
        raise ValueError(f"the probe has {n_rows} rows of features and {len(labels)} labels: they must be as many")
    if weights is not None and (len(weights) != n_rows or not np.isfinite(weights).all() or (weights < 0).any()):
        raise ValueError("sample weights must be one finite number of at least 0 for each row")
    if n_classes < 2:
        raise ValueError(f"a probe needs rows of at least 2 classes, and there is {n_classes} class")
    if labels.min() < 0 or labels.max() >= n_classes:
        raise ValueError(f"labels must lie in 0..{n_classes - 1}, and they span {labels.min()}..{labels.max()}")
    missing = np.flatnonzero(np.bincount(labels, weights, minlength=n_classes) <= 0)
    if len(missing):
        shown = ", ".join(str(c) for c in missing[:5]) + (", …" if len(missing) > 5 else "")
        raise ValueError(
            f"{len(missing)} of {n_classes} classes have no training row ({shown}): the free intercept has no optimum"
        )
