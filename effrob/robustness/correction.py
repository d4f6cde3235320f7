"""Corrections for asking many questions at once: Holm over one command, Benjamini and Hochberg over a board."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from effrob.errors import UsageProblem

METHODS = ("holm", "fdr")


def adjust(p_values: Sequence[float | None], method: str = "holm") -> list[float | None]:
    """Adjusted p-values in the order given; a None is no question and stays None.

    holm  family-wise error (Holm 1979), what one command asked;  fdr  false discovery rate (Benjamini, Hochberg 1995)
    """
    if method not in METHODS:
        raise UsageProblem(f"corrections are {' and '.join(METHODS)}; got {method!r}")
    asked = [i for i, p in enumerate(p_values) if p is not None]
    values = np.array([p_values[i] for i in asked], dtype=np.float64)
    if not ((values >= 0) & (values <= 1)).all():
        raise UsageProblem(f"a p-value lies in [0, 1]; got {values[~((values >= 0) & (values <= 1))][0]}")
    order, m = np.argsort(values, kind="stable"), len(values)
    ranked = values[order]
    if method == "holm":
        stepped = np.maximum.accumulate(ranked * (m - np.arange(m)))
    else:
        stepped = np.minimum.accumulate((ranked * m / np.arange(1, m + 1))[::-1])[::-1]
    adjusted = np.empty(m)
    adjusted[order] = np.minimum(stepped, 1.0)
    found: list[float | None] = [None] * len(p_values)
    for place, value in zip(asked, adjusted.tolist()):
        found[place] = value
    return found
