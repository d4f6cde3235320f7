"""Lines: the baseline lines a command judges models by, and the judging of one model by one of them.

A model measured here is judged without its own pull on the line and, where the baseline keeps per-image answers, with the
images both saw. A published row is judged by the line as published, so that its numbers are the literature's, and is flagged.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from effrob.errors import UsageProblem
from effrob.results.model_result import MEANS, ModelResult
from effrob.robustness.baselines.baseline import default_baseline
from effrob.robustness.baselines.catalogue import baseline
from effrob.robustness.effective import Effective, assess
from effrob.robustness.fit import RobustnessFit, fit
from effrob.robustness.per_image.pairing import pairing_from

BETA_OF = "published:testbed"  # the harness whose ObjectNet is 1.0-beta


@dataclass(frozen=True)
class LineOptions:
    """Which line a model is judged by: the options every command shares. None as baseline: the suite's default.

    families  GLOB=FAMILY of the members of the baseline `measured`; UsageProblem with another one, which has its own
    """

    baseline: str | None = None
    axis: str = "clean"
    scale: str = "logit"
    families: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.families and self.baseline != "measured":
            raise UsageProblem(
                "--family groups the models of --baseline measured; another baseline's are in it: "
                "`effrob baseline build --family` makes one"
            )

    def baseline_for(self, shift: str) -> str:
        """The baseline named, or the default of the shift's suite."""
        return self.baseline or default_baseline(shift)


class Lines:
    """The lines of one command, each fitted once. results: the folder whose records a `measured` baseline is made of."""

    def __init__(self, options: LineOptions, results: Path | None = None) -> None:
        self.options, self.results = options, results
        self._fits: dict[tuple[str, str], RobustnessFit | str] = {}

    def at(self, shift: str, axis: str | None = None) -> RobustnessFit | str:
        """The line of a shift, on the options' axis or another; or a sentence why there is none."""
        key = shift, axis or self.options.axis
        if key not in self._fits:
            try:
                chosen = baseline(self.options.baseline_for(shift), self.results, self.options.families)
                self._fits[key] = fit(shift, chosen, key[1], self.options.scale)
            except UsageProblem as problem:
                self._fits[key] = str(problem)
        return self._fits[key]


def line_without(line: RobustnessFit, models: Iterable[str]) -> RobustnessFit:
    """The line less these models; the whole line where fewer than five members would be left."""
    try:
        return line.without(models)
    except UsageProblem:
        return line


def judge(line: RobustnessFit, result: ModelResult) -> Effective | None:
    """A model beside a line; None where it lacks an accuracy on the line's shift or axis.

    Flagged are `in-baseline`, where the model is a member of the baseline (left out of the line, if it was measured here and
    enough members remain), `conservative-interval`, where no image is known to be shared, and what `context` says.
    """
    point = result.point(line.shift, line.axis)
    if point is None:
        return None
    if result.has_answers:
        line, folder = line_without(line, [result.model]), result.folder(line.shift)
        pairing = None if folder is None else pairing_from(line, folder)
        return assess(line, *point, pairing, result.model, context(line, result))
    own = line.baseline.harness == result.source
    return assess(line, *point, model=result.model if own else None, context=context(line, result))


def context(line: RobustnessFit, result: ModelResult) -> tuple[str, ...]:
    """Flags of where the numbers come from: `other-harness`, where the baseline's models were measured by another than the
    model; `beta-set`, where theirs is ObjectNet 1.0-beta and the model's is not; `disputed`, where other evidence contradicts
    the model's accuracy.
    """
    harness, shift = line.baseline.harness, line.shift
    other = harness.startswith("published:") and result.source != harness
    beta = other and harness == BETA_OF and "objectnet" in MEANS.get(shift, (shift,))
    told = {"other-harness": other, "beta-set": beta, "disputed": bool(result.disputed(shift))}
    return tuple(name for name, holds in told.items() if holds)
