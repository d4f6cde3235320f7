"""Diagnosis of a line: is it one? Curvature, a break at the median, leave-one-out error per scale, influence.

Sources: F tests as in any regression text; Chow 1960 for the break; Cook 1977 for influence; RSS from least squares.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import fdtrc

from effrob.robustness.line import BaselineLine, sampling_variance
from effrob.robustness.scale import LINEAR, LOGIT, PROBIT, Scale

Floats = NDArray[np.float64]
BENT = 0.01
INFLUENTIAL = 0.5


@dataclass(frozen=True)
class Diagnosis:
    """curvature_p  F(1, N-3) of a quadratic term;  break_p  Chow's F(2, N-4) of two lines split at the median

    loo_error        scale -> mean absolute leave-one-out error in accuracy, a fraction
    cook_max         largest Cook's distance and whose it is
    slope_without_most_influential_family  the slope that moves farthest when one family is left out
    deming_slope     the slope with test-set noise on both axes allowed for; ordinary least squares is flatter
    """

    curvature_p: float
    break_p: float | None
    loo_error: dict[str, float]
    cook_max: float
    cook_model: str
    slope_without_most_influential_family: float
    most_influential_family: str
    deming_slope: float
    warnings: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        return {"diagnostics": {**asdict(self), "warnings": list(self.warnings)}}


def diagnose(line: BaselineLine) -> Diagnosis:
    """Every check of one line; `warnings` are sentences, empty for a line that is one."""
    curvature, chow = curvature_p(line.tx, line.ty), break_p(line.tx, line.ty)
    cook = cook_distance(line)
    worst = int(np.argmax(cook))
    family, slope = _most_influential_family(line)
    warnings = []
    if curvature < BENT:
        warnings.append(f"the points bend (quadratic term p = {curvature:.1e}): a single line is wrong here")
    if chow is not None and chow < BENT:
        warnings.append(f"the line breaks at the median (Chow p = {chow:.1e}): low and high models follow two lines")
    if line.flaws:
        warnings.append(f"this is no line to judge a model by: {'; '.join(line.flaws)}")
    if line.few_families:
        warnings.append(f"only {len(set(line.families))} families witness the line: its intervals are wide")
    if cook[worst] > INFLUENTIAL:
        warnings.append(f"{line.models[worst]} alone moves the line (Cook's distance {cook[worst]:.2f})")
    return Diagnosis(
        curvature_p=curvature,
        break_p=chow,
        loo_error={scale.name: loo_error(line, scale) for scale in (LOGIT, PROBIT, LINEAR)},
        cook_max=float(cook[worst]),
        cook_model=line.models[worst],
        slope_without_most_influential_family=slope,
        most_influential_family=family,
        deming_slope=deming_slope(line),
        warnings=tuple(warnings),
    )


def _rss(x: Floats, y: Floats, degree: int = 1) -> float:
    design = np.vander(x - x.mean(), degree + 1)
    coefficients, *_ = np.linalg.lstsq(design, y, rcond=None)
    gap = y - design @ coefficients
    return float(gap @ gap)


def curvature_p(x: Floats, y: Floats) -> float:
    """p of the quadratic term in y on x, both on the scale: F(1, N - 3)."""
    plain, bent, freedom = _rss(x, y), _rss(x, y, 2), len(x) - 3
    return _f_p(plain - bent, 1, bent, freedom)


def break_p(x: Floats, y: Floats) -> float | None:
    """Chow's test of one line against two, split at the median of x: F(2, N - 4); None where a half has under 3 points."""
    low = x <= np.median(x)
    if low.sum() < 3 or (~low).sum() < 3:
        return None
    apart = _rss(x[low], y[low]) + _rss(x[~low], y[~low])
    return _f_p(_rss(x, y) - apart, 2, apart, len(x) - 4)


def _f_p(gain: float, terms: int, rest: float, freedom: int) -> float:
    if freedom <= 0:
        return 1.0
    if rest <= 1e-24:
        return 1.0 if gain <= 1e-24 else 0.0
    return float(fdtrc(terms, freedom, max(gain, 0.0) / terms / (rest / freedom)))


def loo_error(line: BaselineLine, scale: Scale) -> float:
    """Mean absolute error in accuracy of each model predicted from the others, with the line fitted on `scale`."""
    x, y = scale.forward(line.x), scale.forward(line.y)
    dx = x - x.mean()
    hat = 1.0 / line.n + dx * dx / float(dx @ dx)
    slope = float(dx @ y) / float(dx @ dx)
    residual = y - y.mean() - slope * dx
    predicted = scale.inverse(y - residual / (1.0 - hat))
    return float(np.abs(line.y - predicted).mean())


def cook_distance(line: BaselineLine) -> Floats:
    """(N,) how far all predictions move when one model is left out, in residual variances over two parameters."""
    dx = line.tx - line.x_mean
    hat = 1.0 / line.n + dx * dx / line.sxx
    variance = line.residual_std**2
    if variance == 0.0:
        return np.zeros(line.n)
    return np.asarray(line.residuals**2 * hat / (2 * variance * (1 - hat) ** 2), dtype=np.float64)


def _most_influential_family(line: BaselineLine) -> tuple[str, float]:
    names = np.array(line.families)
    farthest = (line.families[0], line.slope)
    for family in dict.fromkeys(line.families):
        kept = names != family
        x, y = line.tx[kept], line.ty[kept]
        if len(x) < 3 or float(np.ptp(x)) == 0.0:
            continue
        dx = x - x.mean()
        slope = float(dx @ y) / float(dx @ dx)
        if abs(slope - line.slope) > abs(farthest[1] - line.slope):
            farthest = (family, slope)
    return farthest


def deming_slope(line: BaselineLine) -> float:
    """The errors-in-variables slope with the noise ratio that the two sets' sizes give (Deming 1943).

    Test-set noise alone sets the ratio; scatter of models counts as vertical, where it belongs.
    """
    noise_x = float(sampling_variance(line.scale, line.tx, line.n_x).mean())
    noise_y = float(sampling_variance(line.scale, line.ty, line.n_y).mean()) + line.scatter**2
    dx, dy = line.tx - line.x_mean, line.ty - line.ty.mean()
    sxx, syy, sxy = float(dx @ dx), float(dy @ dy), float(dx @ dy)
    if noise_x == 0.0 or sxy == 0.0:
        return line.slope
    ratio = noise_y / noise_x
    gap = syy - ratio * sxx
    return (gap + float(np.sqrt(gap * gap + 4 * ratio * sxy * sxy))) / (2 * sxy)
