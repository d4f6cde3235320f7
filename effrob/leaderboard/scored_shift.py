"""ScoredShift: one model's accuracy on one shift with its effective robustness, the entry of a leaderboard."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any, NamedTuple

from effrob.results.accuracy import Accuracy
from effrob.results.model_result import MEANS, ModelResult
from effrob.robustness.effective import Effective, assess
from effrob.robustness.lines import Lines, judge
from effrob.robustness.rows import ROBUSTNESS
from effrob.robustness.scale import LOGIT
from shifts import Suite

Z95 = 1.959963984540054


class Interval(NamedTuple):
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class ScoredShift:
    """An accuracy and, where a line and a clean accuracy exist, its effective robustness.

    clean        on the shift's own classes; None where the source gives none
    effective    against the line of `axis`; None for the reason `why_not` gives
    n_expected   images of the official set; `partial` where it, or the clean view, was not whole
    record       folder of the record, for a measured model
    nondeterministic  True where the record says that answers depended on more than the image
    disputed     what other evidence says against the accuracy, a sentence each
    """

    shift: str
    accuracy: Accuracy
    clean: Accuracy | None
    effective: Effective | None
    why_not: str | None
    baseline: str
    axis: str
    scale: str
    n_expected: int
    partial: bool = False
    nondeterministic: bool = False
    record: str | None = None
    disputed: tuple[str, ...] = ()

    @functools.cached_property
    def accuracy_ci95(self) -> Interval:
        return Interval(*self.accuracy.clopper_pearson())

    @property
    def effective_robustness(self) -> float | None:
        return None if self.effective is None else self.effective.effective_robustness

    @property
    def effective_robustness_logit(self) -> float | None:
        return None if self.effective is None else self.effective.effective_robustness_logit

    @functools.cached_property
    def reach(self) -> str | None:
        """Where the clean accuracy lies among the baseline's: `within`, `below` or `above`; None without a line."""
        if self.effective is None or self.effective.clean is None:
            return None
        if not self.effective.extrapolated:
            return "within"
        return "below" if self.effective.clean.value < self.effective.fit.segments[0].x_max else "above"

    @functools.cached_property
    def logit_half_width(self) -> float | None:
        """Half the 95 % interval of the logit residual: sampling of both accuracies, and the line."""
        if self.effective is None or self.effective.spread is None:
            return None
        spread, p = self.effective.spread, self.accuracy.value
        # The spread is on the fit's scale; at the observed accuracy one unit of it is this many logits.
        scale = self.effective.fit.scale
        unit = 1.0 if scale.name == LOGIT.name else scale.density(scale.to(p)) / LOGIT.density(LOGIT.to(p))
        return Z95 * unit * math.hypot(spread.sampling, spread.line)

    @functools.cached_property
    def robustness(self) -> dict[str, Any]:
        """The robustness fields on the line, null where there is no effective robustness."""
        if self.effective is not None:
            return self.effective.fields
        stand = {"baseline": self.baseline, "axis": self.axis, "scale": self.scale}
        return {**dict.fromkeys(ROBUSTNESS), "segment": None, "flags": [], **stand}

    def as_json(self, wider: bool = True) -> dict[str, Any]:
        """As the JSON leaderboard holds it; fractions. `wider`: with the fields of a wider line, where there is one."""
        return {
            "accuracy": self.accuracy.value,
            "accuracy_ci95": list(self.accuracy_ci95),
            "n": self.accuracy.n,
            "n_expected": self.n_expected,
            "partial": self.partial,
            **({"nondeterministic": True} if self.nondeterministic else {}),
            "clean_accuracy": None if self.clean is None else self.clean.value,
            **(self.robustness if self.effective is None or not wider else self.effective.as_json()),
            "why_not": self.why_not,
            "record": self.record,
            "disputed": list(self.disputed),
        }


def score(lines: Lines, result: ModelResult, shift: str, axis: str) -> ScoredShift:
    """A model's accuracy on a shift, judged on the axis given: `clean` is class-matched, `full` all classes."""
    line, stored = lines.at(shift, axis), result.records.get(shift)
    effective, why_not = None if isinstance(line, str) else judge(line, result), None
    if effective is None and result.point(shift, axis) is None:
        why_not = "no class-matched clean accuracy" if axis == "clean" else "no clean accuracy"
    elif isinstance(line, str):
        why_not = line
    accuracy = result.accuracies[shift]
    return ScoredShift(
        shift=shift,
        accuracy=accuracy,
        clean=result.clean.get(shift),
        effective=effective,
        why_not=why_not,
        baseline=lines.options.baseline_for(shift),
        axis=axis,
        scale=lines.options.scale,
        n_expected=int(accuracy.n) if stored is None else stored.record.n_expected,
        partial=stored is not None and stored.record.partial,
        nondeterministic=stored is not None and bool(stored.record.resolved.get("nondeterminism")),
        record=None if stored is None else str(stored.folder),
        disputed=result.disputed(shift),
    )


def mean_of(suite: Suite) -> str | None:
    """The name of the mean over the suite's ranked shifts, where a line can be fitted to one."""
    return next((name for name, parts in MEANS.items() if parts == suite.ranked), None)


def robustness_of_mean(lines: Lines, suite: Suite, result: ModelResult) -> Effective | None:
    """Effective robustness of the mean accuracy over the suite's ranked shifts, on the full axis; None without a line."""
    name = mean_of(suite)
    point = None if name is None else result.point(name, "full")
    line = None if name is None or point is None else lines.at(name, "full")
    return None if point is None or line is None or isinstance(line, str) else assess(line, *point)
