"""The linear-probe head: logistic regression on a training set's features, its strength chosen on held-out training rows.

Strengths are stated as relative penalties, penalty / (rows x summed variance of the features), which do not depend on a
model's feature scale. They are tried from strong to weak penalty until held-out rows stop gaining.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from effrob.heads.classifier import LinearClassifier, Training
from effrob.heads.forecast import WORTH_SAYING, forecast
from effrob.heads.linear import best_strength, score_held_out
from effrob.heads.splits import FRACTION, check_training, split, train_facts
from effrob.logistic.feature_blocks import FeatureBlocks
from effrob.logistic.regularization_path import FitSettings, RegularizationPath, fit_path
from effrob.logistic.solution import ProbePoint
from effrob.logistic.threads import threads_for
from model_zoo.encoder import Encoder
from shifts.labels import LabelSpace

RELATIVE_PENALTIES = tuple(10.0 ** (-e / 2) for e in range(4, 19))  # 1e-2 to 1e-9, strong to weak
PATIENCE = 3  # strengths without a better held-out accuracy or loss, after which weaker ones are not tried
MAX_RESIDENT = 2 << 30  # bytes of features that are held in memory; more are read from the cache in every pass


@dataclass(frozen=True)
class Probe:
    """strength C, or share, a relative penalty: fit this one alone and choose nothing."""

    strength: float | None = None
    share: float | None = None
    progress: bool = False
    seed: int = 0
    name: str = "linear-probe"

    def fit(self, encoder: Encoder | None, labels: LabelSpace, train: Training | None) -> LinearClassifier:
        """Raises UsageProblem for a training set that cannot teach (see `check_training`), ValueError for NaN or infinity."""
        train = check_training(train, self.name)
        with threads_for(len(train.rows), train.array.shape[1], train.n_classes):
            return self._fitted(train)

    def _fitted(self, train: Training) -> LinearClassifier:
        whole = features_of(train)
        facts: dict[str, Any] = {"train": train_facts(train)}
        unit = 1.0 / (len(whole) * (whole.spread or 1.0))
        alone = self.strengths == 1
        cost = forecast(whole, train.targets, train.n_classes, self.strengths)
        if cost.seconds >= WORTH_SAYING:
            print(f"{self.name} of {train.model}: {cost}", file=sys.stderr, flush=True)
        if alone:
            chosen, start = self.strength or unit / (self.share or 1.0), None
            facts["share"] = unit / chosen
        else:
            sweep, points, facts["held_out"] = self._sweep(train, unit)
            best = best_strength(sweep)
            facts["sweep"] = sweep
            chosen, start = sweep[best]["C"], points[best]
        (point,) = fit_path(whole, train.targets, train.n_classes, [chosen], start=start, settings=self._settings)
        facts = {"probe": facts | point.report.facts()}
        return LinearClassifier.from_coefficients(point.coef, point.intercept, facts)

    @property
    def strengths(self) -> int:
        """How many are fitted at most before the chosen one."""
        return len(RELATIVE_PENALTIES) if self.strength is None and self.share is None else 1

    @property
    def _settings(self) -> FitSettings:
        return FitSettings(progress=self.progress, seed=self.seed)

    def _sweep(self, train: Training, unit: float) -> tuple[list[dict[str, Any]], list[ProbePoint], dict[str, Any]]:
        """Every strength tried with its held-out accuracy and loss, its point, and how rows were held out."""
        parts = split(train.targets, FRACTION, self.seed)
        kept = features_of(train, parts.kept)
        held_out = FeatureBlocks.unmeasured(train.array, train.rows[parts.held_out], device=train.device)
        sweep: list[dict[str, Any]] = []
        points = []
        strengths = [unit / share for share in RELATIVE_PENALTIES]
        path = RegularizationPath(kept, train.targets[parts.kept], train.n_classes, settings=self._settings)
        for share, point in zip(RELATIVE_PENALTIES, path.points(strengths)):
            score = score_held_out(point, held_out, train.targets[parts.held_out])
            sweep.append({"share": share, **point.report.facts(), **score})
            points.append(point)
            if _since_best(sweep) >= PATIENCE:
                break
        return sweep, points, {"part": FRACTION, "rows": len(parts.held_out), "seed": self.seed}


def _since_best(sweep: list[dict[str, Any]]) -> int:
    """Strengths since the held-out accuracy or loss was last better than ever before."""
    accuracy = max(range(len(sweep)), key=lambda i: (sweep[i]["held_out_accuracy"], -i))
    loss = min(range(len(sweep)), key=lambda i: (sweep[i]["held_out_loss"], i))
    return len(sweep) - 1 - max(accuracy, loss)


def features_of(train: Training, places: NDArray[np.int64] | None = None) -> FeatureBlocks:
    """The training rows, or those at `places`, as solvers read them: held in memory where they are few."""
    rows = train.rows if places is None else train.rows[places]
    small = fits(len(rows), train.array.shape[1])
    return FeatureBlocks.measure(train.array, rows, device=train.device, resident=small)


def fits(rows: int, features: int) -> bool:
    """Whether so many are held in memory, and not read in every pass."""
    return rows * features * 4 <= MAX_RESIDENT
