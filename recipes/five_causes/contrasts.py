"""Contrasts between read-outs over seeds: size, t-interval, equivalence and verdict. Rules fixed before the runs.

A contrast is a difference of effective robustness paired by seed. `moves it` needs a 95 % interval over seeds without
zero after Holm's correction over the five causes, and still without zero once the line's own uncertainty is added;
`equivalent` a 90 % interval inside the margin. A contrast with an arm outside the line's range is `cannot tell`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from effrob.robustness.significance import adjust
from recipes.five_causes.standings import MEAN, SHIFTS, Board, Floats, Read

MARGIN = 0.2  # logits on the mean of the four: five points at an accuracy of one half; fixed before the runs
ALPHA = 0.05


@dataclass(frozen=True)
class Contrast:
    """`high` minus `low`. The first contrast of a cause is its headline; `caveat` says what else differs."""

    cause: str
    text: str
    high: Read
    low: Read
    caveat: str


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with its t-intervals; p is of the two-sided paired t-test against zero."""

    effect: float
    ci95: tuple[float, float]
    ci90: tuple[float, float]
    p: float
    seeds: int


def over_seeds(values: Floats) -> Estimate:
    """Student's t over (n,) values, one a seed; n at least 2. Equal values give an interval without width."""
    n = len(values)
    if n < 2:
        raise ValueError(f"an interval over seeds needs at least 2 of them, got {n}")
    mean, se = float(np.mean(values)), float(np.std(values, ddof=1)) / n**0.5
    if se == 0.0:
        return Estimate(mean, (mean, mean), (mean, mean), 1.0 if mean == 0 else 0.0, n)

    def ends(level: float) -> tuple[float, float]:
        half = float(stats.t.ppf((1 + level) / 2, n - 1)) * se
        return mean - half, mean + half

    return Estimate(mean, ends(0.95), ends(0.90), float(2 * stats.t.sf(abs(mean) / se, n - 1)), n)


@dataclass(frozen=True)
class Answer:
    """A contrast on the board: its size on the mean of the four and on each shift, on both scales.

    with_line_ci95  the interval over seeds widened by the line's uncertainty, resampled by families of classifiers
    """

    contrast: Contrast
    logit: Estimate
    points: Estimate
    by_shift: dict[str, tuple[Estimate, Estimate]]
    with_line_ci95: tuple[float, float]
    extrapolated: bool
    p_adjusted: float

    @property
    def equivalent(self) -> bool:
        return max(abs(end) for end in self.logit.ci90) < MARGIN

    @property
    def verdict(self) -> str:
        if self.extrapolated:
            return "cannot tell"
        if self.equivalent:
            return "equivalent"
        low, high = self.with_line_ci95
        return "moves it" if self.p_adjusted < ALPHA and (low > 0 or high < 0) else "cannot tell"


def answer(contrasts: Sequence[Contrast], board: Board) -> list[Answer]:
    """Every contrast; Holm's correction runs over the causes' headline contrasts, the others are given their own p."""
    sizes = [_difference(contrast, board, MEAN, "logit") for contrast in contrasts]
    heads = [contrasts.index(next(c for c in contrasts if c.cause == cause)) for cause in _causes(contrasts)]
    corrected = adjust([sizes[place].p for place in heads])
    adjusted = {place: p for place, p in zip(heads, corrected, strict=True) if p is not None}
    made = []
    for place, contrast in enumerate(contrasts):
        size, line_sd = sizes[place], line_spread(contrast, board)
        half = float(np.hypot(size.ci95[1] - size.effect, stats.norm.ppf(0.975) * line_sd))
        made.append(
            Answer(
                contrast,
                size,
                _difference(contrast, board, MEAN, "points"),
                {s: tuple(_difference(contrast, board, s, scale) for scale in ("logit", "points")) for s in SHIFTS},  # type: ignore[misc]
                (size.effect - half, size.effect + half),
                any(
                    board.of(r, k, MEAN).extrapolated for r in (contrast.high, contrast.low) for k in range(board.seeds)
                ),
                adjusted.get(place, size.p),
            )
        )
    return made


def line_spread(contrast: Contrast, board: Board) -> float:
    """Standard deviation, over resampled families of baseline classifiers, of the contrast's mean logit size.

    One draw of families moves all four lines together, and both arms on each.
    """
    moved = np.zeros(0)
    for shift in SHIFTS:
        line = board.lines[shift].line
        lift = {
            read: np.mean([board.lines[shift].scale.to(board.of(read, k, shift).clean) for k in range(board.seeds)])
            for read in (contrast.high, contrast.low)
        }
        heights = line.bootstrap_by_family[:, 1] * (lift[contrast.high] - lift[contrast.low])
        moved = heights if not len(moved) else moved + heights
    moved = moved / len(SHIFTS)
    return float(np.std(moved[np.isfinite(moved)], ddof=1))


def _difference(contrast: Contrast, board: Board, shift: str, scale: str) -> Estimate:
    return over_seeds(board.values(contrast.high, shift, scale) - board.values(contrast.low, shift, scale))


def _causes(contrasts: Sequence[Contrast]) -> list[str]:
    return list(dict.fromkeys(contrast.cause for contrast in contrasts))
