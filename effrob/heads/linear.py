"""The linear probe as a scikit-learn classifier: multinomial logistic regression at one strength, or the best of several.

Objective C x Σ weight x loss + ½ ||W||², the intercept free. The best of several is chosen on held-out training rows and
fitted again on all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from effrob.heads.splits import FRACTION, split
from effrob.logistic.feature_blocks import FeatureBlocks
from effrob.logistic.regularization_path import DEFAULT_TOL, FitSettings, check_strengths, fit_path
from effrob.logistic.solution import ProbePoint
from effrob.logistic.threads import threads_for

Floats = NDArray[np.float64]
SMALL = (
    2e6  # N x K x D up to which a fit is made in float64 and to EXACT_TOL by default: two seconds a strength at most
)
EXACT_TOL = 1e-15  # relative gap: float64's rounding ends the fit


class LinearProbe(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Logistic regression on features (N, D), N x K never held.

    C            inverse strength of the penalty; not used where Cs is given
    Cs           strengths to choose among, on held-out rows; `path` fits them all
    held_out     part of every class that a choice holds out;  random_state  seeds that draw
    tol          relative gap to the optimum to stop at; None: 5e-7, and 1e-15 where N x K x D <= 2e6
    max_iter     evaluations at most, a strength: a safety that warns, not the rule
    sample weights multiply the loss. `device` as torch names it; `progress` shows a bar.

    Fitted: coef_ (K, D), or (1, D) for two classes; intercept_, classes_, n_iter_ (1,), C_, objective_, gap_, report_
    (how the solver ended), and where there was a choice sweep_ (a dict a strength).
    """

    def __init__(
        self,
        C: float = 1.0,
        *,
        Cs: Sequence[float] | None = None,
        held_out: float = FRACTION,
        tol: float | None = None,
        max_iter: int = 1000,
        device: str = "cpu",
        random_state: int = 0,
        progress: bool = False,
    ) -> None:
        self.C = C
        self.Cs = Cs
        self.held_out = held_out
        self.tol = tol
        self.max_iter = max_iter
        self.device = device
        self.random_state = random_state
        self.progress = progress

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit at C, or at the best of Cs. Raises ValueError for features that are not finite and for fewer than two classes."""
        rows, labels, weights = self._checked(X, y, sample_weight)
        if self.Cs is None:
            (point,) = self._points(rows, labels, weights, [self.C])
        else:
            point = self._best(rows, labels, weights, check_strengths(self.Cs))
        coef, intercept = point.coef, point.intercept
        if len(self.classes_) == 2:
            coef, intercept = coef[1:] - coef[:1], intercept[1:] - intercept[:1]
        self.coef_, self.intercept_ = coef, intercept
        self.report_ = point.report
        self.C_, self.objective_, self.gap_ = point.report.C, point.report.objective, point.report.gap
        self.n_iter_ = np.array([point.report.evaluations], dtype=np.int32)
        return self

    def path(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> list[tuple[Floats, Floats]]:
        """[(coef (K, D), intercept (K,)), ...] in the order of Cs; two classes give two opposite rows."""
        rows, labels, weights = self._checked(X, y, sample_weight)
        points = self._points(rows, labels, weights, [self.C] if self.Cs is None else list(self.Cs))
        return [(point.coef, point.intercept) for point in points]

    def decision_function(self, X: ArrayLike) -> Floats:
        """(N, K) scores, or (N,) for two classes."""
        check_is_fitted(self)
        rows = validate_data(self, X, reset=False, dtype=[np.float64, np.float32])
        scores: Floats = rows @ self.coef_.T + self.intercept_
        return scores[:, 0] if len(self.classes_) == 2 else scores

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """(N,) classes."""
        scores = self.decision_function(X)
        picked = (scores > 0).astype(np.int64) if scores.ndim == 1 else scores.argmax(axis=1)
        classes: NDArray[Any] = self.classes_[picked]
        return classes

    def predict_proba(self, X: ArrayLike) -> Floats:
        """(N, K) probabilities, columns in the order of classes_."""
        scores = self.decision_function(X)
        if scores.ndim == 1:
            scores = np.stack([-scores / 2, scores / 2], axis=1)
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        probabilities: Floats = scores / scores.sum(axis=1, keepdims=True)
        return probabilities

    def predict_log_proba(self, X: ArrayLike) -> Floats:
        """Their logarithms."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def _checked(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None
    ) -> tuple[NDArray[Any], NDArray[np.int64], Floats | None]:
        """Features, labels 0..K-1 and weights; rows of weight 0 are left out, as if they were not there."""
        rows, targets = validate_data(self, X, y, dtype=[np.float64, np.float32])
        if isinstance(X, np.memmap) and rows.dtype == X.dtype:
            rows = X  # validation hands back a plain view, and a memory map is to be streamed
        check_classification_targets(targets)
        weights = None
        if sample_weight is not None:
            weights = _check_sample_weight(sample_weight, rows, dtype=np.float64, ensure_non_negative=True)
            if not (weights > 0).all():
                rows, targets, weights = rows[weights > 0], targets[weights > 0], weights[weights > 0]
        self.classes_, labels = np.unique(targets, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"a probe needs rows of at least 2 classes, and there is {len(self.classes_)} class")
        return rows, labels.astype(np.int64), weights

    def _points(
        self,
        rows: NDArray[Any],
        labels: NDArray[np.int64],
        weights: Floats | None,
        strengths: Sequence[float],
        places: NDArray[np.int64] | None = None,
        start: ProbePoint | None = None,
    ) -> list[ProbePoint]:
        n_classes = len(self.classes_)
        small = len(labels) * n_classes * rows.shape[1] <= SMALL
        if places is not None:
            labels, weights = labels[places], None if weights is None else weights[places]
        tol = self.tol if self.tol is not None else EXACT_TOL if small else DEFAULT_TOL
        with threads_for(len(labels), rows.shape[1], n_classes):
            features = FeatureBlocks.measure(
                rows, places, weights, device=self.device, dtype=torch.float64 if small else torch.float32
            )
            return fit_path(
                features,
                labels,
                n_classes,
                strengths,
                weights=weights,
                start=start,
                settings=FitSettings(tol, self.max_iter, self.progress, self.random_state),
            )

    def _best(
        self, rows: NDArray[Any], labels: NDArray[np.int64], weights: Floats | None, strengths: list[float]
    ) -> ProbePoint:
        """The strength with the most held-out rows right (ties: the least held-out loss), fitted again on all rows."""
        parts = split(labels, self.held_out, self.random_state)
        points = self._points(rows, labels, weights, strengths, parts.kept)
        held_out = FeatureBlocks.unmeasured(rows, parts.held_out, device=self.device)
        w = None if weights is None else weights[parts.held_out]
        self.sweep_ = [
            {**point.report.facts(), **score_held_out(point, held_out, labels[parts.held_out], w)} for point in points
        ]
        best = best_strength(self.sweep_)
        (point,) = self._points(rows, labels, weights, [strengths[best]], start=points[best])
        return point


def score_held_out(
    point: ProbePoint, features: FeatureBlocks, labels: NDArray[np.int64], weights: Floats | None = None
) -> dict[str, float]:
    """Weighted accuracy and mean loss of a point on rows it did not see."""
    coef = torch.from_numpy(point.coef).to(features.device)
    intercept = torch.from_numpy(point.intercept).to(features.device)
    right = loss = 0.0
    for span in features.spans():
        y = torch.from_numpy(labels[span]).to(features.device)
        w = torch.ones(len(y), dtype=torch.float64) if weights is None else torch.from_numpy(weights[span])
        logits = features.raw(span).double() @ coef.T + intercept
        right += float((w.to(y.device) * (logits.argmax(1) == y)).sum())
        loss += float((w.to(y.device) * torch.nn.functional.cross_entropy(logits, y, reduction="none")).sum())
    total = float(len(labels) if weights is None else weights.sum())
    return {"held_out_accuracy": right / total, "held_out_loss": loss / total}


def best_strength(sweep: Sequence[dict[str, Any]]) -> int:
    """The place of the best strength: most accurate on held-out rows, then least loss, then strongest penalty."""
    return min(
        range(len(sweep)), key=lambda i: (-sweep[i]["held_out_accuracy"], sweep[i]["held_out_loss"], sweep[i]["C"])
    )
