"""Finding: what a study answers, contrast by contrast and shift by shift, and the verdict it comes to.

Effects, margins and verdicts are in logits, because points grow with clean accuracy. A contrast moves effective robustness,
is equivalent within the margin, or cannot be told. Corrections are Holm's over all the questions of one study; diagnostic
sets are shown and are no question.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from effrob.results.model_result import ModelResult
from effrob.results.select import DEFAULT_RESULTS
from effrob.robustness.significance import adjust
from effrob.studies.answer import EQUIVALENT, MOVES, UNKNOWN, Answer, margin_of
from effrob.studies.arms import WIDER, StudyLines, cell, results_of
from effrob.studies.estimate import effect_of
from effrob.studies.study import MEAN, Contrast, Study
from shifts import suite_of


@dataclass(frozen=True)
class Overall:
    """A contrast over shifts, in logits: the mean of the effects and of their intervals, as if their errors moved together.

    whole  whether these are all the ranked shifts of the suite
    """

    value: float
    ci95: tuple[float, float]
    shifts: tuple[str, ...]
    share: float | None
    whole: bool
    wide: Overall | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "unit": "logit",
            "value": self.value,
            "ci95": list(self.ci95),
            "shifts": list(self.shifts),
            "share_of_reference": self.share,
            "wide": None if self.wide is None else self.wide.as_json(),
        }


def _overall(answers: Sequence[Answer]) -> Overall | None:
    known = [(answer, answer.effect) for answer in answers if answer.effect is not None and answer.shift != MEAN]
    if not known:
        return None
    ends = [effect.interval() for _, effect in known]
    references = [answer.reference for answer, _ in known]
    value = sum(effect.value for _, effect in known) / len(known)
    size = sum(reference or 0 for reference in references) / len(known)
    return Overall(
        value=value,
        ci95=(sum(low for low, _ in ends) / len(ends), sum(high for _, high in ends) / len(ends)),
        shifts=tuple(answer.shift for answer, _ in known),
        share=value / size if size and None not in references else None,
        whole=len(known) == len(suite_of(known[0][0].shift).ranked),
    )


@dataclass(frozen=True, eq=False)
class Finding:
    """A study's answers, its arms' cells, and what a reader must know first."""

    study: Study
    answers: tuple[Answer, ...]
    cells: dict[str, tuple[dict[str, Any], ...]]
    notices: tuple[str, ...]

    def of(self, contrast: str) -> tuple[Answer, ...]:
        """A contrast's answers, shift by shift."""
        return tuple(answer for answer in self.answers if answer.contrast.name == contrast)

    def at(self, shift: str) -> tuple[Answer, ...]:
        """A shift's answers, contrast by contrast."""
        return tuple(answer for answer in self.answers if answer.shift == shift)

    def overall(self, contrast: Contrast) -> Overall | None:
        """A contrast over the shifts it has an effect on, and on the wider baseline where an arm was extrapolated on one."""
        answers = self.of(contrast.name)
        made = _overall(answers)
        if made is None or not any(answer.wide for answer in answers):
            return made
        return replace(made, wide=_overall([answer.wide or answer for answer in answers]))

    def judgement(self, contrast: Contrast) -> str:
        """A contrast's verdict over its shifts: it moves the mean or any single shift; else what the mean of the four says.

        A mean can hide shifts that differ: it is equivalent only where no shift's interval lies beyond its margin. Where the
        mean is not studied, every shift must be equivalent. A confounded contrast tells nothing of the factor.
        """
        answers = {answer.shift: answer for answer in self.of(contrast.name)}
        verdicts = {answer.verdict for answer in answers.values()}
        if contrast.confounded or not verdicts:
            return UNKNOWN
        if MOVES in verdicts:
            return MOVES
        if any(answer.beyond_margin for answer in answers.values()):
            return UNKNOWN
        if MEAN in answers:
            return answers[MEAN].verdict
        return EQUIVALENT if verdicts == {EQUIVALENT} else UNKNOWN

    @property
    def verdict(self) -> str:
        """The headline contrast's; a study without arms cannot tell."""
        headline = self.study.headline
        return UNKNOWN if headline is None else self.judgement(self.study.contrast(headline))

    @property
    def why(self) -> str | None:
        """Why the headline has no verdict; None where it has one, and without a headline."""
        answers = self.of(self.study.headline or "")
        if self.verdict != UNKNOWN or not answers:
            return None
        return next((answer.why for answer in answers if answer.why), "the shifts disagree")

    def as_json(self) -> dict[str, Any]:
        study = self.study
        return {
            "study": study.name,
            "cause": study.cause,
            "question": study.question,
            "factor": study.factor,
            "constant": list(study.constant),
            "not_constant": list(study.not_constant),
            "baseline": study.baseline or next((a.baseline for a in self.answers), None),
            "axis": study.axis,
            "verdict": self.verdict,
            "why": self.why,
            "headline": study.headline,
            "decides": study.decides,
            "cannot_decide": study.cannot_decide,
            "instead": study.instead,
            "notices": list(self.notices),
            "contrasts": [
                {"name": c.name, "verdict": self.judgement(c), "confounded": c.confounded} for c in study.contrasts
            ],
            "findings": [
                {
                    "shift": shift,
                    "arms": list(self.cells.get(shift, ())),
                    "answers": [answer.as_json() for answer in self.at(shift)],
                }
                for shift in (*study.shifts, *study.means)
            ],
        }


def run(study: Study, folder: Path = DEFAULT_RESULTS, given: Sequence[ModelResult] = ()) -> Finding:
    """Answer a study from published tables, the records below `folder` and given accuracies; a second, and no torch."""
    results = results_of(study, folder, given)
    lines = StudyLines(study, results, folder)
    lines.check()
    every = (*study.shifts, *study.means)
    cells = {shift: _cells(study, lines, results, shift) for shift in every}
    asked = [(contrast, shift) for contrast in study.contrasts for shift in every if not _diagnostic(shift)]
    answers = [answer for each in asked if (answer := _answer(study, *each, lines, results)) is not None]
    final = [
        replace(a, p_adjusted=p, wide=None if a.wide is None else replace(a.wide, p_adjusted=q))
        for a, p, q in zip(answers, _holm(answers), _holm([a.wide for a in answers]))
    ]
    return Finding(study, tuple(final), cells, tuple(_notices(study, lines, results, cells, final)))


def _diagnostic(shift: str) -> bool:
    return shift in suite_of(shift).diagnostic


def _holm(answers: Sequence[Answer | None]) -> list[float | None]:
    """Confounded contrasts are no questions, and enter no correction."""
    asked = [answer if answer and not answer.contrast.confounded else None for answer in answers]
    return adjust([answer.effect.p_value if answer and answer.effect else None for answer in asked], "holm")


def _cells(
    study: Study, lines: StudyLines, results: dict[str, tuple[ModelResult, ...]], shift: str
) -> tuple[dict[str, Any], ...]:
    made = [cell(lines, arm, result, shift) for arm in study.arms for result in results[arm.name]]
    return tuple(each for each in made if each is not None)


def _answer(
    study: Study,
    contrast: Contrast,
    shift: str,
    lines: StudyLines,
    results: dict[str, tuple[ModelResult, ...]],
    wider: str | None = None,
) -> Answer | None:
    name = wider or lines.name(shift)
    line = lines.at(shift, name, own=True)
    if line is None:
        return None
    made = effect_of(study, contrast, line, results)
    wide = None
    if wider is None and made.extrapolated and name in WIDER:
        wide = _answer(study, contrast, shift, lines, results, WIDER[name])
    return Answer(contrast, shift, line, made, *margin_of(study, line, results), wide)


def _notices(
    study: Study,
    lines: StudyLines,
    results: Mapping[str, tuple[ModelResult, ...]],
    cells: Mapping[str, Sequence[dict[str, Any]]],
    answers: Sequence[Answer],
) -> list[str]:
    """What a reader must know before the numbers, a sentence each."""
    if not study.arms:
        return ["no published model is an arm of this study"]
    said = [f"{c.name}: confounded: {c.confounded}" for c in study.contrasts if c.confounded]
    every = [result for each in results.values() for result in each]
    kinds = sorted({f"{result.source} ({result.protocol})" for result in every})
    if len(kinds) > 1:
        said.append(
            f"arms come from different harnesses, {' and '.join(kinds)}: the same weights differ by up to a point between them"
        )
    names = [lines.name(shift) for shift in study.shifts]
    for name in dict.fromkeys([*names, *(WIDER[name] for name in names if name in WIDER)]):
        inside = len(lines.members(name))
        if inside:
            said.append(
                f"{inside} of the arms' models are in baseline {name}; contrasts stand on the line without them"
            )
    for shift in study.shifts:
        if any(lines.at(shift, own=own) is None for own in (False, True)):
            left = "without the arms " if lines.at(shift) is not None else ""
            said.append(f"{shift}: baseline {lines.name(shift)} has no line {left}here, so no contrast is judged on it")
        lacking = [arm.name for arm in study.arms if not any(c["arm"] == arm.name for c in cells[shift])]
        if lacking:
            said.append(f"{shift}: not measured there, or without a clean accuracy: {', '.join(lacking)}")
    beyond = [s.arm.name for a in answers for s in a.made.members if s.effective.extrapolated]
    if beyond:
        said.append(
            f"clean accuracy outside the baseline's range: {', '.join(dict.fromkeys(beyond))}; a verdict stands only where "
            "the wider baseline gives it too"
        )
    if any(map(_diagnostic, study.shifts)):
        said.append("the -A set was filtered against one network: its figures are shown and enter no verdict")
    return said
