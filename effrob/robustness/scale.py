"""Scale: the monotone map an accuracy takes before a line is fitted to it, and back.

Accuracies 0 and 1 become -inf and +inf and stay so: nothing here clips. Whoever fits drops what is not finite and says so.
`linear` exists for diagnostics alone; a line on it can leave [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit, ndtr, ndtri

from effrob.errors import UsageProblem, suggest

Floats = NDArray[np.float64]
_SQRT_TWO_PI = float(np.sqrt(2 * np.pi))


@dataclass(frozen=True)
class Scale:
    """`forward` takes fractions in [0, 1] to the real line, `inverse` takes them back; both keep the shape.

    slope_at(t)  derivative of `inverse` at t, for turning a spread on the scale into one in accuracy.
    """

    name: str
    _forward: Callable[[Any], Any]
    _inverse: Callable[[Any], Any]
    _slope: Callable[[Any], Any]

    def forward(self, accuracy: ArrayLike) -> Floats:
        """Raises UsageProblem on NaN and on what lies outside [0, 1]."""
        p = np.asarray(accuracy, dtype=np.float64)
        if not ((p >= 0) & (p <= 1)).all():
            wrong = p[~((p >= 0) & (p <= 1))].flat[0]
            raise UsageProblem(f"an accuracy is a fraction in [0, 1]; got {wrong} (declare a percent table as percent)")
        return np.asarray(self._forward(p), dtype=np.float64)

    def inverse(self, value: ArrayLike) -> Floats:
        """Back to fractions; exact to 1e-12 after `forward`."""
        return np.asarray(self._inverse(np.asarray(value, dtype=np.float64)), dtype=np.float64)

    def slope_at(self, value: ArrayLike) -> Floats:
        return np.asarray(self._slope(np.asarray(value, dtype=np.float64)), dtype=np.float64)

    # The same three for one number, an order of magnitude cheaper: a board asks for tens of thousands.

    def to(self, accuracy: float) -> float:
        if not 0.0 <= accuracy <= 1.0:
            self.forward(accuracy)
        return float(self._forward(accuracy))

    def back(self, value: float) -> float:
        return float(self._inverse(value))

    def density(self, value: float) -> float:
        return float(self._slope(value))


def _logistic_density(t: Any) -> Any:
    return expit(t) * expit(-t)


def _normal_density(t: Any) -> Any:
    return np.exp(-t * t / 2) / _SQRT_TWO_PI


LOGIT = Scale("logit", logit, expit, _logistic_density)
PROBIT = Scale("probit", ndtri, ndtr, _normal_density)
LINEAR = Scale("linear", np.positive, np.positive, np.ones_like)

SCALES = {scale.name: scale for scale in (LOGIT, PROBIT)}


def scale(name: str | Scale) -> Scale:
    """`logit` or `probit`. Raises UsageProblem for another name."""
    if isinstance(name, Scale):
        return name
    if name not in SCALES:
        raise UsageProblem(f"no scale is named {name!r}{suggest(name, SCALES)}")
    return SCALES[name]
