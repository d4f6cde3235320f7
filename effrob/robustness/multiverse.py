"""The multiverse of one model's effective robustness: every defensible choice of baseline, axis, scale and prompts.

A claim that holds under one choice and falls under another is a claim about the choice. Reports each analysis and the
share of them in which the verdict survives.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from effrob.errors import UsageProblem
from effrob.results.model_result import AXES, ModelResult
from effrob.results.select import DEFAULT_RESULTS, every_reading
from effrob.robustness.baselines.baseline import Baseline, default_baseline, in_suite
from effrob.robustness.baselines.catalogue import baseline as find_baseline
from effrob.robustness.baselines.catalogue import baseline_names
from effrob.robustness.effective import Effective
from effrob.robustness.fit import fit
from effrob.robustness.lines import judge
from effrob.robustness.scale import SCALES


@dataclass(frozen=True, eq=False)
class AnalysisChoice:
    """One choice of baseline, axis, scale and prompts, and the effective robustness it gives."""

    baseline: str
    axis: str
    scale: str
    prompts: str
    effective: Effective


@dataclass(frozen=True, eq=False)
class Multiverse:
    """analyses in the order asked, each once; skipped: sentences for the choices that could not be made"""

    shift: str
    analyses: tuple[AnalysisChoice, ...]
    skipped: tuple[str, ...]

    @property
    def verdicts(self) -> dict[str, int]:
        return dict(Counter(str(a.effective.verdict) for a in self.analyses))

    def survives(self, verdict: str) -> float:
        """Share of the analyses with this verdict."""
        return self.verdicts.get(verdict, 0) / len(self.analyses)

    @property
    def span(self) -> tuple[float, float]:
        """Smallest and largest effective robustness, fractions."""
        every = [a.effective.effective_robustness for a in self.analyses]
        known = [value for value in every if value is not None]
        return min(known), max(known)

    @property
    def most_common(self) -> tuple[str, float]:
        """The verdict most analyses reach, and the share of them in which it survives."""
        verdict = max(self.verdicts, key=lambda name: self.verdicts[name])
        return verdict, self.survives(verdict)

    def as_json(self) -> dict[str, Any]:
        verdict, share = self.most_common
        return {
            "shift": self.shift,
            "span": list(self.span),
            "verdict": verdict,
            "survives": share,
            "verdicts": self.verdicts,
            "analyses": [{"prompts": a.prompts, **a.effective.as_json()} for a in self.analyses],
            "skipped": list(self.skipped),
        }


def multiverse(
    shift: str,
    readings: Mapping[str, ModelResult],
    baselines: Sequence[str | Baseline] = ("testbed", "timm-in1k"),
    axes: Sequence[str] = AXES,
    scales: Sequence[str] = tuple(SCALES),
    results: Path | None = None,
    families: Sequence[str] = (),
) -> Multiverse:
    """Assess a model under every combination. readings: prompt set (or head, or published table) -> the model so read.

    families  of the baseline `measured`: GLOB=FAMILY

    Raises UsageProblem where no combination can be made; the reasons are in the sentence.
    """
    made: list[AnalysisChoice] = []
    skipped: list[str] = []
    for name, axis, scale in product(baselines, axes, scales):
        chosen = find_baseline(name, results, families)
        try:
            line = fit(shift, chosen, axis, scale)
        except UsageProblem as problem:
            skipped.append(str(problem))
            continue
        for prompts, result in readings.items():
            effective = judge(line, result)
            if effective is None:
                what = "class-matched clean accuracy" if axis == "clean" else "accuracy on the whole clean set"
                skipped.append(f"no {what} is known of the reading {prompts}")
            elif not any(_same(effective, before) for before in made if before.prompts == prompts):
                made.append(AnalysisChoice(chosen.name, axis, scale, prompts, effective))
    reasons = tuple(dict.fromkeys(skipped))
    if not made:
        raise UsageProblem(f"no analysis of {shift} can be made: {'; '.join(reasons) or 'nothing was asked'}")
    return Multiverse(shift, tuple(made), reasons)


def multiverse_of(
    model: str,
    shifts: Sequence[str] = (),
    baselines: Sequence[str] = (),
    results: Path = DEFAULT_RESULTS,
    given: Sequence[ModelResult] = (),
    families: Sequence[str] = (),
) -> list[Multiverse]:
    """Every analysis of a model by name: all prompt sets and heads it was evaluated with, or its published rows.

    shifts     those named, else all of the suite that it and a baseline have
    baselines  those named, else every published and built one that has the shift
    """
    read = every_reading(model, results, given)
    known = list(dict.fromkeys(shift for result in read.values() for shift in result.accuracies))
    lacking = [shift for shift in shifts if shift not in known]
    if lacking or not known:
        others = f"known: {', '.join(known)}" if known else "one on the clean set alone is known"
        raise UsageProblem(f"{model} has no accuracy on {', '.join(lacking) or 'any shift'}; {others}")
    names = [name for name in baseline_names() if name != "measured"]
    made = []
    for shift in shifts or filter(in_suite, known):
        chosen = list(baselines) or [name for name in names if shift in find_baseline(name).shifts]
        here = {prompts: result for prompts, result in read.items() if shift in result.accuracies}
        if chosen or shifts:
            made.append(
                multiverse(shift, here, chosen or [default_baseline(shift)], results=results, families=families)
            )
    if not made:
        raise UsageProblem(f"{model} has accuracies on {', '.join(known)}, and no baseline has a line for one of them")
    return made


def _same(effective: Effective, before: AnalysisChoice) -> bool:
    """Whether this is an analysis already made: on ImageNetV2 and -Sketch both axes are one, and count once."""
    one, other = effective.fit, before.effective.fit
    return (
        one.baseline is other.baseline
        and one.scale is other.scale
        and effective.clean == before.effective.clean
        and [(line.slope, line.intercept) for line in one.segments]
        == [(line.slope, line.intercept) for line in other.segments]
    )
