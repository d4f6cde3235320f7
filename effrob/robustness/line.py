"""Line: ordinary least squares of shift accuracy on clean accuracy over baseline models, on a chosen scale.

Every model weighs the same. The bootstraps draw models (in table order, seeded, so that they can be repeated exactly)
or whole families.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from effrob.errors import NoLine
from effrob.robustness.components import Components, components
from effrob.robustness.scale import Scale

Floats = NDArray[np.float64]

SEED, DRAWS = 720257663, 1000
FEWEST = 5
FEW_FAMILIES = 6
LEAST_R2, LEAST_DISTINCT, MOST_LEVERAGE = 0.5, 3, 0.5  # beyond these a line is none


@dataclass(frozen=True, eq=False)
class BaselineLine:
    """h(shift) = slope * h(clean) + intercept over N baseline models.

    x, y       (N,) accuracies, fractions strictly between 0 and 1, in the baseline's order
    n_x, n_y   (N,) images behind them
    segment    `below` or `above` where the line is one of two, else None
    """

    scale: Scale
    models: tuple[str, ...]
    families: tuple[str, ...]
    x: Floats
    y: Floats
    n_x: Floats
    n_y: Floats
    segment: str | None = None

    def __post_init__(self) -> None:
        if len(self.models) < FEWEST:
            raise NoLine(
                f"a line needs at least {FEWEST} baseline models with both accuracies; "
                f"{len(self.models)} found ({', '.join(self.models) or 'none'}): add models with `effrob baseline build`"
            )
        if float(np.ptp(self.x)) == 0.0:
            raise NoLine(
                f"a line needs baseline models of different clean accuracy; all {len(self.models)} have {self.x[0]:.4f}"
            )

    @property
    def n(self) -> int:
        return len(self.models)

    @functools.cached_property
    def freedom(self) -> int:
        """Degrees of freedom of whatever the line's uncertainty enters: families are its independent witnesses, not models."""
        return max(1, min(len(self._family_rows) - 1, self.n - 2))

    def without(self, gone: frozenset[str]) -> BaselineLine:
        """The line fitted anew through the models that stay. Raises UsageProblem where fewer than five do."""
        stay = [i for i, model in enumerate(self.models) if model not in gone]
        models, families = (tuple(names[i] for i in stay) for names in (self.models, self.families))
        x, y, n_x, n_y = (values[stay] for values in (self.x, self.y, self.n_x, self.n_y))
        return BaselineLine(self.scale, models, families, x, y, n_x, n_y, self.segment)

    @functools.cached_property
    def tx(self) -> Floats:
        """(N,) clean accuracies on the scale."""
        return self.scale.forward(self.x)

    @functools.cached_property
    def ty(self) -> Floats:
        """(N,) shift accuracies on the scale."""
        return self.scale.forward(self.y)

    @functools.cached_property
    def _fit(self) -> tuple[float, float, float, float]:
        x_mean = float(self.tx.mean())
        dx = self.tx - x_mean
        sxx = float(dx @ dx)
        slope = float(dx @ (self.ty - self.ty.mean())) / sxx
        return slope, float(self.ty.mean()) - slope * x_mean, x_mean, sxx

    @property
    def slope(self) -> float:
        return self._fit[0]

    @property
    def intercept(self) -> float:
        return self._fit[1]

    @property
    def x_mean(self) -> float:
        """Mean clean accuracy on the scale."""
        return self._fit[2]

    @property
    def sxx(self) -> float:
        """Sum of squared deviations of the clean accuracies, on the scale."""
        return self._fit[3]

    @functools.cached_property
    def residuals(self) -> Floats:
        """(N,) heights above the line, on the scale."""
        return self.ty - self.slope * self.tx - self.intercept

    @functools.cached_property
    def residual_std(self) -> float:
        """Residual standard deviation on the scale, N - 2 degrees of freedom."""
        return math.sqrt(float(self.residuals @ self.residuals) / (self.n - 2))

    @functools.cached_property
    def r2(self) -> float:
        dy = self.ty - self.ty.mean()
        total = float(dy @ dy)
        return 1.0 - float(self.residuals @ self.residuals) / total if total > 0 else 0.0

    @functools.cached_property
    def x_min(self) -> float:
        return float(self.x.min())

    @functools.cached_property
    def x_max(self) -> float:
        return float(self.x.max())

    def at(self, tx: float) -> float:
        """The line's height, on the scale, at a clean accuracy on the scale."""
        return self.slope * tx + self.intercept

    def leverage(self, tx: float) -> float:
        """1/N + (X - mean)^2 / Sxx: variance of the line's height there, in residual variances."""
        return 1.0 / self.n + (tx - self.x_mean) ** 2 / self.sxx

    @functools.cached_property
    def noise(self) -> Floats:
        """(N,) residual variance that test-set sampling alone would give, images not shared between models."""
        return sampling_variance(self.scale, self.ty, self.n_y) + self.slope**2 * sampling_variance(
            self.scale, self.tx, self.n_x
        )

    @functools.cached_property
    def flaws(self) -> tuple[str, ...]:
        """Why this is no line to judge a model by, in words; empty where it is one."""
        leverage = 1.0 / self.n + (self.tx - self.x_mean) ** 2 / self.sxx
        worst = int(leverage.argmax())
        said = []
        if self.slope < 0:
            said.append(f"its slope is negative ({self.slope:.2f})")
        if self.r2 < LEAST_R2:
            said.append(f"R² is {self.r2:.2f}, under a half")
        if len(np.unique(self.x)) < LEAST_DISTINCT:
            said.append(
                f"its models have {len(np.unique(self.x))} distinct clean accuracies, fewer than {LEAST_DISTINCT}"
            )
        if leverage[worst] > MOST_LEVERAGE:
            said.append(f"{self.models[worst]} has a leverage of {leverage[worst]:.2f}, over a half")
        return tuple(said)

    @property
    def few_families(self) -> bool:
        """Whether fewer than six families witness the line: intervals are then wide, and lean on the model of components."""
        return len(self._family_rows) < FEW_FAMILIES

    @functools.cached_property
    def components(self) -> Components:
        """What families miss together and models alone, on the scale."""
        places = {family: i for i, family in enumerate(self._family_rows)}
        return components(self.tx, self.residuals, np.array([places[family] for family in self.families]))

    @property
    def predictive_std(self) -> float:
        """The scatter a model of an unseen family shows about the true line, on the scale, test-set noise included."""
        return math.sqrt(self.components.own + self.components.family)

    def predictive_freedom(self, tx: float) -> float:
        """Degrees of freedom of an unseen model's distance from the line at `tx`."""
        return self.components.freedom(tx)

    def predictive_freedoms(self, tx: Floats) -> Floats:
        """`predictive_freedom` at each of tx (n,)."""
        return self.components.freedoms(tx)

    @functools.cached_property
    def scatter(self) -> float:
        """Standard deviation between models on the scale: what `predictive_std` holds beyond test-set noise."""
        return math.sqrt(max(0.0, self.predictive_std**2 - self.noise_std**2))

    @functools.cached_property
    def noise_std(self) -> float:
        """Root of the mean of `noise`."""
        return math.sqrt(float(self.noise.mean()))

    @functools.cached_property
    def _family_rows(self) -> dict[str, NDArray[np.int64]]:
        names = np.array(self.families)
        return {family: np.flatnonzero(names == family) for family in dict.fromkeys(self.families)}

    @functools.cached_property
    def bootstrap(self) -> Floats:
        """(1000, 2) intercepts and slopes over resampled models, drawn in the baseline's order with the stated seed."""
        draws = np.random.RandomState(SEED).randint(0, self.n, size=(DRAWS, self.n))
        return _ols_many(self.tx[draws], self.ty[draws])

    @functools.cached_property
    def bootstrap_by_family(self) -> Floats:
        """(1000, 2) intercepts and slopes over resampled families, each with all its models."""
        groups = list(self._family_rows.values())
        drawn = np.random.RandomState(SEED).multinomial(len(groups), [1 / len(groups)] * len(groups), size=DRAWS)
        dx, dy = self.tx - self.x_mean, self.ty - self.ty.mean()
        sums = np.array([[len(g), dx[g].sum(), dy[g].sum(), dx[g] @ dx[g], dx[g] @ dy[g]] for g in groups])
        n, x, y, xx, xy = (drawn @ sums).T
        sxx = xx - x * x / n
        with np.errstate(invalid="ignore", divide="ignore"):
            slope = np.where(sxx > 1e-12, (xy - x * y / n) / sxx, np.nan)
        return np.column_stack([self.ty.mean() + y / n - slope * (self.x_mean + x / n), slope])

    def interval(self, coefficient: str, by: str = "model") -> tuple[float, float]:
        """95 % percentile interval of `slope` or `intercept`, over models or over families."""
        draws = (self.bootstrap if by == "model" else self.bootstrap_by_family)[:, int(coefficient == "slope")]
        draws = draws[np.isfinite(draws)]
        return (
            float(np.percentile(draws, 2.5, method="lower")),
            float(np.percentile(draws, 97.5, method="higher")),
        )

    @property
    def family_covariance(self) -> Floats:
        """(2, 2) covariance of intercept and slope, where the models of a family miss the line together."""
        return self.components.covariance

    @functools.cached_property
    def _covariance_entries(self) -> tuple[float, float, float]:
        """Variance of the intercept, covariance, variance of the slope."""
        (a, c), (_, b) = self.family_covariance.tolist()
        return a, c, b

    def spread_by_family(self, tx: float) -> float:
        """Standard deviation of the line's height at `tx`, families missing it together."""
        return self.combination_by_family(1.0, tx)

    def spreads_by_family(self, tx: Floats) -> Floats:
        """`spread_by_family` at each of tx (n,)."""
        a, c, b = self._covariance_entries
        return np.asarray(np.sqrt(np.maximum(a + 2 * tx * c + tx * tx * b, 0.0)), dtype=np.float64)

    def combination_by_family(self, intercept: float, slope: float) -> float:
        """Standard deviation of a weighted sum of intercept and slope, families missing the line together."""
        a, c, b = self._covariance_entries
        variance = intercept * intercept * a + 2 * intercept * slope * c + slope * slope * b
        return math.sqrt(max(variance, 0.0))


@functools.lru_cache(maxsize=4096)
def quantiles(tail: float, freedom: float) -> tuple[float, float]:
    """Of the normal and of Student's t distribution, both positive, at an upper tail."""
    return -float(ndtri(tail)), -float(stdtrit(freedom, tail))


def sampling_variance(scale: Scale, t: Floats, n: Floats) -> Floats:
    """Delta-method variance of an observed accuracy on the scale: p(1-p) / (n h'(t)^2)."""
    p = scale.inverse(t)
    return np.asarray(p * (1 - p) / (n * scale.slope_at(t) ** 2), dtype=np.float64)


def _ols(x: Floats, y: Floats) -> tuple[float, float, float, float]:
    x_mean = float(x.mean())
    dx = x - x_mean
    sxx = float(dx @ dx)
    slope = float(dx @ y) / sxx
    return slope, float(y.mean()) - slope * x_mean, x_mean, sxx


def _ols_many(x: Floats, y: Floats) -> Floats:
    """(D, 2) intercepts and slopes of D fits; NaN where a draw's clean accuracies are all alike."""
    x_mean, y_mean = x.mean(axis=1), y.mean(axis=1)
    dx = x - x_mean[:, None]
    sxx = (dx * dx).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        slope = np.where(sxx > 1e-12, (dx * (y - y_mean[:, None])).sum(axis=1) / sxx, np.nan)
    return np.column_stack([y_mean - slope * x_mean, slope])
