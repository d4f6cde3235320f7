"""Effective robustness against several in-distribution sets at once (Shi et al. 2023), with a guard against collinear ones.

Shi et al. take one in-distribution test set for each training source (ImageNet for networks taught there, a YFCC or LAION test
set for CLIP), so that no model is off the line merely because it learned elsewhere. The sets given here should span the
training sources in that sense; a shift beside ImageNet is a control, not such a set. h(shift) = w0 + sum of w_j h(clean_j),
least squares over baseline models. Two sets that rise and fall together cannot be told apart by any number of models: the
variance inflation says so before a weight is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from effrob.errors import UsageProblem
from effrob.robustness.baselines.baseline import Baseline
from effrob.robustness.baselines.catalogue import baseline as find_baseline
from effrob.robustness.scale import Scale
from effrob.robustness.scale import scale as find_scale

Floats = NDArray[np.float64]
COLLINEAR = 10.0
MODELS_A_WEIGHT = 10
FAR = 3.0  # times the mean leverage, the usual rule (Belsley, Kuh and Welsch 1980)


@dataclass(frozen=True, eq=False)
class MultiFit:
    """weights (J + 1,) intercept first;  vif (J,) variance inflation of each clean set, 1 for one set

    r2 on the scale; mae in accuracy, a fraction; stable  False where a variance inflation exceeds 10 and no ridge was used
    residual_std  on the scale, N - J - 1 degrees of freedom; spread  (J + 1, J + 1) inverse of the design's products
    """

    clean_sets: tuple[str, ...]
    scale: Scale
    weights: Floats
    r2: float
    mae: float
    vif: Floats
    n: int
    ridge: float
    residual_std: float
    spread: Floats

    @property
    def stable(self) -> bool:
        return self.ridge > 0 or float(self.vif.max()) <= COLLINEAR

    def leverage(self, clean: Sequence[float]) -> float:
        """How far a model's clean accuracies lie from the baseline's, in residual variances of the prediction's height."""
        at = np.concatenate([[1.0], self.scale.forward(list(clean))])
        return float(at @ self.spread @ at)

    def far(self, clean: Sequence[float]) -> bool:
        """Whether the leverage is over three times the members' mean, (J + 1) / N: the plane is then extrapolated."""
        return self.leverage(clean) > FAR * (len(self.clean_sets) + 1) / self.n

    def interval(self, clean: Sequence[float], shift: float, level: float = 0.95) -> tuple[float, float] | None:
        """Prediction interval of `effective_robustness`: the plane's uncertainty and the scatter of models; None with a ridge.

        Models count as independent, and test-set noise as part of their scatter.
        """
        if self.ridge > 0:
            return None
        height = float(self.weights[0] + self.weights[1:] @ self.scale.forward(list(clean)))
        t = -float(stdtrit(self.n - len(self.weights), (1 - level) / 2))
        reach = t * self.residual_std * float(np.sqrt(1.0 + self.leverage(clean)))
        return shift - self.scale.back(height + reach), shift - self.scale.back(height - reach)

    def effective_robustness(self, clean: Sequence[float], shift: float) -> float:
        """Accuracy minus prediction, from one clean accuracy a set, in their order."""
        if len(clean) != len(self.clean_sets):
            raise UsageProblem(f"one accuracy each on {', '.join(self.clean_sets)} was wanted; got {len(clean)}")
        height = float(self.weights[0] + self.weights[1:] @ self.scale.forward(list(clean)))
        return shift - self.scale.back(height)


def fit_multi(
    clean: Floats,
    shift: Floats,
    clean_sets: Sequence[str],
    scale: str | Scale = "logit",
    ridge: float = 0.0,
    allow_collinear: bool = False,
) -> MultiFit:
    """Least squares over N models. clean (N, J) and shift (N,) accuracies strictly inside (0, 1).

    ridge  penalty on the weights of standardised columns, for clean sets that are nearly one
    Raises UsageProblem for fewer than 10 models a weight, and for collinear sets unless `ridge` or `allow_collinear`.
    """
    n, j = clean.shape
    if n < MODELS_A_WEIGHT * (j + 1):
        raise UsageProblem(f"{j} clean sets want at least {MODELS_A_WEIGHT * (j + 1)} models; {n} have all accuracies")
    on = find_scale(scale)
    x, y = on.forward(clean), on.forward(shift)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise UsageProblem("a model at 0 or 1 has no place in a fit: leave it out")
    vif = variance_inflation(x)
    if not allow_collinear and ridge == 0 and vif.max() > COLLINEAR:
        raise UsageProblem(
            f"the clean sets {', '.join(clean_sets)} rise and fall together (variance inflation {vif.max():.0f}, at most "
            f"{COLLINEAR:.0f} can be read): give ridge, or use one of them"
        )
    centre, spread = x.mean(axis=0), x.std(axis=0)
    z = (x - centre) / spread
    gram = z.T @ z + ridge * n * np.eye(j)
    slopes = (
        np.linalg.solve(gram, z.T @ (y - y.mean())) / spread if ridge else np.linalg.lstsq(x - centre, y, rcond=None)[0]
    )
    weights = np.concatenate([[y.mean() - slopes @ centre], slopes])
    predicted = weights[0] + x @ slopes
    gap = y - predicted
    design = np.column_stack([np.ones(n), x])
    total = float(((y - y.mean()) ** 2).sum())
    return MultiFit(
        clean_sets=tuple(clean_sets),
        scale=on,
        weights=weights,
        r2=1.0 - float(gap @ gap) / total,
        mae=float(np.abs(shift - on.inverse(predicted)).mean()),
        vif=vif,
        n=n,
        ridge=ridge,
        residual_std=float(np.sqrt(gap @ gap / (n - j - 1))),
        spread=np.asarray(np.linalg.pinv(design.T @ design)),
    )


def variance_inflation(x: Floats) -> Floats:
    """(J,) 1 / (1 - R^2) of each column regressed on the others; infinite for a copy."""
    inflation = np.ones(x.shape[1])
    for column in range(x.shape[1] if x.shape[1] > 1 else 0):
        others = np.delete(x, column, axis=1)
        others, y = others - others.mean(axis=0), x[:, column] - x[:, column].mean()
        gap = y - others @ np.linalg.lstsq(others, y, rcond=None)[0]
        share = float(gap @ gap) / float(y @ y)
        inflation[column] = 1.0 / share if share > 1e-12 else np.inf
    return inflation


def multi_id(
    shift: str,
    clean_sets: Sequence[str],
    baseline: str | Baseline = "testbed",
    scale: str | Scale = "logit",
    ridge: float = 0.0,
    allow_collinear: bool = False,
) -> MultiFit:
    """Fit a baseline's `shift` on several of its sets; `imagenet` (or `full`) names the whole clean set."""
    chosen = find_baseline(baseline)
    for name in (shift, *(s for s in clean_sets if s not in ("imagenet", "full"))):
        chosen.require(name)
    rows = []
    for member in chosen.members:
        xs = [member.clean_full if s in ("imagenet", "full") else member.accuracies.get(s) for s in clean_sets]
        y = member.accuracies.get(shift)
        known = [a.value for a in (*xs, y) if a is not None and 0 < a.value < 1]
        if len(known) == len(clean_sets) + 1:
            rows.append(known)
    table = np.array(rows, dtype=np.float64).reshape(len(rows), len(clean_sets) + 1)
    return fit_multi(table[:, :-1], table[:, -1], clean_sets, scale, ridge, allow_collinear)
