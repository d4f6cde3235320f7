"""Finding: what a study answers, contrast by contrast and shift by shift, and the verdict it comes to.

A contrast moves effective robustness, is equivalent within the margin, or cannot be told. The -A sets are shown and never
enter a verdict. Corrections are Holm's over all the questions of one study.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from effrob.results.model_result import ModelResult
from effrob.results.select import DEFAULT_RESULTS
from effrob.robustness.fit import RobustnessFit
from effrob.robustness.significance import SHARE, adjust, margin_for, two_one_sided
from effrob.studies.arms import WIDER, StudyLines, arm_result, cell, results_of
from effrob.studies.estimate import Reckoned, reckon
from effrob.studies.study import MEAN, Contrast, Study
from shifts import suite_of

ALPHA = 0.05
MOVES, EQUIVALENT, UNKNOWN = "moves it", "equivalent", "cannot tell"


@dataclass(frozen=True, eq=False)
class Answer:
    """A contrast on a shift. `wide` is the same on the wider baseline, where an arm lies outside the narrow one's range.

    share  the size as a share of the reference's effective robustness, the margin being `margin_share` of it
    """

    contrast: Contrast
    shift: str
    baseline: str
    axis: str
    reckoned: Reckoned
    margin: float | None
    share: float | None
    wide: Answer | None = None
    p_adjusted: float | None = None

    @property
    def size(self) -> float | None:
        """The difference of effective robustness, a fraction."""
        return None if self.reckoned.estimate is None else self.reckoned.estimate.value

    @property
    def extrapolated(self) -> bool:
        return self.reckoned.extrapolated

    @property
    def beyond_margin(self) -> bool:
        """Whether the whole interval lies outside the margin, on one side."""
        found = self.reckoned.estimate
        ends = None if found is None else found.interval()
        return ends is not None and self.margin is not None and (ends[0] > self.margin or ends[1] < -self.margin)

    @property
    def alone(self) -> str:
        """The verdict on this baseline by itself."""
        found = self.reckoned.estimate
        if found is None or found.value is None:
            return UNKNOWN
        if two_one_sided(found.interval, self.margin).equivalent:
            return EQUIVALENT
        p = found.p_value if self.p_adjusted is None else self.p_adjusted
        return MOVES if found.in_kind and p is not None and p < ALPHA else UNKNOWN

    @property
    def verdict(self) -> str:
        """Outside a baseline's range, only what the wider baseline says too."""
        if not self.extrapolated:
            return self.alone
        if self.wide is None or self.wide.extrapolated or self.wide.alone != self.alone:
            return UNKNOWN
        same = (self.size or 0) * (self.wide.size or 0) > 0
        return self.alone if same or self.alone == EQUIVALENT else UNKNOWN

    def as_json(self) -> dict[str, Any]:
        found, tost = self.reckoned.estimate, None
        if found is not None:
            tost = two_one_sided(found.interval, self.margin)
        ends = None if found is None else found.interval()
        return {
            "contrast": self.contrast.name,
            "kind": self.contrast.kind,
            "shift": self.shift,
            "baseline": self.baseline,
            "axis": self.axis,
            "value": self.size,
            "ci95": None if ends is None else list(ends),
            "p_value": None if found is None else found.p_value,
            "p_adjusted": self.p_adjusted,
            "share_of_reference": self.share,
            "margin": self.margin,
            "smallest_margin": None if tost is None else tost.smallest_margin,
            "paired": self.reckoned.paired,
            "spread_over": self.reckoned.spread_over,
            "models": [s.result.model for s in self.reckoned.members],
            "missing": list(self.reckoned.missing),
            "extrapolated": self.extrapolated,
            "verdict": self.verdict,
            "confounded": self.contrast.confounded,
            "wide": None if self.wide is None else self.wide.as_json(),
        }


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

    def judgement(self, contrast: Contrast) -> str:
        """A contrast's verdict over its shifts: it moves the mean or any single shift; else what the mean of the four says.

        A mean can hide shifts that differ: it is equivalent only where no shift's interval lies beyond its margin. Where the
        mean is not studied, every shift must be equivalent. A confounded contrast tells nothing of the factor.
        """
        answers = {answer.shift: answer for answer in self.of(contrast.name)}
        said = {answer.verdict for answer in answers.values()}
        if contrast.confounded or not said:
            return UNKNOWN
        if MOVES in said:
            return MOVES
        if any(answer.beyond_margin for answer in answers.values()):
            return UNKNOWN
        if MEAN in answers:
            return answers[MEAN].verdict
        return EQUIVALENT if said == {EQUIVALENT} else UNKNOWN

    @property
    def verdict(self) -> str:
        """The headline contrast's; a study without arms cannot tell."""
        head = next((c for c in self.study.contrasts if c.name == self.study.headline), None)
        return UNKNOWN if head is None else self.judgement(head)

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


def run(study: Study, folder: Path = DEFAULT_RESULTS) -> Finding:
    """Answer a study from the published tables and the records below `folder`; a second, and no torch."""
    results = results_of(study, folder)
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
    return adjust([a.reckoned.estimate.p_value if a and a.reckoned.estimate else None for a in answers], "holm")


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
    reckoned = reckon(study, contrast, line, results)
    reference = _reference(study, line, results)
    margin = study.margin_points
    if margin is None and reference is not None:
        margin = study.margin_share * reference
    found_size = None if reckoned.estimate is None else reckoned.estimate.value
    share = None if found_size is None or not reference else found_size / reference
    wide = None
    if wider is None and reckoned.extrapolated and name in WIDER:
        wide = _answer(study, contrast, shift, lines, results, WIDER[name])
    return Answer(contrast, shift, line.baseline.name, line.axis, reckoned, margin, share, wide)


def _reference(study: Study, line: RobustnessFit, results: dict[str, tuple[ModelResult, ...]]) -> float | None:
    """Effective robustness a margin is a share of: the mean of the study's own arm, or OpenAI ViT-B/32's; a magnitude."""
    if study.margin_arm is None:
        tenth = margin_for(line)
        return None if tenth is None else tenth / SHARE
    arm = study.arm(study.margin_arm)
    stood = [s for result in results[arm.name] if (s := arm_result(line, arm, result)) is not None]
    values = [v for s in stood if (v := s.effective.effective_robustness) is not None]
    return abs(sum(values) / len(values)) if values else None


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
    beyond = [s.arm.name for a in answers for s in a.reckoned.members if s.effective.extrapolated]
    if beyond:
        said.append(
            f"clean accuracy outside the baseline's range: {', '.join(dict.fromkeys(beyond))}; a verdict stands only where "
            "the wider baseline gives it too"
        )
    if any(map(_diagnostic, study.shifts)):
        said.append("the -A set was filtered against one network: its figures are shown and enter no verdict")
    return said
