"""Difference: two models against one line. Shared images and the shared line cancel, and are made to.

Var(first - second) = sampling of both - twice the covariance over images + the line's uncertainty between two places.
Without per-image answers the covariance is unknown and left out, which makes the interval conservative.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from effrob.errors import UsageProblem
from effrob.results.accuracy import PairedAccuracy, compare_correct
from effrob.robustness.effective import Effective
from effrob.robustness.fit import RobustnessFit
from effrob.robustness.line import BaselineLine
from effrob.robustness.significance import Equivalence, margin_for, p_of_zero, two_one_sided
from shifts import suite_of

Bools = NDArray[np.bool_]
NOTHING, UNKNOWN = "no difference shown", "cannot-tell"


@dataclass(frozen=True, eq=False)
class PairedAnswers:
    """Right or wrong of two models, image by image: (n,) on the shift, (m,) on the clean view, each pair in one order."""

    first_shift: Bools
    second_shift: Bools
    first_clean: Bools
    second_clean: Bools


@dataclass(frozen=True, eq=False)
class Difference:
    """First minus second, in effective robustness; fractions."""

    first: Effective
    second: Effective
    answers: PairedAnswers | None = None

    def __post_init__(self) -> None:
        if self.first.fit is not self.second.fit:
            raise UsageProblem(
                f"two models are compared on one line; got {_name(self.first.fit)} and {_name(self.second.fit)}"
            )

    @property
    def diagnostic(self) -> bool:
        """Whether the shift is shown as a diagnostic and enters no correction."""
        return self.first.fit.shift in suite_of(self.first.fit.shift).diagnostic

    @property
    def paired(self) -> bool:
        return self.answers is not None

    @property
    def value(self) -> float | None:
        a, b = self.first.effective_robustness, self.second.effective_robustness
        return None if a is None or b is None else a - b

    @property
    def residual(self) -> float | None:
        """In logits."""
        a, b = self.first.effective_robustness_logit, self.second.effective_robustness_logit
        return None if a is None or b is None else a - b

    @property
    def _lines(self) -> tuple[BaselineLine, ...]:
        """The segments that the two stand on: one, or two where they stand on either side of a split."""
        at = [each.fit.segment_at(each.clean.value) for each in (self.first, self.second) if each.clean is not None]
        return tuple(dict.fromkeys(at)) or self.first.fit.segments

    @functools.cached_property
    def accuracy(self) -> PairedAccuracy | None:
        """McNemar and the paired bootstrap on the shift's images; None without per-image answers."""
        return None if self.answers is None else compare_correct(self.answers.first_shift, self.answers.second_shift)

    @functools.cached_property
    def _parts(self) -> tuple[float, float, float] | None:
        """(sampling variance, line variance, degrees of freedom) of `value`; None where a model stands at 0 or 1 clean."""
        if (
            self.first.place is None
            or self.second.place is None
            or self.first.shift is None
            or self.second.shift is None
        ):
            return None
        scale = self.first.fit.scale
        lines, slopes, densities, places = [], [], [], []
        for one in (self.first, self.second):
            assert one.place is not None
            line, tx, height = one.place
            lines.append(line)
            densities.append(scale.density(height))
            slopes.append(densities[-1] * line.slope / scale.density(tx))
            places.append(tx)
        if self.answers is not None:
            got = self.answers
            on_shift = got.first_shift.astype(np.float64) - got.second_shift
            on_clean = slopes[0] * got.first_clean - slopes[1] * got.second_clean
            sampling = float(on_shift.var()) / len(on_shift) + float(on_clean.var()) / len(on_clean)
        else:
            assert self.first.clean is not None and self.second.clean is not None
            sampling = self.first.shift.sd**2 + self.second.shift.sd**2
            sampling += (slopes[0] * self.first.clean.sd) ** 2 + (slopes[1] * self.second.clean.sd) ** 2
        a, b = lines
        if a is b:
            steeper = densities[0] * places[0] - densities[1] * places[1]
            model = a.combination_by_family(densities[0] - densities[1], steeper) ** 2
        else:
            model = sum(d * d * one.spread_by_family(tx) ** 2 for one, d, tx in zip(lines, densities, places))
        return sampling, model, float(min(a.freedom, b.freedom))

    def interval(self, level: float = 0.95, scatter: bool = False) -> tuple[float, float] | None:
        """Two-sided interval of `value`: sampling of four accuracies, and the line they share.

        With `scatter`, also how far two ordinary models of the baseline lie apart: two seeds of one training differ by more
        than test noise, and that is no difference in kind.
        """
        return self._ends((1 - level) / 2, scatter)

    def _ends(self, tail: float, scatter: bool = False) -> tuple[float, float] | None:
        if self._parts is None or self.value is None:
            return None
        sampling, model, freedom = self._parts
        if scatter:
            places = [one.place for one in (self.first, self.second) if one.place is not None]
            freedom = min(line.predictive_freedom(tx) for line, tx, _ in places)
            model += sum((line.scatter * self.first.fit.scale.density(height)) ** 2 for line, _, height in places)
        half = math.hypot(float(ndtri(tail)) * math.sqrt(sampling), float(stdtrit(freedom, tail)) * math.sqrt(model))
        return self.value - half, self.value + half

    @functools.cached_property
    def ci95(self) -> tuple[float, float] | None:
        return self.interval()

    @functools.cached_property
    def pi95(self) -> tuple[float, float] | None:
        return self.interval(scatter=True)

    @property
    def in_kind(self) -> bool | None:
        """Whether the two lie farther apart than two ordinary models do."""
        return None if self.pi95 is None else self.pi95[0] > 0 or self.pi95[1] < 0

    @functools.cached_property
    def p_value(self) -> float | None:
        """Two-sided p of no difference, by `ci95`'s own interval; 1 where the two never differ."""
        if self._parts is None or self.value is None:
            return None
        return 1.0 if self.value == 0 else p_of_zero(self._ends)

    @property
    def verdict(self) -> str:
        """`first`, `second`, or `no difference shown`: not more than noise. A line that is none tells nothing."""
        if self.ci95 is None or any(line.flaws for line in self._lines):
            return UNKNOWN
        if self.ci95[0] > 0:
            return "first"
        return "second" if self.ci95[1] < 0 else NOTHING

    @functools.cached_property
    def equivalence(self) -> Equivalence:
        return two_one_sided(self.interval, margin_for(self.first.fit))

    def as_json(self) -> dict[str, Any]:
        accuracy = self.accuracy
        return {
            "shift": self.first.fit.shift,
            "baseline": self.first.fit.baseline.name,
            "axis": self.first.fit.axis,
            "n_baseline": sum(line.n for line in self._lines),
            "paired": self.paired,
            "accuracy_difference": _gap(self.first, self.second),
            "accuracy_difference_ci95": None if accuracy is None else list(accuracy.ci95),
            "mcnemar_p": None if accuracy is None else accuracy.mcnemar_p,
            "only_first": None if accuracy is None else accuracy.only_first,
            "only_second": None if accuracy is None else accuracy.only_second,
            "effective_robustness_difference": self.value,
            "effective_robustness_difference_logit": self.residual,
            "effective_robustness_difference_ci95": None if self.ci95 is None else list(self.ci95),
            "effective_robustness_difference_pi95": None if self.pi95 is None else list(self.pi95),
            "in_kind": self.in_kind,
            "p_value": self.p_value,
            "verdict": self.verdict,
            **self.equivalence.as_json(),
            "first": self.first.as_json(),
            "second": self.second.as_json(),
        }


def _gap(first: Effective, second: Effective) -> float | None:
    return None if first.shift is None or second.shift is None else first.shift.value - second.shift.value


def _name(fit: RobustnessFit) -> str:
    return f"{fit.shift} under {fit.baseline.name} ({fit.axis}, {fit.scale.name})"
