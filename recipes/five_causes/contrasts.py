"""Questions over seeds: effects in logits, their intervals, equivalence and verdicts. Rules fixed before the runs.

A contrast is a difference of effective robustness (the logit residual above the line, mean of the four shifts) of two arms,
paired by seed. A question is one or several contrasts that ask the same thing; its effect is their mean, its spread theirs.
One method gives interval and p-value: Student's t with the scatter over seeds and the line's own uncertainty, whose
degrees of freedom are those of seeds and of families of classifiers (Satterthwaite).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import stats
from scipy.special import expit, logit

from effrob.robustness.significance import adjust
from recipes.five_causes.grid import Grid, Read
from recipes.five_causes.standings import MEAN, SHIFTS, Board, Floats

MARGIN_SHARE = 0.1  # of the reference model's effective robustness on the same line, as in `effrob study`
ALPHA = 0.05
POINTS_AT = 0.75  # clean accuracy at which logits are translated into points, as in `effrob study`


@dataclass(frozen=True)
class Contrast:
    """`high` minus `low`, which differ in one factor: a key of `Grid.configuration`."""

    text: str
    high: Read
    low: Read
    factor: str

    def differs(self, grid: Grid) -> dict[str, tuple[Any, Any]]:
        """What else differs between the two sides than the factor: key -> (high's value, low's). Empty where nothing does."""
        high, low = grid.configuration(self.high), grid.configuration(self.low)
        return {key: (high[key], low[key]) for key in high if key != self.factor and high[key] != low[key]}


@dataclass(frozen=True)
class Question:
    """Contrasts that ask the same thing. The first question of a cause is its headline."""

    cause: str
    text: str
    contrasts: tuple[Contrast, ...]


@dataclass(frozen=True)
class Estimate:
    """An effect in logits with its intervals; p is of the test that it is zero by the same t, on `df` degrees of freedom."""

    value: float
    ci95: tuple[float, float]
    ci90: tuple[float, float]
    p: float
    df: float


def estimate(values: Floats, line_sd: float = 0.0, families: int = 2) -> Estimate:
    """(n,) values, one a seed, and the line's own standard deviation, known from so many families; n at least 2."""
    n = len(values)
    if n < 2:
        raise ValueError(f"an interval over seeds needs at least 2 of them, got {n}")
    mean, seeds = float(np.mean(values)), float(np.var(values, ddof=1)) / n
    line = line_sd**2
    if seeds + line == 0.0:
        return Estimate(mean, (mean, mean), (mean, mean), 1.0 if mean == 0 else 0.0, float(n - 1))
    df = (seeds + line) ** 2 / (seeds**2 / (n - 1) + line**2 / max(families - 1, 1))
    se = float(np.sqrt(seeds + line))

    def ends(level: float) -> tuple[float, float]:
        half = float(stats.t.ppf((1 + level) / 2, df)) * se
        return mean - half, mean + half

    return Estimate(mean, ends(0.95), ends(0.90), float(2 * stats.t.sf(abs(mean) / se, df)), df)


@dataclass(frozen=True)
class Answer:
    """A question or one of its contrasts on a board.

    by_shift     the same on each shift;  over_seeds  the interval without the line's uncertainty
    spread       smallest and largest effect of its contrasts
    differs      what else differs between the sides of any of its contrasts
    margin       logits within which an effect is none;  p_adjusted  after Holm's correction
    without      the effect over the other shifts, where one is left out
    """

    question: Question
    contrasts: tuple[Contrast, ...]
    effect: Estimate
    over_seeds: Estimate
    by_shift: Mapping[str, Estimate]
    parts: tuple[Estimate, ...]
    differs: tuple[str, ...]
    extrapolated: bool
    margin: float
    p_adjusted: float
    seeds: int
    without: Mapping[str, Estimate] = field(default_factory=dict)

    @property
    def spread(self) -> tuple[float, float]:
        values = [part.value for part in self.parts]
        return min(values), max(values)

    @property
    def at_most(self) -> float:
        """The smallest margin within which the effect, and each of its contrasts, would be equivalent to none."""
        return max(abs(end) for one in (self.effect, *self.parts) for end in one.ci90)

    @property
    def verdict(self) -> str:
        return "cannot tell" if self.why else "equivalent" if self.equivalent else "moves it"

    @property
    def equivalent(self) -> bool:
        """Every contrast's 90 % interval, and that of their mean, within the margin."""
        return self.at_most < self.margin

    @property
    def why(self) -> str | None:
        """Why there is no verdict; None where there is one."""
        if self.differs:
            return "also differs: " + ", ".join(self.differs)
        if self.extrapolated:
            return "an arm lies outside the line's range"
        if self.equivalent:
            return None
        if len({part.value > 0 for _, part in self._told_apart}) > 1:
            return self._disagreement
        if self.effect.p >= ALPHA:
            if max(map(abs, self.effect.ci90)) < self.margin:
                return "the mean is within the margin, but not each of its contrasts"
            return "the interval holds both none and more than the margin"
        if self.p_adjusted >= ALPHA:
            return "not told from none once several questions are corrected for"
        return self._one_shift

    @property
    def _told_apart(self) -> list[tuple[Contrast, Estimate]]:
        """The contrasts whose own 95 % interval leaves none out, lowest first: the others have no sign to disagree with."""
        known = [(one, part) for one, part in zip(self.contrasts, self.parts, strict=True) if part.p < ALPHA]
        return sorted(known, key=lambda pair: pair[1].value)

    @property
    def _one_shift(self) -> str | None:
        """The shift that an effect rests on: without it the others' is not told from none, or has the other sign."""
        for shift, rest in sorted(self.without.items(), key=lambda pair: -pair[1].p):
            if rest.p >= ALPHA or rest.value * self.effect.value < 0:
                return f"rests on {shift}: without it " + "{:+.2f} [{:+.2f}, {:+.2f}]".format(rest.value, *rest.ci95)
        return None

    @property
    def _disagreement(self) -> str:
        """The two contrasts that lie farthest apart, by name."""
        ends = (self._told_apart[at] for at in (0, -1))
        return "its contrasts disagree in sign: " + ", ".join(f"{one.text} {part.value:+.2f}" for one, part in ends)


def answer(questions: Sequence[Question], board: Board, grid: Grid) -> tuple[list[Answer], list[Answer]]:
    """The causes' headlines, and every contrast of every question.

    Holm's correction runs over the headlines, and over the contrasts that are no headline by themselves: one that is has its
    headline's p-value and verdict.
    """
    margin = MARGIN_SHARE * abs(board.reference)
    heads = list({question.cause: question for question in reversed(questions)}.values())[::-1]
    summaries = [_answer(question, question.contrasts, board, grid, margin) for question in heads]
    each = [_answer(question, (one,), board, grid, margin) for question in questions for one in question.contrasts]
    corrected = _corrected(summaries)
    alone = {one.question: one for one in corrected if len(one.contrasts) == 1}
    others = iter(_corrected([one for one in each if one.question not in alone]))
    return corrected, [alone[one.question] if one.question in alone else next(others) for one in each]


def _corrected(answers: Sequence[Answer]) -> list[Answer]:
    adjusted = adjust([one.p_adjusted for one in answers])
    return [
        Answer(**{**vars(one), "p_adjusted": one.p_adjusted if p is None else p})
        for one, p in zip(answers, adjusted, strict=True)
    ]


def _answer(question: Question, contrasts: tuple[Contrast, ...], board: Board, grid: Grid, margin: float) -> Answer:
    effect = _effect(contrasts, board, SHIFTS)
    reads = [read for one in contrasts for read in (one.high, one.low)]
    return Answer(
        question=question,
        contrasts=contrasts,
        effect=effect,
        over_seeds=estimate(_values(contrasts, board, SHIFTS)),
        by_shift={shift: _effect(contrasts, board, (shift,)) for shift in SHIFTS},
        without={shift: _effect(contrasts, board, [one for one in SHIFTS if one != shift]) for shift in SHIFTS},
        parts=tuple(_effect((one,), board, SHIFTS) for one in contrasts),
        differs=tuple(
            dict.fromkeys(_spoken(key, pair) for one in contrasts for key, pair in one.differs(grid).items())
        ),
        extrapolated=any(board.of(read, k, MEAN).extrapolated for read in reads for k in range(board.seeds)),
        margin=margin,
        p_adjusted=effect.p,
        seeds=board.seeds,
    )


def _spoken(key: str, pair: tuple[Any, Any]) -> str:
    return f"{key.replace('_', ' ')} ({pair[0]} against {pair[1]})"


def _values(contrasts: Sequence[Contrast], board: Board, shifts: Sequence[str]) -> Floats:
    """(seeds,) logits: the mean over contrasts and shifts of the paired differences."""
    made = [board.values(one.high, shift) - board.values(one.low, shift) for one in contrasts for shift in shifts]
    mean: Floats = np.mean(made, axis=0)
    return mean


def _effect(contrasts: Sequence[Contrast], board: Board, shifts: Sequence[str]) -> Estimate:
    families = len(set(board.lines[shifts[0]].line.families))
    return estimate(_values(contrasts, board, shifts), line_spread(contrasts, board, shifts), families)


def line_spread(contrasts: Sequence[Contrast], board: Board, shifts: Sequence[str] = SHIFTS) -> float:
    """Standard deviation, over resampled families of classifiers, of the effect: slopes move arms of unlike clean accuracy.

    One draw of families moves the lines of all shifts together, and both arms on each.
    """
    moved: list[Floats] = []
    for shift in shifts:
        lift = np.mean([board.lifted(one.high, shift) - board.lifted(one.low, shift) for one in contrasts])
        moved.append(board.lines[shift].line.bootstrap_by_family[:, 1] * lift)
    mean = np.mean(moved, axis=0)
    return float(np.std(mean[np.isfinite(mean)], ddof=1))


def translated(value: float, board: Board, shifts: Sequence[str] = SHIFTS) -> float:
    """Logits as a difference of accuracy, for a model of clean accuracy POINTS_AT: mean over the shifts' lines."""
    on_line = [board.lines[shift].line.at(float(logit(POINTS_AT))) for shift in shifts]
    return float(np.mean([expit(height + value) - expit(height) for height in on_line]))
