"""Cell: one model's accuracy on one shift, beside the line it is judged by. Lines: which line that is.

Measured and published accuracies take the same road here, so that a board compares like with like. Knows counts and
lines, neither records nor tables.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from effrob.errors import UsageProblem
from effrob.results.accuracy import Accuracy, mean_accuracy
from effrob.robustness.baseline import MEANS, baseline
from effrob.robustness.effective import Effective, assess
from effrob.robustness.fit import RobustnessFit, fit
from effrob.robustness.judging import judge
from effrob.robustness.rows import FOUR, ROBUSTNESS, LineOptions
from effrob.robustness.scale import LOGIT

Z95 = 1.959963984540054


@dataclass(frozen=True)
class Lines:
    """The lines a board stands on: the command's choice, and the records a `measured` baseline would be made of."""

    line: LineOptions
    results: Path

    @functools.cache  # noqa: B019 -- a board lives as long as its command
    def at(self, shift: str, axis: str) -> RobustnessFit | str:
        """The fit of a shift, or a sentence why there is none."""
        name = self.line.baseline_for(shift)
        try:
            return fit(shift, baseline=baseline(name, self.results), axis=axis, scale=self.line.scale)
        except UsageProblem as problem:
            return str(problem)


class Interval(NamedTuple):
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class ScoredShift:
    """An accuracy and, where a line and a clean accuracy exist, its effective robustness.

    clean        on the shift's own classes; None where the source gives none
    effective    against the line of `axis`; None for the reason `why_not` gives
    n_expected   images of the official set; `partial` where it, or the clean view, was not whole
    record       folder of the record, for a measured cell
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
    record: str | None = None

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
        """The robustness fields, null where there is no effective robustness."""
        if self.effective is not None:
            return self.effective.as_json()
        stand = {"baseline": self.baseline, "axis": self.axis, "scale": self.scale}
        return {**dict.fromkeys(ROBUSTNESS), "segment": None, "flags": [], **stand}

    def as_json(self) -> dict[str, Any]:
        """The cell as the JSON board holds it; fractions."""
        return {
            "accuracy": self.accuracy.value,
            "accuracy_ci95": list(self.accuracy_ci95),
            "n": self.accuracy.n,
            "n_expected": self.n_expected,
            "partial": self.partial,
            "clean_accuracy": None if self.clean is None else self.clean.value,
            **self.robustness,
            "why_not": self.why_not,
            "record": self.record,
        }


def cell(
    lines: Lines,
    shift: str,
    axis: str,
    accuracy: Accuracy,
    clean: Accuracy | None,
    clean_full: Accuracy | None,
    n_expected: int | None = None,
    partial: bool = False,
    model: str = "",
    source: str = "measured",
    record: Path | None = None,
) -> ScoredShift:
    """Judge one accuracy on the axis given: `clean` looks at class-matched accuracy, `full` at that on all classes.

    A model measured here, with the folder of its record, is judged as `effrob eval` judges it: without its own pull on the
    line, and with the images it shares with the baseline. A published row stays on the line as published, and is flagged
    where that line's baseline is of its own table and holds it.
    """
    x = clean if axis == "clean" else clean_full
    against = lines.at(shift, axis)
    effective, why_not = None, None
    if x is None:
        why_not = "no class-matched clean accuracy" if axis == "clean" else "no clean accuracy"
    elif isinstance(against, str):
        why_not = against
    else:
        own = against.baseline.harness == source
        effective = (
            judge(against, model, x, accuracy, record)
            if record is not None
            else assess(against, clean=x, shift=accuracy, model=model if own else None)
        )
    return ScoredShift(
        shift=shift,
        accuracy=accuracy,
        clean=clean,
        effective=effective,
        why_not=why_not,
        baseline=lines.line.baseline_for(shift),
        axis=axis,
        scale=lines.line.scale,
        n_expected=int(accuracy.n) if n_expected is None else n_expected,
        partial=partial,
        record=None if record is None else str(record),
    )


def robustness_of_mean(
    lines: Lines, suite: str, four: Sequence[Accuracy], clean_full: Accuracy | None
) -> Effective | None:
    """Effective robustness of the mean accuracy of the suite's four shifts, on the full axis; None without a line."""
    name = next((name for name, parts in MEANS.items() if parts == FOUR[suite]), None)
    if name is None or clean_full is None or len(four) < len(FOUR[suite]):
        return None
    against = lines.at(name, "full")
    return None if isinstance(against, str) else assess(against, clean=clean_full, shift=mean_accuracy(list(four)))
