"""p-values, corrections for several questions, and tests of equivalence, all read off two-sided intervals.

A p-value is the level at which an interval just touches 0, so that p < 0.05 and the 95 % interval never disagree.
Equivalence is two one-sided tests (Schuirmann 1987) against a margin fixed before the data: a tenth of the reference model's
effective robustness on the shift. Passing is the 90 % interval lying inside the margin on both sides.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from effrob.errors import UsageProblem
from effrob.results.select import published_results
from effrob.robustness.fit import RobustnessFit

MOST_CERTAIN = 1e-300
METHODS = ("holm", "fdr")
REFERENCE = ("testbed", "vit_b_32_clip_zeroshot")
SHARE = 0.1  # of the reference's effective robustness
LEVEL = 0.90
TOLD = 2.0  # standard errors
Ends = tuple[float, float] | None


def p_of_zero(ends_at: Callable[[float], Ends]) -> float:
    """The level at which the interval would just touch 0.

    ends_at  the interval's ends for a tail probability; wider for a smaller tail
    """
    low, high = math.log(MOST_CERTAIN), math.log(0.5)

    def excludes_zero(log_tail: float) -> bool:
        ends = ends_at(math.exp(log_tail))
        return ends is not None and (ends[0] > 0 or ends[1] < 0)

    if excludes_zero(low):
        return 2 * MOST_CERTAIN
    for _ in range(60):
        middle = (low + high) / 2
        if excludes_zero(middle):
            high = middle
        else:
            low = middle
    return min(1.0, 2 * math.exp(high))


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
    result: list[float | None] = [None] * len(p_values)
    for place, value in zip(asked, adjusted.tolist()):
        result[place] = value
    return result


@dataclass(frozen=True)
class Equivalence:
    """margin  the fixed delta, a fraction, None where the reference was not measured on the shift

    equivalent  whether the 90 % interval lies strictly inside; smallest_margin  the least delta at which it would
    """

    margin: float | None
    equivalent: bool | None
    smallest_margin: float | None

    def as_json(self) -> dict[str, Any]:
        return {"equivalence": asdict(self)}


def margin_for(fit: RobustnessFit) -> float | None:
    """A tenth of the reference's distance from this very line, a fraction; None where it was not measured on the shift."""
    distance = reference_distance(fit)
    return None if distance is None else SHARE * abs(distance)


def reference_distance(fit: RobustnessFit) -> float | None:
    """The reference's effective robustness on this line, a fraction; None where it was not measured on the shift."""
    point = _reference_point(fit)
    return None if point is None else fit.effective_robustness(*point)


def reference_residual(fit: RobustnessFit) -> float | None:
    """The reference's residual from this line, on its scale; None where it was not measured on the shift."""
    point = _reference_point(fit)
    return None if point is None else fit.residual(*point)


@functools.lru_cache(maxsize=1024)
def _reference_point(fit: RobustnessFit) -> tuple[float, float] | None:
    """(clean, shift) accuracy of the baseline's own reference, else of the published one; None where it has no effect to show.

    An effect within two standard errors of the line, test sets' and line's, is none that could be a scale for others.
    """
    source, model = REFERENCE
    point = (fit.baseline.reference or published_results(source)[model]).point(fit.shift, fit.axis)
    if point is None or not all(0 < each.value < 1 for each in point):
        return None
    (x, y), line, scale = point, fit.segment_at(point[0].value), fit.scale
    tx, ty = scale.to(x.value), scale.to(y.value)
    error = math.hypot(y.sd / scale.density(ty), line.slope * x.sd / scale.density(tx), line.spread_by_family(tx))
    return (x.value, y.value) if abs(ty - line.at(tx)) > TOLD * error else None


def two_one_sided(interval: Callable[[float], tuple[float, float] | None], margin: float | None) -> Equivalence:
    """Two one-sided tests from anything that gives a two-sided interval at a level."""
    ends = interval(LEVEL)
    if ends is None:
        return Equivalence(margin, None, None)
    smallest = max(abs(ends[0]), abs(ends[1]))
    return Equivalence(margin, None if margin is None else smallest < margin, smallest)
