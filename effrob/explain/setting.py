"""ProtocolSetting: one way of turning a model's features into an accuracy, in words; and which settings give a number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from effrob.errors import UsageProblem

# What libraries, decoders and precisions change on the same images under one protocol: seldom more than a tenth of a point.
NOISE = 0.001
KEYS = ("names", "templates", "answer", "collapse", "axis", "classes", "average", "pixels", "source")


@dataclass(frozen=True)
class ProtocolSetting:
    """None where a key does not apply (a network's own classifier speaks no names).

    protocol   the named protocol of which this is the setting
    names      list of class names a zero-shot head speaks;  templates  prompt set
    answer     `masked` among the set's classes; `1000-way` among all; `mapped`: the best of all, then mapped to the set's;
               `own-names`: the set's own names compete; `all-N`: with those of its classes outside ImageNet (all-313)
    collapse   how several parent classes become one: `max`, `mean`, or `sum` of probabilities
    axis       of a clean set: `full`, or `clean`, on the classes of the set named in `classes`
    average    over `images`, or over `classes` (the mean of per-class accuracies)
    pixels     preprocessing in words;  source  a published table, for an accuracy that was not computed here
    """

    protocol: str | None
    names: str | None
    templates: str | None
    answer: str | None
    collapse: str | None
    axis: str | None
    pixels: str | None
    classes: str | None = None
    average: str = "images"
    source: str | None = None

    def changes(self, other: ProtocolSetting) -> tuple[str, ...]:
        """The keys in which two settings differ, less what others imply: `protocol` sums them up, the set's own names come with
        the answers in which they compete, and nothing is collapsed where the classes do not compete.
        """
        own = [each.answer is not None and each.answer.startswith(("own", "all-")) for each in (self, other)]
        implied = {"collapse"} if None in (self.collapse, other.collapse) and self.answer != other.answer else set()
        if own[0] != own[1]:
            implied.add("names")
        return tuple(key for key in KEYS if getattr(self, key) != getattr(other, key) and key not in implied)


@dataclass(frozen=True)
class ScoredSetting:
    """The accuracy of a setting over n images, a fraction."""

    setting: ProtocolSetting
    accuracy: float
    n: int


@dataclass(frozen=True)
class ExpectedAccuracy:
    """The accuracy to explain. half_unit: half its last printed digit; tolerance: half_unit and what harnesses differ by."""

    accuracy: float
    half_unit: float
    tolerance: float


def expected(text: str, unit: str, sampling: float = 0.0) -> ExpectedAccuracy:
    """Read `44.3` or `0.443`. unit `auto`: at most 1 is a fraction. sampling: what an incomplete copy adds to the tolerance.

    Raises UsageProblem for what is no accuracy.
    """
    try:
        value = float(text)
    except ValueError:
        raise UsageProblem(f"--expect wants an accuracy as in 44.3 or 0.443, found {text!r}") from None
    scale = 1.0 if unit == "fraction" or (unit == "auto" and value <= 1) else 100.0
    if not 0 <= value / scale <= 1:
        raise UsageProblem(
            f"--expect {text} is no accuracy in {unit}: give a percentage, or a fraction with --unit fraction"
        )
    digits = len(text.partition("e")[0].partition(".")[2])
    half = 0.5 * 10.0**-digits / scale
    return ExpectedAccuracy(value / scale, half, half + NOISE + sampling)


@dataclass(frozen=True)
class Explanation:
    """outcomes, best first; base is the setting `effrob eval` uses by default."""

    model: str
    shift: str
    target: ExpectedAccuracy
    outcomes: tuple[ScoredSetting, ...]
    base: ScoredSetting | None
    notes: tuple[str, ...] = ()

    def difference(self, outcome: ScoredSetting) -> float:
        return outcome.accuracy - self.target.accuracy

    def agrees(self, outcome: ScoredSetting) -> bool:
        """Within half the last digit expected, and the noise of harnesses."""
        return abs(self.difference(outcome)) <= self.target.tolerance + 1e-12

    @property
    def single_change(self) -> ScoredSetting | None:
        """Of the settings one key away from the default, the one that closes most of the gap; None where none closes any."""
        if self.base is None:
            return None
        gap = abs(self.difference(self.base))
        near = [one for one in self.outcomes if len(one.setting.changes(self.base.setting)) == 1]
        best = min(near, key=lambda one: abs(self.difference(one)), default=None)
        return best if best is not None and abs(self.difference(best)) < gap - 1e-9 else None

    def as_json(self) -> dict[str, Any]:
        best, single = self.outcomes[0], self.single_change
        change = None
        if single is not None and self.base is not None:
            (key,) = single.setting.changes(self.base.setting)
            gap = abs(self.difference(self.base))
            change = {
                "key": key,
                "from": getattr(self.base.setting, key),
                "to": getattr(single.setting, key),
                "accuracy": single.accuracy,
                "closes": (gap - abs(self.difference(single))) / gap,
            }
        return {
            "model": self.model,
            "shift": self.shift,
            "expect": self.target.accuracy,
            "rounding": self.target.half_unit,
            "tolerance": self.target.tolerance,
            "settings": [self._row(one) for one in self.outcomes],
            "closest": self._row(best),
            "default": None if self.base is None else self._row(self.base),
            "single_change": change,
            "n_agreeing": sum(map(self.agrees, self.outcomes)),
            "notes": list(self.notes),
        }

    def _row(self, one: ScoredSetting) -> dict[str, Any]:
        return {
            **vars(one.setting),
            "n": one.n,
            "accuracy": one.accuracy,
            "difference": self.difference(one),
            "agrees": self.agrees(one),
            "changes": [] if self.base is None else list(one.setting.changes(self.base.setting)),
        }


def explain(
    model: str,
    shift: str,
    target: ExpectedAccuracy,
    outcomes: Sequence[ScoredSetting],
    base: ScoredSetting | None,
    notes: Sequence[str] = (),
) -> Explanation:
    """Put settings in order: within the expected rounding first, of those the fewest changes from the default first."""
    if not outcomes:
        raise UsageProblem(f"no setting of {model} on {shift} could be tried")

    def order(one: ScoredSetting) -> tuple[float, int, float]:
        off = abs(one.accuracy - target.accuracy)
        beyond = 0.0 if off <= target.half_unit + 1e-12 else off
        return beyond, 0 if base is None else len(one.setting.changes(base.setting)), off

    return Explanation(model, shift, target, tuple(sorted(outcomes, key=order)), base, tuple(notes))
