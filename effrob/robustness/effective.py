"""Effective: where one model stands against a line, with two intervals and a verdict.

ci95 holds the sampling of both accuracies and the line; pi95 adds the scatter of baseline models, and the verdict reads it.
Derived in docs/statistics.md.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

from effrob.results.accuracy import Accuracy
from effrob.results.model_result import MEANS
from effrob.robustness.baselines.catalogue import PUBLISHED, WIDER
from effrob.robustness.baselines.catalogue import baseline as find_baseline
from effrob.robustness.fit import RobustnessFit, fit
from effrob.robustness.line import BaselineLine, quantiles
from effrob.robustness.per_image.pairing import Pairing
from effrob.robustness.scale import LOGIT
from effrob.robustness.significance import Equivalence, margin_for, p_of_zero, reference_distance, two_one_sided

TOO_NOISY = 2.0  # times the baseline's spread: a test of more noise cannot say that a model is ordinary


@dataclass(frozen=True)
class Spread:
    """Standard deviations on the scale: of the two accuracies' sampling, of the line, between baseline models.

    line  by the textbook, models independent;  line_by_family  families missing the line together
    """

    sampling: float
    line: float
    line_by_family: float
    scatter: float


@dataclass(frozen=True, eq=False)
class Effective:
    """Effective robustness of one model on one shift. Fractions; None where a number does not exist.

    model  its name, where it may be one of the baseline's; `lines.judge` chooses the line such a model is compared with
    context  flags of where the two sides' numbers come from (`lines.context`), which counts do not tell
    """

    fit: RobustnessFit
    clean: Accuracy | None
    shift: Accuracy | None
    pairing: Pairing | None = None
    model: str | None = None
    context: tuple[str, ...] = ()

    @functools.cached_property
    def _line(self) -> BaselineLine | None:
        return None if self.clean is None or self.shift is None else self.fit.segment_at(self.clean.value)

    @functools.cached_property
    def place(self) -> tuple[BaselineLine, float, float] | None:
        """(line, clean accuracy on the scale, the line's height there), where both are finite."""
        if self._line is None or self.clean is None:
            return None
        tx = self.fit.scale.to(self.clean.value)
        return (self._line, tx, self._line.at(tx)) if math.isfinite(tx) else None

    @functools.cached_property
    def effective_robustness(self) -> float | None:
        """Accuracy under shift minus the line's prediction."""
        if self.clean is None or self.shift is None:
            return None
        return self.fit.effective_robustness(self.clean.value, self.shift.value)

    @functools.cached_property
    def effective_robustness_logit(self) -> float | None:
        """The same distance in logits, whatever the scale of the fit; None for a model at 0 or 1."""
        if self.clean is None or self.shift is None:
            return None
        gap = LOGIT.to(self.shift.value) - LOGIT.to(self.fit.predicted(self.clean.value))
        return gap if math.isfinite(gap) else None

    @functools.cached_property
    def spread(self) -> Spread | None:
        """What the intervals are made of; None where the model is at 0 or 1 on an axis."""
        if self.place is None or self.clean is None or self.shift is None or not 0 < self.shift.value < 1:
            return None
        line, tx, _ = self.place
        sampling = self.pairing.variance_scale if self.pairing else self._unpaired(line, tx)
        alone = line.residual_std * math.sqrt(line.leverage(tx))
        return Spread(math.sqrt(sampling), alone, line.spread_by_family(tx), line.scatter)

    def _unpaired(self, line: BaselineLine, tx: float) -> float:
        assert self.clean is not None and self.shift is not None
        scale, x, y = self.fit.scale, self.clean, self.shift
        ty = scale.to(y.value)
        return (y.sd / scale.density(ty)) ** 2 + (line.slope * x.sd / scale.density(tx)) ** 2

    def interval(self, level: float = 0.95, scatter: bool = False, by: str | None = None) -> tuple[float, float] | None:
        """Two-sided interval of `effective_robustness`; with `scatter`, the prediction interval.

        by  `model` takes the baseline's models as independent; None and `family` let families miss the line together
        The two sides' intervals are joined by the method of variance estimates recovery (Zou and Donner 2008), so that ends
        stay where accuracies can be; with per-image answers, by the delta method.
        """
        return self._ends((1 - level) / 2, scatter, by)

    def line_variance(self, line: BaselineLine, tx: float, scatter: bool, by: str | None = None) -> float:
        """Variance of the line's height at `tx`, on the scale; with `scatter`, of an unseen model about it.

        Test-set noise is left out where it is in the sampling part already.
        """
        own, noise = (0.0, line.noise_std**2) if self.pairing is None else (self.pairing.own_noise,) * 2
        leverage = line.leverage(tx)
        height = line.residual_std**2 * leverage if by == "model" else line.spread_by_family(tx) ** 2
        between = max(line.predictive_std**2 - noise, 0.0) if scatter else 0.0
        return max(height - own * leverage, 0.0) + between

    @functools.cached_property
    def model_variances(self) -> tuple[float, float, float]:
        """`line_variance` without and with scatter, families missing the line together; the latter's degrees of freedom."""
        assert self.place is not None
        line, tx, _ = self.place
        return self.line_variance(line, tx, False), self.line_variance(line, tx, True), line.predictive_freedom(tx)

    def _ends(self, tail: float, scatter: bool, by: str | None = None) -> tuple[float, float] | None:
        if self.place is None or self.clean is None or self.shift is None:
            return None
        line, tx, height = self.place
        z, t = quantiles(tail, line.n - 2 if by == "model" else line.freedom)
        alone, scattered, freedom = self.model_variances
        if by == "model":
            alone, scattered = (self.line_variance(line, tx, each, by) for each in (False, True))
        model = t * t * alone
        if scatter:  # never narrower than without
            _, t = quantiles(tail, freedom)
            model = max(model, t * t * scattered)
        scale, y = self.fit.scale, self.shift.value
        here = scale.back(height)
        er = y - here
        if self.pairing is not None:
            sampling = z * z * self.pairing.variance
            reach = math.sqrt(model)
            down = math.hypot(math.sqrt(sampling), scale.back(height + reach) - here)
            up = math.hypot(math.sqrt(sampling), here - scale.back(height - reach))
            return er - down, er + up
        x_low, x_high = (scale.to(v) for v in self.clean.wilson(z))
        ends = sorted((line.slope * (x_low - tx), line.slope * (x_high - tx)))
        low = scale.back(height - math.sqrt(ends[0] ** 2 + model))
        high = scale.back(height + math.sqrt(ends[1] ** 2 + model))
        y_low, y_high = self.shift.wilson(z)
        return er - math.hypot(y - y_low, high - here), er + math.hypot(y_high - y, here - low)

    @functools.cached_property
    def ci95(self) -> tuple[float, float] | None:
        return self._ends(0.025, scatter=False)

    @functools.cached_property
    def pi95(self) -> tuple[float, float] | None:
        return self._ends(0.025, scatter=True)

    @functools.cached_property
    def extrapolated(self) -> bool | None:
        """True where the clean accuracy lies outside the baseline's, below or above."""
        return None if self.clean is None else self.fit.extrapolated(self.clean.value)

    @functools.cached_property
    def wider(self) -> Effective | None:
        """Beside an extrapolated number, the same model on a published baseline that reaches so far; None where none does."""
        if not self.extrapolated or self.fit.baseline.harness not in {
            f"published:{table}" for table in PUBLISHED.values()
        }:
            return None
        assert self.clean is not None
        for name in WIDER:
            chosen = find_baseline(name)
            if name == self.fit.baseline.name or any(
                s not in chosen.shifts for s in MEANS.get(self.fit.shift, (self.fit.shift,))
            ):
                continue
            wider = fit(self.fit.shift, chosen, self.fit.axis, self.fit.scale)
            if not wider.extrapolated(self.clean.value):
                return Effective(wider, self.clean, self.shift)
        return None

    @functools.cached_property
    def too_noisy(self) -> bool:
        """True where the test is so small that its noise alone is twice the spread baseline models show."""
        if self.spread is None or self._line is None:
            return True
        known = max(self._line.predictive_std, self._line.noise_std)
        return self.spread.sampling > TOO_NOISY * known

    @functools.cached_property
    def why(self) -> str | None:
        """Why there is no verdict but `cannot-tell`; None where there is one, and without two accuracies."""
        if self.clean is None or self.shift is None or self._line is None:
            return None
        if self.extrapolated:
            return "extrapolated: the clean accuracy lies outside the baseline's"
        if self.pi95 is None or self.effective_robustness is None:
            return "an accuracy is 0 or 1, which has no place on the scale"
        if self._line.flaws:
            return f"no line: {'; '.join(self._line.flaws)}"
        if self.pi95[0] > 0 or self.pi95[1] < 0:
            return None
        reach = max(self.pi95[1] - self.effective_robustness, self.effective_robustness - self.pi95[0])
        reference = reference_distance(self.fit)
        if reference is not None and reach >= abs(reference):
            return f"too uncertain: ±{100 * reach:.0f} points"
        return "too few images: their noise alone is twice the baseline's spread" if self.too_noisy else None

    @functools.cached_property
    def verdict(self) -> str | None:
        """`above`, `on` or `below` the line by the prediction interval, or `cannot-tell`; None without two accuracies."""
        if self.clean is None or self.shift is None:
            return None
        if self.pi95 is None or self.why is not None:
            return "cannot-tell"
        return "above" if self.pi95[0] > 0 else "below" if self.pi95[1] < 0 else "on"

    @functools.cached_property
    def p_value(self) -> float | None:
        """Two-sided p of "this is a model like the baseline's": the level at which the prediction interval meets 0."""
        return None if self.place is None else p_of_zero(lambda tail: self._ends(tail, scatter=True))

    @functools.cached_property
    def noise_floor(self) -> float | None:
        """The smallest departure, as a fraction, that this test's sampling noise alone would let through at 95 %."""
        if self.place is None or self.spread is None:
            return None
        return 1.959964 * self.spread.sampling * self.fit.scale.density(self.place[2])

    def equivalence(self, margin: float | None = None) -> Equivalence:
        """Whether the model is on the line within the margin; without a margin, the fixed one."""
        return two_one_sided(self.interval, margin_for(self.fit) if margin is None else margin)

    @property
    def flags(self) -> list[str]:
        """What a reader must know beside the number, in fixed words."""
        if self.effective_robustness is None:
            return ["no-clean-accuracy" if self.clean is None else "no-shift-accuracy"]
        floor, line, left_out = self.noise_floor, self._line, self.fit.left_out
        holds = {
            "extrapolated": self.extrapolated,
            "at-0-or-1": self.place is None or self.spread is None,
            "too-few-images": self.too_noisy and self.spread is not None,
            "below-noise-floor": floor is not None and abs(self.effective_robustness) < floor,
            "no-line": line is not None and line.flaws,
            "few-families": line is not None and line.few_families,
            "diagnostic-only": self.fit.diagnostic,
            "in-baseline": self.model is not None and (self.model in left_out or self.fit.carried_by(self.model)),
            "conservative-interval": self.pairing is None,
        }
        return [*(flag for flag, held in holds.items() if held), *self.context]

    def as_json(self) -> dict[str, Any]:
        """The robustness fields of a row, strict JSON."""
        return {**self.fields, "wider": None if self.wider is None else self.wider.as_json()}

    @functools.cached_property
    def fields(self) -> dict[str, Any]:
        """The robustness fields on this line, without those of a `wider` one."""
        return {
            "effective_robustness": self.effective_robustness,
            "effective_robustness_logit": self.effective_robustness_logit,
            "effective_robustness_ci95": None if self.ci95 is None else list(self.ci95),
            "effective_robustness_pi95": None if self.pi95 is None else list(self.pi95),
            "verdict": self.verdict,
            "why": self.why,
            "extrapolated": self.extrapolated,
            "baseline": self.fit.baseline.name,
            "axis": self.fit.axis,
            "scale": self.fit.scale.name,
            "segment": None if self._line is None else self._line.segment,
            "flags": self.flags,
            "left_out": list(self.fit.left_out),
        }


def assess(
    line: RobustnessFit,
    clean: Accuracy | None,
    shift: Accuracy | None,
    pairing: Pairing | None = None,
    model: str | None = None,
    context: tuple[str, ...] = (),
) -> Effective:
    """Compare a model's counts with this very line.

    clean    on the fit's axis: class-matched for `clean`, all classes for `full`; None where it is not known
    pairing  where per-image answers of the model and of the baseline exist; without it the images count as not shared
    model    its name: `flags` then says where the line was fitted through it
    context  flags of where the two sides' numbers come from, which counts do not tell
    """
    return Effective(line, clean, shift, pairing, model, context)


def equivalence(effective: Effective, margin: float | None = None) -> Equivalence:
    """Whether the model is on the line within the margin; without a margin, the fixed one."""
    return effective.equivalence(margin)
