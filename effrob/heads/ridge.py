"""The ridge head: least squares on one-hot classes with a penalty, in closed form; every strength from one decomposition.

The Gram matrices of the rows kept and held out are summed up once, in float64; memory is a few D x D and D x K.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from effrob.heads.classifier import LinearClassifier, Training
from effrob.heads.splits import FRACTION, check_training, split, train_facts
from effrob.logistic.feature_blocks import FeatureBlocks
from model_zoo.encoder import Encoder
from shifts.labels import LabelSpace

RELATIVE_PENALTIES = tuple(
    10.0 ** (-e / 2) for e in range(0, 15)
)  # penalty / (rows x mean variance of a feature): 1 to 1e-7


@dataclass(frozen=True)
class GramSums:
    """GramSums over N rows: their number, rows (D,), products (D, D); class counts (K,) and rows by class (D, K)."""

    n: int
    rows: torch.Tensor
    products: torch.Tensor
    counts: torch.Tensor
    by_class: torch.Tensor

    @classmethod
    def of(cls, features: FeatureBlocks, labels: NDArray[np.int64], n_classes: int, origin: torch.Tensor) -> GramSums:
        """Of rows measured from `origin` (D,), which is near their mean, so that nothing cancels."""
        d, device = features.dimension, features.device
        rows = torch.zeros(d, dtype=torch.float64, device=device)
        products = torch.zeros(d, d, dtype=torch.float64, device=device)
        counts = torch.zeros(n_classes, dtype=torch.float64, device=device)
        by_class = torch.zeros(d, n_classes, dtype=torch.float64, device=device)
        for span in features.spans():
            x = features.raw(span).double() - origin
            y = torch.from_numpy(labels[span]).to(device)
            rows += x.sum(0)
            products += x.T @ x
            counts += torch.bincount(y, minlength=n_classes)
            by_class.index_add_(1, y, x.T)
        return cls(len(features), rows, products, counts, by_class)

    def __add__(self, other: GramSums) -> GramSums:
        return GramSums(
            self.n + other.n,
            self.rows + other.rows,
            self.products + other.products,
            self.counts + other.counts,
            self.by_class + other.by_class,
        )


class Ridge:
    """Σ ||x W + b - y||² + penalty ||W||², y one-hot, solved for any penalty from one eigendecomposition."""

    def __init__(self, sums: GramSums, origin: torch.Tensor) -> None:
        mean, prior = sums.rows / sums.n, sums.counts / sums.n
        covariance = sums.products - sums.n * torch.outer(mean, mean)
        self._centre, self._prior = origin + mean, prior
        self._roots, self._basis = torch.linalg.eigh(covariance)
        self._turned = self._basis.T @ (sums.by_class - torch.outer(sums.rows, prior))
        self.size = float(covariance.trace()) / len(mean)

    def at(self, penalty: float) -> tuple[torch.Tensor, torch.Tensor]:
        """weight (K, D) and bias (K,), float64."""
        weight = (self._basis @ (self._turned / (self._roots.clamp_min(0) + penalty).unsqueeze(1))).T
        return weight, self._prior - weight @ self._centre


@dataclass(frozen=True)
class RidgeHead:
    """Chooses the penalty on held-out training rows, and fits it on all of them."""

    seed: int = 0
    name: str = "ridge"

    def fit(self, encoder: Encoder | None, labels: LabelSpace, train: Training | None) -> LinearClassifier:
        """Raises UsageProblem for a training set that cannot teach, ValueError for features that are not finite."""
        train = check_training(train, self.name)
        parts = split(train.targets, FRACTION, self.seed)
        whole = FeatureBlocks.measure(train.array, train.rows, device=train.device, resident=False)
        kept, held = (
            FeatureBlocks.unmeasured(train.array, train.rows[some], device=train.device)
            for some in (parts.kept, parts.held_out)
        )
        right = train.targets[parts.held_out]
        of_kept = GramSums.of(kept, train.targets[parts.kept], train.n_classes, whole.centre)
        of_all = of_kept + GramSums.of(held, right, train.n_classes, whole.centre)
        solver, final = Ridge(of_kept, whole.centre), Ridge(of_all, whole.centre)
        unit = solver.size if solver.size > 0 else 1.0
        sweep = []
        for share in RELATIVE_PENALTIES:
            accuracy, error = score_held_out(*solver.at(share * unit), held, right)
            sweep.append({"share": share, "held_out_accuracy": accuracy, "held_out_error": error})
        best = min(sweep, key=lambda one: (-one["held_out_accuracy"], one["held_out_error"]))
        penalty = best["share"] * (final.size if final.size > 0 else 1.0)
        weight, bias = (t.float().cpu() for t in final.at(penalty))
        facts = {
            "penalty": penalty,
            "share": best["share"],
            "sweep": sweep,
            "held_out": {"part": FRACTION, "rows": len(right), "seed": self.seed},
            "train": train_facts(train),
        }
        return LinearClassifier(
            weight, bias, torch.arange(len(bias)), normalise=False, facts={"ridge": facts}, logit_scale=None
        )


def score_held_out(
    weight: torch.Tensor, bias: torch.Tensor, features: FeatureBlocks, labels: NDArray[np.int64]
) -> tuple[float, float]:
    """Accuracy and mean squared error on rows that were held out."""
    right = error = 0.0
    for span in features.spans():
        y = torch.from_numpy(labels[span]).to(features.device)
        scores = features.raw(span).double() @ weight.T + bias
        right += float((scores.argmax(1) == y).sum())
        error += float((scores - torch.nn.functional.one_hot(y, scores.shape[1])).square().sum())
    return right / len(labels), error / len(labels)
