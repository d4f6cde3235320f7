"""The multiverse of one model's effective robustness: every defensible choice of baseline, axis, scale and prompts.

A claim that holds under one choice and falls under another is a claim about the choice. Reports each analysis and the
share of them in which the verdict survives.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from effrob.errors import UsageProblem
from effrob.results.accuracy import Accuracy
from effrob.robustness.baseline import AXES, Baseline
from effrob.robustness.baseline import baseline as find_baseline
from effrob.robustness.effective import Effective, assess
from effrob.robustness.fit import fit
from effrob.robustness.scale import SCALES


@dataclass(frozen=True)
class Counts:
    """One model under one prompt set: on the shift, on its class-matched clean view, on the whole clean set."""

    shift: Accuracy
    clean: Accuracy | None
    clean_full: Accuracy | None


@dataclass(frozen=True, eq=False)
class Analysis:
    """One choice and what came of it."""

    baseline: str
    axis: str
    scale: str
    prompts: str
    effective: Effective


@dataclass(frozen=True, eq=False)
class Multiverse:
    """analyses in the order asked; skipped: sentences for the choices that could not be made"""

    shift: str
    analyses: tuple[Analysis, ...]
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
        found = [a.effective.effective_robustness for a in self.analyses]
        known = [value for value in found if value is not None]
        return min(known), max(known)

    def as_json(self) -> dict[str, Any]:
        return {
            "shift": self.shift,
            "span": list(self.span),
            "verdicts": self.verdicts,
            "analyses": [{"prompts": a.prompts, **a.effective.as_json()} for a in self.analyses],
            "skipped": list(self.skipped),
        }


def multiverse(
    shift: str,
    counts: Mapping[str, Counts],
    baselines: Sequence[str | Baseline] = ("testbed", "timm-in1k"),
    axes: Sequence[str] = AXES,
    scales: Sequence[str] = tuple(SCALES),
) -> Multiverse:
    """Assess a model under every combination. counts: prompt set (or `native`) -> counts.

    Raises UsageProblem where no combination can be made; the reasons are in the sentence.
    """
    made, skipped = [], []
    for name, axis, scale in product(baselines, axes, scales):
        chosen = find_baseline(name)
        try:
            line = fit(shift, chosen, axis, scale)
        except UsageProblem as problem:
            skipped.append(str(problem))
            continue
        for prompts, seen in counts.items():
            clean = seen.clean if axis == "clean" else seen.clean_full
            if clean is None:
                skipped.append(f"no {axis} clean accuracy is known with prompts {prompts}")
                continue
            made.append(Analysis(chosen.name, axis, scale, prompts, assess(line, clean, seen.shift)))
    reasons = tuple(dict.fromkeys(skipped))
    if not made:
        raise UsageProblem(f"no analysis of {shift} can be made: {'; '.join(reasons) or 'nothing was asked'}")
    return Multiverse(shift, tuple(made), reasons)
