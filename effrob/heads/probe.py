"""The linear-probe head: logistic regression on a training set's features, its strength chosen on held-out training rows.

Strengths are walked in units that no model's feature scale enters: penalty / (rows x summed variance of the features).
The walk ends where held-out rows have stopped gaining. Knows no test set.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from effrob.heads.classifier import LinearClassifier, Training
from effrob.heads.linear import choose, judged
from effrob.heads.splits import FRACTION, split, train_facts, usable
from effrob.logistic.feature_blocks import FeatureBlocks
from effrob.logistic.regularization_path import Rules, fit_path, walk_path
from effrob.logistic.solution import ProbePoint
from model_zoo.encoder import Encoder
from shifts.labels import LabelSpace

SHARES = tuple(10.0 ** (-e / 2) for e in range(4, 19))  # 1e-2 to 1e-9 of rows x variance, strong to weak
PATIENCE = 3  # strengths without a better held-out accuracy or loss, after which weaker ones are not tried
RESIDENT = 2 << 30  # bytes of features that are held in memory; more are read from the cache in every pass


@dataclass(frozen=True)
class Probe:
    """strength, or share (penalty / (rows x summed variance)): fit this one alone and choose nothing."""

    strength: float | None = None
    share: float | None = None
    progress: bool = False
    seed: int = 0
    name: str = "linear-probe"

    def fit(self, encoder: Encoder | None, labels: LabelSpace, train: Training | None) -> LinearClassifier:
        """Raises UsageProblem for a training set that cannot teach (see `usable`), ValueError for features not finite."""
        train = usable(train, self.name)
        whole = features_of(train)
        facts: dict[str, Any] = {"train": train_facts(train)}
        unit = 1.0 / (len(whole) * (whole.spread or 1.0))
        if self.strength is not None or self.share is not None:
            chosen, start = self.strength or unit / (self.share or 1.0), None
            facts["share"] = unit / chosen
        else:
            sweep, points, facts["held_out"] = self._sweep(train, unit)
            best = choose(sweep)
            facts["sweep"] = sweep
            chosen, start = sweep[best]["C"], points[best]
        (point,) = fit_path(whole, train.targets, train.n_classes, [chosen], start=start, rules=self._rules)
        return point.readout({"probe": facts | point.report.facts()})

    @property
    def _rules(self) -> Rules:
        return Rules(progress=self.progress, seed=self.seed)

    def _sweep(self, train: Training, unit: float) -> tuple[list[dict[str, Any]], list[ProbePoint], dict[str, Any]]:
        """Every strength tried with its held-out accuracy and loss, its point, and how rows were held out."""
        parts = split(train.targets, FRACTION, self.seed)
        kept = features_of(train, parts.kept)
        asked = FeatureBlocks.unmeasured(train.array, train.rows[parts.held_out], device=train.device)
        sweep: list[dict[str, Any]] = []
        points = []
        strengths = [unit / share for share in SHARES]
        walk = walk_path(kept, train.targets[parts.kept], train.n_classes, strengths, rules=self._rules)
        for share, point in zip(SHARES, walk):
            told = judged(point, asked, train.targets[parts.held_out])
            sweep.append({"share": share, **point.report.facts(), **told})
            points.append(point)
            if _idle(sweep) >= PATIENCE:
                break
        return sweep, points, {"part": FRACTION, "rows": len(parts.held_out), "seed": self.seed}


def _idle(sweep: list[dict[str, Any]]) -> int:
    """Strengths since the held-out accuracy or loss was last better than ever before."""
    accuracy = max(range(len(sweep)), key=lambda i: (sweep[i]["held_out_accuracy"], -i))
    loss = min(range(len(sweep)), key=lambda i: (sweep[i]["held_out_loss"], i))
    return len(sweep) - 1 - max(accuracy, loss)


def features_of(train: Training, places: NDArray[np.int64] | None = None) -> FeatureBlocks:
    """The training rows, or those at `places`, as solvers read them: held in memory where they are few."""
    rows = train.rows if places is None else train.rows[places]
    small = len(rows) * train.array.shape[1] * 4 <= RESIDENT
    return FeatureBlocks.measure(train.array, rows, device=train.device, resident=small)
