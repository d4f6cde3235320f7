"""Selective prediction: what a model gets wrong where it may decline to answer.

Images are answered in the order of a score, surest first; risk is the share of wrong answers among those given, coverage the
share of images answered (El-Yaniv and Wiener 2010; Geifman and El-Yaniv 2017). Equal scores have no order: they are taken
together, which is the mean over all their orders.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from effrob.errors import UsageProblem
from effrob.results.accuracy import BOOTSTRAP_SEED

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
COVERAGES = (0.5, 0.8, 0.9)
DRAWS = 1000


@dataclass(frozen=True, eq=False)
class SelectivePrediction:
    """risk (n,) at coverages 1/n, 2/n, ..., 1; fractions.

    aurc         area under the risk-coverage curve: the mean of `risk`;  ci95 by the bootstrap over images
    excess_aurc  aurc minus that of the best order at this accuracy: what the score's order alone loses
    """

    risk: Floats
    aurc: float
    aurc_ci95: tuple[float, float]
    excess_aurc: float

    def risk_at(self, coverage: float) -> float:
        """Risk where the surest `coverage` of the images are answered."""
        return float(self.risk[max(1, math.ceil(coverage * len(self.risk) - 1e-9)) - 1])

    def as_json(self) -> dict[str, Any]:
        return {
            "aurc": self.aurc,
            "aurc_ci95": list(self.aurc_ci95),
            "excess_aurc": self.excess_aurc,
            "risk_at_coverage": {f"{coverage:g}": self.risk_at(coverage) for coverage in COVERAGES},
        }


def selective_prediction(score: NDArray[np.floating], correct: Bools, draws: int = DRAWS) -> SelectivePrediction:
    """Risk and coverage by (n,) scores, higher is surer. Raises UsageProblem where a score is missing."""
    score = np.asarray(score, dtype=np.float64)
    if score.shape != correct.shape or score.ndim != 1 or not len(score) or np.isnan(score).any():
        raise UsageProblem(
            "selective prediction wants a score an image, and some are missing: say --score margin, which every head has"
        )
    risk = risk_coverage(score, correct)
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    n = len(score)
    drawn = [_aurc(score[rows], correct[rows]) for rows in (rng.integers(n, size=n) for _ in range(draws))]
    low, high = np.percentile(drawn, [2.5, 97.5])
    aurc = float(risk.mean())
    best = float(risk_coverage(correct.astype(np.float64), correct).mean())
    return SelectivePrediction(risk, aurc, (float(low), float(high)), aurc - best)


def risk_coverage(score: NDArray[np.floating], correct: Bools) -> Floats:
    """(n,) risk of the k surest images, k = 1 ... n."""
    order = np.argsort(-score, kind="stable")
    ranked, wrong = score[order], (~correct[order]).astype(np.float64)
    last = np.flatnonzero(np.append(np.diff(ranked) != 0, True)) + 1  # images answered at the end of each tie
    errors = np.concatenate([[0.0], np.cumsum(wrong)[last - 1]])
    answered = np.arange(1, len(ranked) + 1)
    return np.asarray(np.interp(answered, np.concatenate([[0], last]), errors) / answered, dtype=np.float64)


def _aurc(score: NDArray[np.floating], correct: Bools) -> float:
    return float(risk_coverage(score, correct).mean())
