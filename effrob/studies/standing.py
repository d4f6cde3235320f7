"""Standing: where each arm's models stand on each shift, on the study's line and on the lines shown beside it.

Published rows and the user's records take the same road. A model that is itself a member of the baseline is judged on a
line without it. Knows no contrast and no verdict.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from effrob.errors import UsageProblem, suggest
from effrob.robustness.baseline import MEANS, Baseline, default_baseline, from_published
from effrob.robustness.baseline import baseline as find_baseline
from effrob.robustness.compare import Subject
from effrob.robustness.effective import Effective, assess
from effrob.robustness.fit import RobustnessFit, fit
from effrob.robustness.judging import judge
from effrob.robustness.records import Record, from_records, read_records
from effrob.studies.study import Arm, Study
from model_zoo.published import PublishedAccuracy, largest_sizes, published, sources

WIDER = {"testbed": "testbed-wide"}
ALWAYS = "testbed"  # every arm's place on this line is given, where the line has the shift


@dataclass(frozen=True, eq=False)
class ArmResult:
    """A model on a shift: its counts beside one line. `effective` None where a count or the line is missing."""

    arm: Arm
    subject: Subject
    effective: Effective

    def as_json(self) -> dict[str, Any]:
        """An arm's cell: what it is, on which line, and the robustness fields."""
        clean, shift = self.effective.clean, self.effective.shift
        return {
            "arm": self.arm.name,
            "model": self.subject.model,
            "source": self.subject.harness,
            "protocol": self.subject.protocol,
            "shift": self.effective.fit.shift,
            "accuracy": None if shift is None else shift.value,
            "clean_accuracy": None if clean is None else clean.value,
            **self.effective.as_json(),
            "segments": len(self.effective.fit.segments),
        }


class Lines:
    """The lines a study stands on; one object a study, because a contrast needs its arms on one and the same fit."""

    def __init__(self, study: Study, subjects: Mapping[str, tuple[Subject, ...]], results: Path) -> None:
        self.study, self.results = study, results
        self.models = frozenset(subject.model for each in subjects.values() for subject in each)

    def name(self, shift: str) -> str:
        """The study's baseline on a shift, by name."""
        return self.study.baseline or default_baseline(shift)

    @functools.cache  # noqa: B019 -- lives as long as its study's run
    def baseline(self, name: str, own: bool = False) -> Baseline:
        """A baseline; with `own`, less the members that are arms."""
        whole = find_baseline(name, self.results)
        gone = self.members(name) if own else ()
        return whole.without(gone) if gone else whole

    def members(self, name: str) -> tuple[str, ...]:
        """The arms' models that are members of a baseline."""
        return tuple(model for model in find_baseline(name, self.results).models if model in self.models)

    def check(self) -> None:
        """Raises UsageProblem for a baseline nobody has, and for a shift on which no line of the study can be fitted."""
        study = self.study
        named = [("baseline", study.baseline), *(("beside", name) for name in study.beside)]
        for key, name in named:
            with study.place.blame(key):
                find_baseline(name or ALWAYS, self.results)
        for shift in study.shifts if study.arms else ():
            why = [self.lacks(shift, each) for each in (self.name(shift), *study.beside)]
            with study.place.blame("shifts", "baseline"):
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


def stand(line: RobustnessFit, arm: Arm, subject: Subject) -> ArmResult | None:
    """A model beside a line; None where it lacks an accuracy on the line's shift or axis.

    A published row stands on the line as published; a model measured here without its own pull, and with shared images.
    """
    point = subject.member.point(line.shift, line.axis)
    if point is None:
        return None
    if subject.harness != "measured":
        return ArmResult(arm, subject, assess(line, *point, model=subject.model))
    return ArmResult(arm, subject, judge(line, subject.model, *point, folder=subject.folders.get(line.shift)))


def cell(lines: Lines, arm: Arm, subject: Subject, shift: str) -> dict[str, Any] | None:
    """An arm's cell on a shift: on the study's line, and under `beside` on every other line it is worth reading on.

    Beside it stand: the line without the arms; `testbed`; the wider line where the clean accuracy lies outside the narrow one's
    range; the study's other baselines; the other axis; and ImageNet-A's single line. None where the model lacks the shift.
    """
    study, name = lines.study, lines.name(shift)
    main = lines.at(shift)
    on_main = None if main is None else stand(main, arm, subject)
    wanted: list[RobustnessFit | None] = [lines.at(shift, own=True), lines.at(shift, ALWAYS)]
    wanted += [lines.at(shift, other) for other in study.beside]
    if shift not in MEANS:
        wanted.append(lines.at(shift, axis="clean" if study.axis == "full" else "full"))
    if shift == "imagenet-a":
        wanted += [lines.at(shift, other, segments="single") for other in (name, ALWAYS, *study.beside)]
    beside = [found for line in wanted if line is not None and (found := stand(line, arm, subject)) is not None]
    narrow = [found for found in ([on_main] if on_main else []) + beside if found.effective.extrapolated]
    for found in narrow:
        wider = WIDER.get(found.effective.fit.baseline.name)
        for own in (False, True) if wider is not None else ():
            line = lines.at(shift, wider, axis=found.effective.fit.axis, own=own)
            if line is not None and (other := stand(line, arm, subject)) is not None:
                beside.append(other)
    if on_main is None and not beside:
        return None
    first = on_main or beside.pop(0)
    shown, seen = [], {_where(first.effective.fit)}
    for each in beside:
        if _where(each.effective.fit) not in seen:
            seen.add(_where(each.effective.fit))
            shown.append(each.as_json())
    return {**first.as_json(), "beside": shown}


def _where(line: RobustnessFit) -> tuple[str, str, int, tuple[float, ...]]:
    same = line.shift in ("imagenet-v2", "imagenet-sketch")  # the two axes are one
    return line.baseline.name, "" if same else line.axis, len(line.segments), tuple(s.slope for s in line.segments)


def subjects(study: Study, results: Path) -> dict[str, tuple[Subject, ...]]:
    """Arm name -> its models with their counts. Raises UsageProblem for a model nobody has, with the arm's line."""
    measured = any(arm.source == "measured" for arm in study.arms) and results.is_dir()
    records = [r for r in read_records(results) if not r.content.get("partial")] if measured else []
    found = {}
    for arm in study.arms:
        with arm.place.blame("source" if arm.source not in (*sources(), "measured") else "model", "models"):
            found[arm.name] = tuple(
                _measured(arm, model, records, results) if arm.source == "measured" else _published(arm, model)
                for model in arm.models
            )
    return found


def _measured(arm: Arm, model: str, records: Sequence[Record], results: Path) -> Subject:
    mine = [r for r in records if model in (r.asked("model"), r.content.get("model_asked"))]
    mine = [r for r in mine if arm.head in (None, r.asked("head"), _head(r))]
    if not mine:
        raise UsageProblem(
            f"arm {arm.name!r} wants complete records of {model}{f' with head {arm.head}' if arm.head else ''} below "
            f"{results}, and there are none: run `effrob eval --model {model} --results {results}`"
        )
    heads = sorted(set(map(_head, mine)))
    if len(heads) > 1:
        raise UsageProblem(
            f"{model} was evaluated with several heads ({', '.join(heads)}): name one of these as the arm's `head`"
        )
    made = from_records(model, mine, {}, answers=False)
    folders = {str(r.asked("shift")): r.folder for r in mine if r.folder is not None}
    return Subject(made.members[0].model, "measured", made.protocol, made.members[0], folders)


def _head(record: Record) -> str:
    """A record's head with its prompt set, where it has one: `zero-shot openai`."""
    return f"{record.asked('head')} {record.asked('prompts') or ''}".strip()


def _published(arm: Arm, model: str) -> Subject:
    rows = _rows(arm.source)
    if model not in rows:
        raise UsageProblem(
            f"the published table {arm.source} of arm {arm.name!r} has no {model!r}{suggest(model, rows)}"
        )
    row = rows[model]
    return Subject(model, f"published:{row.source}", row.protocol, from_published(model, [row], {}, "").members[0])


@functools.cache
def _rows(source: str) -> dict[str, PublishedAccuracy]:
    if source not in sources():
        raise UsageProblem(f"no published table is named {source!r}{suggest(source, [*sources(), 'measured'])}")
    return {row.model: row for row in largest_sizes(published(source))}
