"""Report: a finding as text for a terminal, shift by shift, with the line of every number named.

Arms in percent and points, contrasts in logits with their points beside; `Finding.as_json` keeps fractions.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from effrob.leaderboard.formatting import columns, interval, joined, logit_interval, logits, p_text, percent, points
from effrob.studies.answer import NOT_HELD, POINTS_AT, Answer
from effrob.studies.finding import Finding

WIDTH = 118
READING = (
    "Effective robustness in points: accuracy minus what the line gives a baseline model of the same clean accuracy. [95 %] is "
    "how well that is measured, | 95 % | adds the scatter of ordinary models. * beyond the baseline's clean accuracies. "
    "`beside` is the same arm on other lines. Contrasts are differences of logit residuals from one line, beside in points "
    f"for a model of {POINTS_AT:.0%} clean accuracy. The interval of a pair of single models does not hold {NOT_HELD}."
)
HEADINGS = ("arm", "model", "line: baseline, axis", "clean", "accuracy", "eff. robustness [95 %] | 95 % |", "beside")


def report(finding: Finding) -> str:
    """The whole finding: question, what arms share, caveats, each shift, verdicts."""
    study = finding.study
    cause = f" (cause {study.cause})" if study.cause else ""
    lines = [f"{study.title or study.name}{cause}", *_wrap(study.question), ""]
    for name, said in (
        ("factor", [study.factor]),
        ("constant", study.constant),
        ("not constant", study.not_constant),
        ("can decide", [study.decides]),
        ("cannot decide", [study.cannot_decide]),
        ("instead", [study.instead] if study.instead else []),
        ("notices", finding.notices),
    ):
        lines += [part for each in said for part in _wrap(each, f"  {name:<14}")]
    if study.arms:
        lines += ["", *_wrap(READING)]
    for shift, cells in finding.cells.items():
        lines += _shift(shift, cells, finding.at(shift))
    lines += ["", "Over all shifts"]
    for contrast in study.contrasts:
        why = f" (confounded: {contrast.confounded})" if contrast.confounded else ""
        lines += _wrap(f"{contrast.name}: {finding.judgement(contrast)}{why}", "  ")
    headline = (
        f", by its headline contrast `{study.headline}`"
        if study.headline
        else (": it has no contrast" if study.arms else ": it has no arm")
    )
    return "\n".join([*lines, *_wrap(f"The study's verdict: {finding.verdict}{headline}.", "  ")])


def _wrap(text: str, first: str = "") -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=" " * len(first), break_on_hyphens=False)


def _shift(shift: str, cells: Sequence[dict[str, Any]], answers: Iterable[Answer]) -> list[str]:
    if not cells:
        return []
    table = columns([HEADINGS, *map(_row, cells)])
    return [
        "",
        shift,
        *(f"  {line}" for line in table),
        *(part for a in answers for part in _wrap(sentence(a), "  > ")),
    ]


def _row(cell: dict[str, Any]) -> tuple[str, ...]:
    def height(each: dict[str, Any]) -> str:
        return points(each["effective_robustness"]) + ("*" if each["extrapolated"] else "")

    ends = interval(cell["effective_robustness_ci95"], True)
    wide = interval(cell["effective_robustness_pi95"], True).strip("[]")
    return (
        cell["arm"],
        cell["model"],
        line_name(cell),
        percent(cell["clean_accuracy"]),
        percent(cell["accuracy"]),
        f"{height(cell)} {ends} | {wide or '-'} |",
        "; ".join(f"{line_name(each)} {height(each)}" for each in cell["beside"]),
    )


def line_name(cell: dict[str, Any]) -> str:
    """`testbed, full`; on ImageNet-A with the number of lines the shift was fitted with."""
    segments = (
        f", {cell['segments']} line{'s' if cell['segments'] > 1 else ''}" if cell["shift"] == "imagenet-a" else ""
    )
    return f"{cell['baseline']}, {cell['axis']}{segments}"


def sentence(answer: Answer) -> str:
    """A contrast on a shift, in one line of words."""
    return f"{answer.contrast.name} ({answer.contrast.kind}): {_judged(answer)}" + (
        "" if answer.wide is None else f"; on {answer.wide.baseline} {_judged(answer.wide)}"
    )


def _judged(answer: Answer) -> str:
    effect = answer.effect
    if effect is None:
        missing = ", ".join(answer.made.missing)
        return f"no arm to compare with (not measured here: {missing})" if missing else "too few arms to compare"
    p = answer.p_adjusted if answer.p_adjusted is not None else effect.p_value
    margin = "no margin" if answer.margin is None else f"margin ±{answer.margin:.3f}"
    how = ", paired" if answer.made.paired else ""
    between = (
        "" if effect.spread is None else f", its contrasts {logits(effect.spread[0])} to {logits(effect.spread[1])}"
    )
    size = joined(logits(effect.value), logit_interval(effect.interval(), 3))
    value = f"{size} logits ({points(answer.points(effect.value), 1)} points){how}{between}"
    why = f" ({answer.why})" if answer.why and not answer.contrast.confounded else ""
    return f"{value}, p {p_text(p)} (Holm), {margin}, line of {answer.baseline}, {answer.axis}: {answer.verdict}{why}"
