"""Estimate: a contrast's size on one line, with its interval: a pair, replicates, a trend over amounts, or arms on the line.

All but the single pair are weighted sums of effective robustness. Their scatter is read from the arms themselves (seeds,
lineages, departures from the trend), and the uncertainty of the line they share is added.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from effrob.results.model_result import ModelResult
from effrob.robustness.compare import difference
from effrob.robustness.difference import Difference
from effrob.robustness.effective import Effective
from effrob.robustness.fit import RobustnessFit
from effrob.studies.arms import ArmResult, arm_result
from effrob.studies.study import Contrast, Study

Floats = NDArray[np.float64]


class Estimate(Protocol):
    """A difference of effective robustness, a fraction."""

    @property
    def value(self) -> float | None: ...

    @property
    def p_value(self) -> float | None: ...

    @property
    def in_kind(self) -> bool | None: ...

    def interval(self, level: float = 0.95) -> tuple[float, float] | None: ...


@dataclass(frozen=True, eq=False)
class WeightedSum:
    """A weighted sum of effective robustness: `value`, its own scatter with degrees of freedom, and the line's part."""

    value: float
    scatter: float
    freedom: int
    line_sd: float
    line_freedom: int

    def interval(self, level: float = 0.95) -> tuple[float, float] | None:
        tail = (1 - level) / 2
        half = math.hypot(
            float(stdtrit(self.freedom, tail)) * self.scatter, float(stdtrit(self.line_freedom, tail)) * self.line_sd
        )
        return self.value - half, self.value + half

    @functools.cached_property
    def p_value(self) -> float | None:
        """Two-sided, on the smaller degrees of freedom."""
        spread = math.hypot(self.scatter, self.line_sd)
        if spread == 0:
            return 1.0 if self.value == 0 else 0.0
        return 2.0 * float(stdtr(min(self.freedom, self.line_freedom), -abs(self.value) / spread))

    @property
    def in_kind(self) -> bool | None:
        """The scatter of ordinary models is in the interval already."""
        ends = self.interval()
        return None if ends is None else ends[0] > 0 or ends[1] < 0


@dataclass(frozen=True, eq=False)
class OnLine:
    """A single arm against the line: its distance, which differs in kind where the prediction interval leaves zero."""

    effective: Effective

    @property
    def value(self) -> float | None:
        return self.effective.effective_robustness

    @property
    def p_value(self) -> float | None:
        return self.effective.p_value

    @property
    def in_kind(self) -> bool | None:
        ends = self.effective.pi95
        return None if ends is None else ends[0] > 0 or ends[1] < 0

    def interval(self, level: float = 0.95) -> tuple[float, float] | None:
        return self.effective.interval(level)


@dataclass(frozen=True, eq=False)
class Reckoned:
    """A contrast on one line: its estimate, or why there is none, and the models that took part."""

    estimate: Estimate | None
    members: tuple[ArmResult, ...]
    missing: tuple[str, ...]
    paired: bool = False
    spread_over: str | None = None

    @property
    def extrapolated(self) -> bool:
        return any(member.effective.extrapolated for member in self.members)


def reckon(
    study: Study, contrast: Contrast, line: RobustnessFit, results: dict[str, tuple[ModelResult, ...]]
) -> Reckoned:
    """The size of a contrast on a line. Arms that lack the shift are left out of trends and lines, and named."""
    arms = [study.arm(name) for name in contrast.arms]
    groups = [[s for result in results[arm.name] if (s := arm_result(line, arm, result)) is not None] for arm in arms]
    groups = [[s for s in group if s.effective.place is not None] for group in groups]
    missing = tuple(arm.name for arm, group in zip(arms, groups) if not group)
    members = tuple(member for group in groups for member in group)
    if contrast.kind == "pair" and not missing:
        return _pair(line, groups[0], groups[1])
    if contrast.kind == "trend" and len(members) >= 3:
        present = [group for group in groups if group]
        return Reckoned(_trend(line, present), members, missing, spread_over="departures from the trend")
    if contrast.kind == "line" and members:
        return _against_line(line, members, missing)
    return Reckoned(None, members, missing)


def _pair(line: RobustnessFit, first: list[ArmResult], second: list[ArmResult]) -> Reckoned:
    members = (*first, *second)
    if len(first) == len(second) == 1:
        made: Difference | None = difference(line, first[0].result, second[0].result)
        return Reckoned(made, members, (), paired=made is not None and made.paired)
    a, b = _values(first), _values(second)
    weights = np.concatenate([np.full(len(a), 1 / len(a)), np.full(len(b), -1 / len(b))])
    paired = len(a) == len(b)
    if paired:  # replicate k of both arms shares its seed
        scatter, freedom = float((a - b).std(ddof=1)) / math.sqrt(len(a)), len(a) - 1
    elif min(len(a), len(b)) == 1:  # the single model scatters as the replicates do
        many = a if len(a) > 1 else b
        scatter, freedom = float(many.std(ddof=1)) * math.sqrt(1 + 1 / len(many)), len(many) - 1
    else:  # Welch (1947)
        parts = [float(v.var(ddof=1)) / len(v) for v in (a, b)]
        scatter = math.sqrt(sum(parts))
        below = sum(p * p / (len(v) - 1) for p, v in zip(parts, (a, b)))
        freedom = max(1, math.floor(sum(parts) ** 2 / below)) if below > 0 else min(len(a), len(b)) - 1
    made_sum = _sum(line, list(members), weights, scatter, freedom)
    return Reckoned(made_sum, members, (), paired=paired, spread_over="replicates")


def _trend(line: RobustnessFit, groups: list[list[ArmResult]]) -> WeightedSum:
    """Change of effective robustness from the smallest amount to the largest along the least-squares line in its logarithm."""
    members = [member for group in groups for member in group]
    sizes = np.log2([float(s.arm.amount or 1) for s in members])
    away = sizes - sizes.mean()
    weights = away / float(away @ away) * float(np.ptp(sizes))
    values = _values(members)
    residuals = values - values.mean() - away * float(away @ values) / float(away @ away)
    freedom = len(values) - 2
    scatter = math.sqrt(float(residuals @ residuals) / freedom * float(weights @ weights))
    return _sum(line, members, weights, scatter, freedom)


def _against_line(line: RobustnessFit, members: tuple[ArmResult, ...], missing: tuple[str, ...]) -> Reckoned:
    """The mean distance from the line, each lineage weighing the same; its scatter is that between lineages."""
    if len(members) == 1:
        return Reckoned(OnLine(members[0].effective), members, missing)
    names = [s.arm.lineage or s.arm.name for s in members]
    kinds = list(dict.fromkeys(names))
    if len(kinds) == 1:  # replicates of one thing
        kinds = names = [s.result.model for s in members]
    values = _values(members)
    means = np.array([values[[n == kind for n in names]].mean() for kind in kinds])
    weights = np.array([1 / len(kinds) / names.count(name) for name in names])
    scatter, freedom = float(means.std(ddof=1)) / math.sqrt(len(means)), len(means) - 1
    over = "replicates" if names[0] == members[0].result.model else "lineages"
    return Reckoned(_sum(line, list(members), weights, scatter, freedom), members, missing, spread_over=over)


def _values(members: Sequence[ArmResult]) -> Floats:
    return np.array([s.effective.effective_robustness for s in members], dtype=np.float64)


def _sum(line: RobustnessFit, members: list[ArmResult], weights: Floats, scatter: float, freedom: int) -> WeightedSum:
    """Adds the line's uncertainty, by models or by families, the larger: level and slope move every arm on it together."""
    variance = 0.0
    for segment in line.segments:
        level = slope = steeper = 0.0
        for weight, member in zip(weights.tolist(), members):
            assert member.effective.place is not None
            own, tx, height = member.effective.place
            if own is segment:
                density = weight * line.scale.density(height)
                level += density
                slope += density * (tx - segment.x_mean)
                steeper += density * tx
        by_model = segment.residual_std**2 * (level**2 / segment.n + slope**2 / segment.sxx)
        variance += max(by_model, segment.combination_by_family(level, steeper) ** 2)
    value = float(weights @ _values(members))
    return WeightedSum(value, scatter, freedom, math.sqrt(variance), min(s.n for s in line.segments) - 2)
