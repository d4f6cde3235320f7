"""RobustnessFit: the line, or the two lines, of one shift under one baseline, axis and scale.

`fit` chooses the points, drops and lists what has no place on the scale, and splits ImageNet-A at its zero model:
that set was filtered against a ResNet-50, so accuracy bends there and a single line is wrong.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from effrob.errors import NoLine, UsageProblem, suggest
from effrob.results.model_result import AXES, MEANS
from effrob.robustness.baselines.baseline import Baseline, default_baseline
from effrob.robustness.baselines.catalogue import baseline as find_baseline
from effrob.robustness.line import FEWEST, BaselineLine
from effrob.robustness.scale import Scale
from effrob.robustness.scale import scale as find_scale
from shifts import suite_of


@dataclass(frozen=True, eq=False)
class RobustnessFit:
    """h(shift accuracy) = slope * h(clean accuracy) + intercept over a baseline's models.

    segments   one BaselineLine, or two where the baseline bends: `below` and `above` the clean accuracy `split`
    dropped    members at 0 or 1 on an axis, which have no place on the scale
    left_out   members taken out because they are judged by this very line; `baseline` stays the one named
    """

    shift: str
    axis: str
    scale: Scale
    baseline: Baseline
    segments: tuple[BaselineLine, ...]
    split: float | None
    dropped: tuple[str, ...]
    left_out: tuple[str, ...] = ()

    def carried_by(self, model: str) -> bool:
        """Whether this model is one of those the line, or one of its segments, was fitted through."""
        return any(model in line.models for line in self.segments)

    def without(self, models: Iterable[str]) -> RobustnessFit:
        """Fitted anew without these of its members, split where it was split; itself where none of them carries it.

        A model pulls the line it helps to make towards itself: by 1 to 12 % of its distance among the testbed's 85, by 8 to
        43 % among the pocket baseline's fourteen. Raises UsageProblem where fewer than five members are left.
        """
        gone = frozenset(model for model in models if self.carried_by(model))
        return _without(self, gone) if gone else self

    @property
    def line(self) -> BaselineLine:
        """The only line. Raises UsageProblem where there are two."""
        if len(self.segments) > 1:
            raise UsageProblem(
                f"{self.shift} has two lines under baseline {self.baseline.name}, split at a clean accuracy of "
                f"{self.split:.4f}: read .segments, or fit with segments='single'"
            )
        return self.segments[0]

    @property
    def slope(self) -> float:
        return self.line.slope

    @property
    def intercept(self) -> float:
        return self.line.intercept

    @property
    def r2(self) -> float:
        return self.line.r2

    @property
    def n(self) -> int:
        return self.line.n

    @property
    def residual_std(self) -> float:
        """On the scale, N - 2 degrees of freedom."""
        return self.line.residual_std

    @property
    def diagnostic(self) -> bool:
        """True for a shift its suite shows without ranking it (ImageNet-A): it never enters a rank or a mean."""
        return self.shift in suite_of(self.shift).diagnostic

    def segment_at(self, clean: float) -> BaselineLine:
        """The line that holds at this clean accuracy; at the split itself, the lower one."""
        return self.segments[0] if self.split is None or clean <= self.split else self.segments[1]

    def predicted(self, clean: float) -> float:
        """The accuracy under shift the line gives a model of this clean accuracy; both fractions."""
        line = self.segment_at(clean)
        return self.scale.back(line.at(self.scale.to(clean)))

    def effective_robustness(self, clean: float, shift: float) -> float:
        """Accuracy under shift minus what the line predicts, a fraction (Taori et al. 2020)."""
        self.scale.to(shift)
        return shift - self.predicted(clean)

    def residual(self, clean: float, shift: float) -> float:
        """The same departure on the fit's scale; infinite for a model at 0 or 1."""
        line = self.segment_at(clean)
        return self.scale.to(shift) - line.at(self.scale.to(clean))

    @functools.cached_property
    def clean_range(self) -> tuple[float, float]:
        """The least and the greatest clean accuracy of the baseline."""
        return min(s.x_min for s in self.segments), max(s.x_max for s in self.segments)

    def extrapolated(self, clean: float) -> bool:
        """True outside the clean accuracies of the baseline, below or above."""
        lowest, highest = self.clean_range
        return not lowest <= clean <= highest

    def as_json(self) -> list[dict[str, Any]]:
        """One strict-JSON object a line, as `effrob fit --json` prints."""
        return [
            {
                "shift": self.shift,
                "axis": self.axis,
                "baseline": self.baseline.name,
                "baseline_digest": self.baseline.digest,
                "scale": self.scale.name,
                "n": line.n,
                "slope": line.slope,
                "intercept": line.intercept,
                "r2": line.r2,
                "residual_std": line.residual_std,
                "predictive_std": line.predictive_std,
                "scatter": line.scatter,
                "slope_ci95": list(line.interval("slope")),
                "intercept_ci95": list(line.interval("intercept")),
                "slope_ci95_by_family": list(line.interval("slope", by="family")),
                "intercept_ci95_by_family": list(line.interval("intercept", by="family")),
                "families": len(set(line.families)),
                "x_min": line.x_min,
                "x_max": line.x_max,
                "dropped": list(self.dropped),
                "segment": line.segment,
                "split": self.split,
            }
            for line in self.segments
        ]


def fit(
    shift: str,
    baseline: str | Baseline | None = None,
    axis: str = "clean",
    scale: str | Scale = "logit",
    segments: str = "auto",
) -> RobustnessFit:
    """Fit the line of `shift` over a baseline (`testbed`, for the pocket suite `pocket`, when none is named).

    axis      `clean`: class-matched clean accuracy; `full`: all classes. A mean of shifts is always on the full axis.
    segments  `auto` splits ImageNet-A where the baseline holds its zero model, `single` never.
    Raises UsageProblem for an unknown name, a shift the baseline lacks, and fewer than five usable members.
    """
    if axis not in AXES:
        raise UsageProblem(f"no axis is named {axis!r}{suggest(axis, AXES)}")
    if segments not in ("auto", "single"):
        raise UsageProblem(f"segments are auto or single; got {segments!r}")
    chosen = find_baseline(default_baseline(shift) if baseline is None else baseline)
    return _fit(shift, chosen, "full" if shift in MEANS else axis, find_scale(scale), segments)


@functools.lru_cache(maxsize=512)
def _fit(shift: str, chosen: Baseline, axis: str, scale: Scale, segments: str) -> RobustnessFit:
    chosen.require(shift)
    points = [(member, *point) for member in chosen.members if (point := member.point(shift, axis)) is not None]
    usable = [p for p in points if 0 < p[1].value < 1 and 0 < p[2].value < 1]
    dropped = tuple(member.model for member, x, y in points if not (0 < x.value < 1 and 0 < y.value < 1))
    zeros = [x.value for _, x, y in points if y.value == 0 and 0 < x.value < 1]
    split = zeros[0] if segments == "auto" and shift == "imagenet-a" and len(zeros) == 1 else None
    if split is None:
        if len(usable) < FEWEST <= len(points):
            raise NoLine(
                f"a line needs at least {FEWEST} baseline models with both accuracies between 0 and 1; of the {len(points)} "
                f"of baseline {chosen.name}, {len(dropped)} stand at 0 or 1 on {shift} or its clean images, which has no "
                f"place on the {scale.name} scale ({', '.join(dropped[:3])}{' …' if len(dropped) > 3 else ''}): evaluate "
                "them on more images, or name another --baseline"
            )
        lines: tuple[BaselineLine, ...] = (_line(usable, scale, None),)
    else:
        lines = (
            _line([p for p in usable if p[1].value < split], scale, "below"),
            _line([p for p in usable if p[1].value > split], scale, "above"),
        )
    return RobustnessFit(shift, axis, scale, chosen, lines, split, dropped)


@functools.lru_cache(maxsize=2048)
def _without(whole: RobustnessFit, gone: frozenset[str]) -> RobustnessFit:
    lines = tuple(line.without(gone) if gone & set(line.models) else line for line in whole.segments)
    left_out = tuple(model for model in whole.baseline.models if model in gone or model in whole.left_out)
    return replace(whole, segments=lines, left_out=left_out)


def _line(points: list[Any], scale: Scale, segment: str | None) -> BaselineLine:
    def column(part: int, of: str) -> np.ndarray[Any, np.dtype[np.float64]]:
        return np.array([getattr(p[part], of) for p in points], dtype=np.float64)

    return BaselineLine(
        scale=scale,
        models=tuple(p[0].model for p in points),
        families=tuple(p[0].family for p in points),
        x=column(1, "value"),
        y=column(2, "value"),
        n_x=column(1, "n"),
        n_y=column(2, "n"),
        segment=segment,
    )
