"""Equivalence: may one say that there is no effective robustness, or no difference of it?

Two one-sided tests (Schuirmann 1987) against a margin fixed before the data: a tenth of OpenAI ViT-B/32's effective
robustness on the shift. Passing is the 90 % interval lying inside the margin on both sides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from effrob.robustness.effective import Effective
from effrob.robustness.fit import RobustnessFit
from model_zoo.published import published

REFERENCE = ("testbed", "vit_b_32_clip_zeroshot")
SHARE = 0.1
LEVEL = 0.90


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
    """A tenth of the reference's distance from this very line; None where it was not measured on the shift."""
    source, model = REFERENCE
    row = next(row for row in published(source) if row.model == model)
    from effrob.robustness.baseline import from_published

    member = from_published("reference", [row], {}, "").members[0]
    point = member.point(fit.shift, fit.axis)
    return None if point is None else SHARE * abs(fit.effective_robustness(point[0].value, point[1].value))


def judge(interval: Callable[[float], tuple[float, float] | None], margin: float | None) -> Equivalence:
    """Two one-sided tests from anything that gives a two-sided interval at a level."""
    ends = interval(LEVEL)
    if ends is None:
        return Equivalence(margin, None, None)
    smallest = max(abs(ends[0]), abs(ends[1]))
    return Equivalence(margin, None if margin is None else smallest < margin, smallest)


def equivalence(effective: Effective, margin: float | None = None) -> Equivalence:
    """Is this model on the line, within the margin? Without a margin, the fixed one."""
    return judge(effective.interval, margin_for(effective.fit) if margin is None else margin)
