"""A result in words, as a paper would state it: accuracy, effective robustness with both intervals, the line, the verdict."""

from __future__ import annotations

from collections.abc import Sequence

from effrob.results.accuracy import Accuracy
from effrob.results.given.columns import known_sets, set_size
from effrob.robustness.effective import Effective
from shifts import suite_of

VERDICTS = {
    "above": "more robust than its clean accuracy predicts: the prediction interval lies above the line",
    "below": "less robust than its clean accuracy predicts: the prediction interval lies below the line",
    "on": "what its clean accuracy predicts: the prediction interval holds the line",
}


def result_sentence(
    model: str,
    shift: str,
    accuracy: Accuracy,
    effective: Effective | None,
    why_not: str | None,
    p_adjusted: float | None = None,
) -> str:
    """One model on one shift, in one or two sentences; percent, and points for differences.

    why_not     why there is no effective robustness, where there is none
    p_adjusted  adjusted for all that was asked at once: a verdict that it does not bear out is called so
    """
    low, high = accuracy.clopper_pearson()
    first = (
        f"{model} has an accuracy of {_percent(accuracy.value)} % on {shift} (95 % confidence interval {_percent(low)} to "
        f"{_percent(high)}, n = {accuracy.n:,.0f})"
    )
    if effective is None or effective.effective_robustness is None or effective.clean is None:
        return f"{first}; its effective robustness cannot be told: {why_not or 'no clean accuracy is known'}."
    fit = effective.fit
    members = fit.segment_at(effective.clean.value).n
    intervals = ""
    if effective.ci95 is not None and effective.pi95 is not None:
        intervals = (
            f" (95 % confidence interval {_points(*effective.ci95)}, prediction interval {_points(*effective.pi95)})"
        )
    return (
        f"{first}. Its effective robustness is {_point(effective.effective_robustness)} points{intervals} against the "
        f"{fit.scale.name} line of {members} models (baseline {fit.baseline.name}) at {_percent(effective.clean.value)} % "
        f"{axis_words(shift, fit.axis)}, {_verdict(effective, p_adjusted)}."
    )


def disputed_words(disputed: Sequence[str]) -> list[str]:
    """Sentences that say what is disputed, for the end of a result; none where nothing is."""
    return [f"The accuracy on {sentence}." for sentence in disputed]


def axis_words(shift: str, axis: str) -> str:
    """What the clean accuracy is over, in words."""
    owner = suite_of(shift)
    if shift in known_sets() and set_size(shift).same_classes:
        return owner.axis_title
    return (
        f"{owner.axis_title} over all classes" if axis == "full" else f"{owner.axis_title} among the classes of {shift}"
    )


def _verdict(effective: Effective, p_adjusted: float | None) -> str:
    verdict = effective.verdict
    if verdict in ("above", "below") and p_adjusted is not None and p_adjusted >= 0.05:
        return (
            f"{VERDICTS[verdict]}, though by chance perhaps: p = {p_adjusted:.2g}, adjusted for all that was asked at once "
            "(Holm)"
        )
    if verdict in VERDICTS:
        return VERDICTS[verdict]
    return f"no verdict: {effective.why or 'no interval exists'}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _point(value: float) -> str:
    return f"{100 * value:+.1f}"


def _points(low: float, high: float) -> str:
    return f"{_point(low)} to {_point(high)}"
