"""Answer: a contrast on one shift, in logits, with its margin and its verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from effrob.results.model_result import ModelResult
from effrob.robustness.fit import RobustnessFit
from effrob.robustness.significance import reference_residual, two_one_sided
from effrob.studies.arms import arm_result
from effrob.studies.estimate import ContrastEffect, Effect
from effrob.studies.study import Contrast, Study

ALPHA = 0.05
MOVES, EQUIVALENT, UNKNOWN = "moves it", "equivalent", "cannot tell"
LIFTS, LOWERS = "lifts it", "lowers it"  # `moves it` with its direction, as tables say it
POINTS_AT = 0.75  # clean accuracy at which logits are translated into points: inside every baseline's range
NOT_HELD = "other seeds, checkpoints and harnesses"  # what the interval of a pair of single models leaves out


@dataclass(frozen=True, eq=False)
class Answer:
    """A contrast on a shift. `wide` is the same on the wider baseline, where an arm lies outside the narrow one's range.

    margin  logits within which an effect is none;  reference  logit residual of the model the margin is a share of
    """

    contrast: Contrast
    shift: str
    line: RobustnessFit
    made: ContrastEffect
    margin: float | None
    reference: float | None
    wide: Answer | None = None
    p_adjusted: float | None = None

    @property
    def effect(self) -> Effect | None:
        return self.made.effect

    @property
    def size(self) -> float | None:
        """The difference of logit residuals."""
        return None if self.effect is None else self.effect.value

    @property
    def share(self) -> float | None:
        """The size as a share of the reference's effective robustness."""
        return None if self.size is None or not self.reference else self.size / self.reference

    @property
    def baseline(self) -> str:
        return self.line.baseline.name

    @property
    def axis(self) -> str:
        return self.line.axis

    @property
    def extrapolated(self) -> bool:
        return self.made.extrapolated

    @property
    def beyond_margin(self) -> bool:
        """Whether the whole interval lies outside the margin, on one side."""
        if self.effect is None or self.margin is None:
            return False
        low, high = self.effect.interval()
        return low > self.margin or high < -self.margin

    @property
    def why(self) -> str | None:
        """Why there is no verdict; None where there is one."""
        if self.contrast.confounded:
            return f"also differs: {self.contrast.confounded}"
        if self.effect is None:
            return "no arm to compare with" if self.made.missing else "too few arms to compare"
        if self.extrapolated and self._on_wide is None:
            return "an arm lies outside the line's range, and no wider line says the same"
        flaws = [flaw for segment in self.line.segments for flaw in segment.flaws]
        if flaws:
            return f"no line: {'; '.join(dict.fromkeys(flaws))}"
        if self.alone != UNKNOWN:
            return None
        p = self.effect.p_value if self.p_adjusted is None else self.p_adjusted
        if p < ALPHA:
            return "no larger than what ordinary models differ by"
        return "the interval holds both none and more than the margin"

    @property
    def alone(self) -> str:
        """The verdict on this baseline by itself, whatever else differs between the arms."""
        if self.effect is None:
            return UNKNOWN
        if two_one_sided(self.effect.interval, self.margin).equivalent:
            return EQUIVALENT
        p = self.effect.p_value if self.p_adjusted is None else self.p_adjusted
        return MOVES if self.effect.in_kind and p < ALPHA else UNKNOWN

    @property
    def _on_wide(self) -> str | None:
        """The verdict, where the wider baseline says it too; None where it does not."""
        if self.wide is None or self.wide.extrapolated or self.wide.alone != self.alone:
            return None
        same = (self.size or 0) * (self.wide.size or 0) > 0
        return self.alone if same or self.alone == EQUIVALENT else None

    @property
    def verdict(self) -> str:
        """Nothing named may differ between the arms but the factor; outside a baseline's range the wider one must agree."""
        return UNKNOWN if self.why is not None else self.alone

    def points(self, logits: float) -> float:
        """A difference of logits as one of accuracy, a fraction, for a model on the line at clean accuracy POINTS_AT."""
        here = self.line.predicted(POINTS_AT)
        return self.line.scale.back(self.line.scale.to(here) + logits) - here

    def as_json(self) -> dict[str, Any]:
        effect = self.effect
        ends = None if effect is None else effect.interval()
        tost = None if effect is None else two_one_sided(effect.interval, self.margin)
        single = effect is not None and effect.models_sd > 0
        return {
            "contrast": self.contrast.name,
            "kind": self.contrast.kind,
            "of": list(self.contrast.of),
            "shift": self.shift,
            "baseline": self.baseline,
            "axis": self.axis,
            "unit": "logit",
            "value": self.size,
            "ci95": None if ends is None else list(ends),
            "pi95": None if effect is None else list(effect.interval(with_models=True)),
            "not_in_interval": NOT_HELD if single else None,
            "spread": None if effect is None or effect.spread is None else list(effect.spread),
            "value_points": None if self.size is None else self.points(self.size),
            "ci95_points": None if ends is None else [self.points(end) for end in ends],
            "points_at": POINTS_AT,
            "p_value": None if effect is None else effect.p_value,
            "p_adjusted": self.p_adjusted,
            "share_of_reference": self.share,
            "margin": self.margin,
            "smallest_margin": None if tost is None else tost.smallest_margin,
            "paired": self.made.paired,
            "spread_over": self.made.spread_over,
            "models": [member.result.model for member in self.made.members],
            "missing": list(self.made.missing),
            "extrapolated": self.extrapolated,
            "verdict": self.verdict,
            "why": self.why,
            "confounded": self.contrast.confounded,
            "wide": None if self.wide is None else self.wide.as_json(),
        }


def margin_of(
    study: Study, line: RobustnessFit, results: dict[str, tuple[ModelResult, ...]]
) -> tuple[float | None, float | None]:
    """(margin, reference) in logits on a line; a margin given in points is translated at POINTS_AT."""
    reference = _reference(study, line, results)
    if study.margin_points is not None:
        here = line.predicted(POINTS_AT)
        return line.scale.to(min(here + study.margin_points, 1 - 1e-9)) - line.scale.to(here), reference
    return None if reference is None else study.margin_share * reference, reference


def _reference(study: Study, line: RobustnessFit, results: dict[str, tuple[ModelResult, ...]]) -> float | None:
    """The mean logit residual of the study's own arm, or that of the suite's reference model; a magnitude."""
    if study.margin_arm is None:
        residual = reference_residual(line)
        return None if residual is None else abs(residual)
    arm = study.arm(study.margin_arm)
    members = [member for result in results[arm.name] if (member := arm_result(line, arm, result)) is not None]
    values = [v for member in members if (v := member.effective.effective_robustness_logit) is not None]
    return abs(sum(values) / len(values)) if values else None
