"""Effects in logits: the size of a contrast on one line, with the standard errors its interval and its p-value share.

An effect is a weighted sum of logit residuals: a pair of models, replicates, a trend over amounts, arms against the line, or
the mean of several pairs. One method gives interval and p-value: Student's t with the degrees of freedom of Satterthwaite
(1946) over the parts of the variance.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from effrob.results.model_result import ModelResult
from effrob.robustness.compare import paired_answers
from effrob.robustness.difference import PairedAnswers
from effrob.robustness.effective import Effective
from effrob.robustness.fit import RobustnessFit
from effrob.studies.arms import ArmResult, arm_result
from effrob.studies.study import Arm, Contrast, Study

Floats = NDArray[np.float64]
MANY = 10**6  # degrees of freedom of a variance that is known: the binomial noise of a test set


@dataclass(frozen=True)
class Effect:
    """A difference of logit residuals: its value and the standard errors it is made of, in logits.

    sampling   noise of the test sets, binomial and known
    scatter    between replicates, lineages or pairs, on `freedom` degrees of freedom
    line_sd    of the line, which moves every model on it together, on `line_freedom`
    models_sd  how far ordinary models of the same clean accuracy lie apart by themselves, for single models, whose own scatter
               no replicate shows; it is not in the interval, and `in_kind` adds it
    spread     smallest and largest value of the contrasts this is the mean of; None for a single contrast
    """

    value: float
    sampling: float
    scatter: float
    freedom: int
    line_sd: float
    line_freedom: int
    models_sd: float = 0.0
    models_freedom: float = 1.0
    spread: tuple[float, float] | None = None

    def _error(self, with_models: bool) -> tuple[float, float]:
        """(standard error, degrees of freedom)."""
        parts: list[tuple[float, float]] = [
            (self.sampling, MANY),
            (self.scatter, self.freedom),
            (self.line_sd, self.line_freedom),
        ]
        parts += [(self.models_sd, self.models_freedom)] if with_models else []
        variance = sum(sd**2 for sd, _ in parts)
        lost = sum(sd**4 / freedom for sd, freedom in parts if sd > 0)
        return math.sqrt(variance), variance**2 / lost if lost > 0 else float(MANY)

    def interval(self, level: float = 0.95, with_models: bool = False) -> tuple[float, float]:
        """Two-sided interval; `with_models` adds how far ordinary models lie apart."""
        error, freedom = self._error(with_models)
        half = -float(stdtrit(freedom, (1 - level) / 2)) * error
        return self.value - half, self.value + half

    @functools.cached_property
    def p_value(self) -> float:
        """Two-sided p of no effect, by the interval's own t."""
        error, freedom = self._error(with_models=False)
        if error == 0:
            return 1.0 if self.value == 0 else 0.0
        return 2.0 * float(stdtr(freedom, -abs(self.value) / error))

    @property
    def in_kind(self) -> bool:
        """Whether the value is larger than what ordinary models differ by."""
        low, high = self.interval(with_models=True)
        return low > 0 or high < 0


@dataclass(frozen=True, eq=False)
class ContrastEffect:
    """A contrast on one line: its effect, or why there is none, and the models that took part."""

    effect: Effect | None
    members: tuple[ArmResult, ...]
    missing: tuple[str, ...]
    paired: bool = False
    spread_over: str | None = None

    @property
    def extrapolated(self) -> bool:
        return any(member.effective.extrapolated for member in self.members)


def effect_of(
    study: Study, contrast: Contrast, line: RobustnessFit, results: dict[str, tuple[ModelResult, ...]]
) -> ContrastEffect:
    """A contrast on a line. Arms without an accuracy strictly between 0 and 1 there are left out, and named."""
    arms = [study.arm(name) for name in contrast.arms]
    groups = [_members(line, arm, results[arm.name]) for arm in arms]
    missing = tuple(arm.name for arm, group in zip(arms, groups) if not group)
    members = tuple(member for group in groups for member in group)
    if contrast.kind == "mean":
        return _mean([effect_of(study, study.contrast(name), line, results) for name in contrast.of], line)
    if contrast.kind == "pair" and not missing:
        return _pair(line, groups[0], groups[1])
    if contrast.kind == "trend" and len(members) >= 3:
        return _trend(line, members, missing)
    if contrast.kind == "line" and members:
        return _against_line(line, members, missing)
    return ContrastEffect(None, members, missing)


def _members(line: RobustnessFit, arm: Arm, results: Sequence[ModelResult]) -> list[ArmResult]:
    every = [member for result in results if (member := arm_result(line, arm, result)) is not None]
    return [member for member in every if member.effective.effective_robustness_logit is not None]


def _pair(line: RobustnessFit, first: list[ArmResult], second: list[ArmResult]) -> ContrastEffect:
    members = (*first, *second)
    a, b = _values(first), _values(second)
    weights = _pair_weights(members)
    if len(a) == len(b) == 1:
        answers = paired_answers(line, first[0].result, second[0].result)
        sampling = _sampling(first[0].effective, second[0].effective, answers)
        made = _sum(members, weights, sampling, 0.0, 1, single=True)
        return ContrastEffect(made, members, (), paired=answers is not None)
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
    made = _sum(members, weights, 0.0, scatter, freedom)
    return ContrastEffect(made, members, (), paired=paired, spread_over="replicates")


def _sampling(first: Effective, second: Effective, answers: PairedAnswers | None) -> float:
    """Standard deviation that the test sets give the difference of two residuals; shared images cancel where known."""
    parts = []
    for one in (first, second):
        assert one.place is not None and one.clean is not None and one.shift is not None
        x, y = one.clean, one.shift
        # Derivatives of the residual by the accuracy under shift and by the clean accuracy.
        parts.append((1 / (y.value * (1 - y.value)), one.place[0].slope / (x.value * (1 - x.value)), x, y))
    (dy1, dx1, x1, y1), (dy2, dx2, x2, y2) = parts
    if answers is None:
        return math.sqrt((dy1 * y1.sd) ** 2 + (dy2 * y2.sd) ** 2 + (dx1 * x1.sd) ** 2 + (dx2 * x2.sd) ** 2)
    on_shift = dy1 * answers.first_shift - dy2 * answers.second_shift
    on_clean = dx1 * answers.first_clean - dx2 * answers.second_clean
    return math.sqrt(float(on_shift.var()) / len(on_shift) + float(on_clean.var()) / len(on_clean))


def _trend(line: RobustnessFit, members: tuple[ArmResult, ...], missing: tuple[str, ...]) -> ContrastEffect:
    """Change from the smallest amount to the largest along the least-squares line in the amount's logarithm."""
    sizes = np.log2([float(member.arm.amount or 1) for member in members])
    away = sizes - sizes.mean()
    if float(away @ away) == 0:
        return ContrastEffect(None, members, missing)
    weights = away / float(away @ away) * float(np.ptp(sizes))
    values = _values(members)
    residuals = values - values.mean() - away * float(away @ values) / float(away @ away)
    freedom = len(values) - 2
    scatter = math.sqrt(float(residuals @ residuals) / freedom * float(weights @ weights))
    made = _sum(members, weights, 0.0, scatter, freedom)
    return ContrastEffect(made, members, missing, spread_over="departures from the trend")


def _against_line(line: RobustnessFit, members: tuple[ArmResult, ...], missing: tuple[str, ...]) -> ContrastEffect:
    """The mean distance from the line, each lineage weighing the same; its scatter is that between lineages."""
    if len(members) == 1:
        spread = members[0].effective.spread
        sampling = 0.0 if spread is None else spread.sampling
        return ContrastEffect(_sum(members, np.ones(1), sampling, 0.0, 1, single=True), members, missing)
    names = [member.arm.lineage or member.arm.name for member in members]
    kinds = list(dict.fromkeys(names))
    if len(kinds) == 1:  # replicates of one thing
        kinds = names = [member.result.model for member in members]
    values = _values(members)
    means = np.array([values[[name == kind for name in names]].mean() for kind in kinds])
    weights = np.array([1 / len(kinds) / names.count(name) for name in names])
    scatter, freedom = float(means.std(ddof=1)) / math.sqrt(len(means)), len(means) - 1
    over = "replicates" if names[0] == members[0].result.model else "lineages"
    return ContrastEffect(_sum(members, weights, 0.0, scatter, freedom), members, missing, spread_over=over)


def _mean(parts: Sequence[ContrastEffect], line: RobustnessFit) -> ContrastEffect:
    """The mean of pairs that ask the same thing; its scatter is that between them. Pairs missing here are named."""
    missing = tuple(name for part in parts for name in part.missing)
    known = [part for part in parts if part.effect is not None]
    members = tuple(member for part in known for member in part.members)
    if len(known) < 2:
        return ContrastEffect(None, members, missing)
    values = np.array([part.effect.value for part in known if part.effect is not None])
    weights = [_pair_weights(part.members) / len(known) for part in known]
    scatter = float(values.std(ddof=1)) / math.sqrt(len(values))
    made = _sum(members, np.concatenate(weights), 0.0, scatter, len(values) - 1)
    spread = float(values.min()), float(values.max())
    return ContrastEffect(
        Effect(**{**vars(made), "spread": spread}), members, missing, spread_over=f"{len(known)} contrasts"
    )


def _pair_weights(members: Sequence[ArmResult]) -> Floats:
    """Each arm's models weigh the same; the first arm's count up, the second's down."""
    arms = [member.arm.name for member in members]
    return np.array([(1.0 if arm == arms[0] else -1.0) / arms.count(arm) for arm in arms])


def _values(members: Sequence[ArmResult]) -> Floats:
    return np.array([member.effective.effective_robustness_logit for member in members], dtype=np.float64)


def _sum(
    members: Sequence[ArmResult],
    weights: Floats,
    sampling: float,
    scatter: float,
    freedom: int,
    single: bool = False,
) -> Effect:
    """A weighted sum of residuals; the line's part lets families miss it together.

    single  whether each member stands alone for its arm: the scatter of ordinary models is then unseen
    """
    placed = [(member.effective.place, weight) for member, weight in zip(members, weights.tolist())]
    segments = list(dict.fromkeys(place[0] for place, _ in placed if place is not None))
    variance = 0.0
    for segment in segments:
        own = [(weight, place[1]) for place, weight in placed if place is not None and place[0] is segment]
        level, along = sum(weight for weight, _ in own), sum(weight * tx for weight, tx in own)
        variance += segment.combination_by_family(level, along) ** 2
    between = sum(weight**2 * place[0].scatter ** 2 for place, weight in placed if place is not None) if single else 0.0
    return Effect(
        value=float(weights @ _values(members)),
        sampling=sampling,
        scatter=scatter,
        freedom=freedom,
        line_sd=math.sqrt(variance),
        line_freedom=min(segment.freedom for segment in segments),
        models_sd=math.sqrt(between),
        models_freedom=min(place[0].predictive_freedom(place[1]) for place, _ in placed if place is not None),
    )
