"""The arms of a study as models with counts, and each of them beside the study's lines."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote
from typing import Any

from effrob.errors import UsageProblem, suggest
from effrob.results.model_result import MEANS, ModelResult
from effrob.results.select import published_results, read_records, reading_of, recorded_result
from effrob.results.store import Stored
from effrob.robustness.baselines.baseline import Baseline, default_baseline
from effrob.robustness.baselines.catalogue import baseline as find_baseline
from effrob.robustness.effective import Effective
from effrob.robustness.fit import RobustnessFit, fit
from effrob.robustness.lines import judge
from effrob.studies.study import Arm, Study
from model_zoo.published import sources

RECORDED = ("measured", "imported")
WIDER = {"testbed": "testbed-wide"}
ALWAYS = "testbed"  # every arm's place on this line is given, where the line has the shift


@dataclass(frozen=True, eq=False)
class ArmResult:
    """A model of an arm beside one line."""

    arm: Arm
    result: ModelResult
    effective: Effective

    def as_json(self) -> dict[str, Any]:
        """An arm's cell: what it is, on which line, and the robustness fields."""
        clean, shift = self.effective.clean, self.effective.shift
        return {
            "arm": self.arm.name,
            "model": self.result.model,
            "source": self.result.source,
            "protocol": self.result.protocol,
            "shift": self.effective.fit.shift,
            "accuracy": None if shift is None else shift.value,
            "clean_accuracy": None if clean is None else clean.value,
            "disputed": list(self.result.disputed(self.effective.fit.shift)),
            **self.effective.as_json(),
            "segments": len(self.effective.fit.segments),
        }


class StudyLines:
    """The lines of a study; one object a study, because a contrast needs its arms on one and the same fit."""

    def __init__(self, study: Study, results: Mapping[str, tuple[ModelResult, ...]], folder: Path) -> None:
        self.study, self.folder = study, folder
        self.models = frozenset(result.model for each in results.values() for result in each)

    def name(self, shift: str) -> str:
        """The study's baseline on a shift, by name."""
        return self.study.baseline or default_baseline(shift)

    @functools.cache  # noqa: B019 -- lives as long as its study's run
    def baseline(self, name: str, own: bool = False) -> Baseline:
        """A baseline; with `own`, less the members that are arms."""
        whole = find_baseline(name, self.folder)
        gone = self.members(name) if own else ()
        return whole.without(gone) if gone else whole

    def members(self, name: str) -> tuple[str, ...]:
        """The arms' models that are members of a baseline."""
        return tuple(model for model in find_baseline(name, self.folder).models if model in self.models)

    def check(self) -> None:
        """Raises UsageProblem for a baseline nobody has, and for a shift on which no line of the study can be fitted."""
        study = self.study
        named = [("baseline", study.baseline), *(("beside", name) for name in study.beside)]
        for key, name in named:
            with study.location.blame(key):
                find_baseline(name or ALWAYS, self.folder)
        for shift in study.shifts if study.arms else ():
            why = [self.lacks(shift, each) for each in (self.name(shift), *study.beside)]
            with study.location.blame("shifts", "baseline"):
                if why[0] is not None and all(why):
                    raise why[0]

    def lacks(self, shift: str, name: str) -> UsageProblem | None:
        """Why a baseline has no line of its own on the shift; None where it has."""
        try:
            fit(shift, self.baseline(name), self.study.axis)
        except UsageProblem as problem:
            return problem
        return None

    def at(
        self, shift: str, name: str | None = None, axis: str | None = None, own: bool = False, segments: str = "auto"
    ) -> RobustnessFit | None:
        """A line; None where the baseline lacks the shift, or where too few members are left."""
        name = name or self.name(shift)
        try:
            line = fit(shift, self.baseline(name), axis or self.study.axis, segments=segments)
            # Not fitted to the smaller baseline: less its zero model, ImageNet-A's line would lose the split that model gives.
            return replace(line.without(self.members(name)), baseline=self.baseline(name, own)) if own else line
        except UsageProblem:
            return None


def arm_result(line: RobustnessFit, arm: Arm, result: ModelResult) -> ArmResult | None:
    """A model beside a line; None where it lacks an accuracy on the line's shift or axis."""
    effective = judge(line, result)
    return None if effective is None else ArmResult(arm, result, effective)


def cell(lines: StudyLines, arm: Arm, result: ModelResult, shift: str) -> dict[str, Any] | None:
    """An arm's cell on a shift: on the study's line, and under `beside` on every other line it is worth reading on.

    Beside it stand: the line without the arms; `testbed`; the wider line where the clean accuracy lies outside the narrow one's
    range; the study's other baselines; the other axis; and ImageNet-A's single line. None where the model lacks the shift.
    """
    study, name = lines.study, lines.name(shift)
    main = lines.at(shift)
    on_main = None if main is None else arm_result(main, arm, result)
    wanted: list[RobustnessFit | None] = [lines.at(shift, own=True), lines.at(shift, ALWAYS)]
    wanted += [lines.at(shift, other) for other in study.beside]
    if shift not in MEANS:
        wanted.append(lines.at(shift, axis="clean" if study.axis == "full" else "full"))
    if shift == "imagenet-a":
        wanted += [lines.at(shift, other, segments="single") for other in (name, ALWAYS, *study.beside)]
    beside = [each for line in wanted if line is not None and (each := arm_result(line, arm, result)) is not None]
    narrow = [each for each in ([on_main] if on_main else []) + beside if each.effective.extrapolated]
    for each in narrow:
        wider = WIDER.get(each.effective.fit.baseline.name)
        for own in (False, True) if wider is not None else ():
            line = lines.at(shift, wider, axis=each.effective.fit.axis, own=own)
            if line is not None and (other := arm_result(line, arm, result)) is not None:
                beside.append(other)
    if on_main is None and not beside:
        return None
    first = on_main or beside.pop(0)
    shown, seen = [], {_identity(first.effective.fit)}
    for each in beside:
        if _identity(each.effective.fit) not in seen:
            seen.add(_identity(each.effective.fit))
            shown.append(each.as_json())
    return {**first.as_json(), "beside": shown}


def _identity(line: RobustnessFit) -> tuple[str, str, int, tuple[float, ...]]:
    same = line.shift in ("imagenet-v2", "imagenet-sketch")  # these have all classes: the two axes are one
    return line.baseline.name, "" if same else line.axis, len(line.segments), tuple(s.slope for s in line.segments)


def results_of(study: Study, folder: Path, given: Sequence[ModelResult] = ()) -> dict[str, tuple[ModelResult, ...]]:
    """Arm name -> its models with their counts; given: accuracies for the arms whose source is `given`.

    Raises UsageProblem for a model nobody has, with the arm's line.
    """
    measured = any(arm.source in RECORDED for arm in study.arms)
    records = [stored for stored in read_records(folder) if not stored.record.partial] if measured else []
    by_arm = {}
    for arm in study.arms:
        with arm.location.blame("source" if arm.source not in (*sources(), *RECORDED, "given") else "model", "models"):
            by_arm[arm.name] = tuple(
                _recorded(arm, model, records, folder)
                if arm.source in RECORDED
                else _given(arm, model, given)
                if arm.source == "given"
                else _published(arm, model)
                for model in arm.models
            )
    return by_arm


def _given(arm: Arm, model: str, given: Sequence[ModelResult]) -> ModelResult:
    result = next((each for each in given if each.model == model), None)
    if result is None:
        known = [each.model for each in given]
        hint = suggest(model, known) if known else "; name the file of accuracies by --add FILE.csv"
        raise UsageProblem(f"arm {arm.name!r} wants given accuracies of {model}, and there are none{hint}")
    return result


def _recorded(arm: Arm, model: str, records: Sequence[Stored], folder: Path) -> ModelResult:
    mine = [stored for stored in records if arm.head in (None, stored.record.asked.head, reading_of(stored))]
    result = recorded_result(model, mine, arm.source, "name one of these as the arm's `head`")
    if result is None:
        raise UsageProblem(
            f"arm {arm.name!r} wants complete records of {model}{f' with head {arm.head}' if arm.head else ''} below "
            f"{folder}, and there are none: run `effrob eval --model {quote(model)} --results {quote(str(folder))}`"
        )
    return result


def _published(arm: Arm, model: str) -> ModelResult:
    rows = published_results(arm.source)
    if model not in rows:
        raise UsageProblem(
            f"the published table {arm.source} of arm {arm.name!r} has no {model!r}{suggest(model, rows)}"
        )
    return rows[model]
