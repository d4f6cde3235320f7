"""Calibration error: how far a model's confidence is from its accuracy, over all images.

Expected calibration error (Naeini et al. 2015; Guo et al. 2017): images are put into bins of like confidence, and the
distances between a bin's mean confidence and its accuracy are averaged, weighted by images. Bins of equal width are the
common definition; bins of equal mass (Nguyen and O'Connor 2015) hold the same number of images each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from effrob.errors import UsageProblem
from effrob.results.accuracy import BOOTSTRAP_SEED, Accuracy

Floats = NDArray[np.floating]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
BINS = 15
DRAWS = 1000


@dataclass(frozen=True)
class ConfidenceBin:
    """Images of like confidence: their number, mean confidence, accuracy and its exact 95 % interval."""

    n: int
    confidence: float
    accuracy: float
    accuracy_ci95: tuple[float, float]


@dataclass(frozen=True)
class Calibration:
    """Of n images; fractions.

    confidence   mean confidence; minus the accuracy it is the overconfidence
    ece          expected calibration error over bins of equal width;  ece_equal_mass  over bins of equal mass
    ece_if_calibrated  what `ece` would be on average if each image were right with the probability stated: the estimate is
                 biased upwards, and below this nothing is shown to be wrong
    bins         the bins of equal width that hold images, in the order of confidence
    """

    n: int
    accuracy: float
    confidence: float
    ece: float
    ece_ci95: tuple[float, float]
    ece_equal_mass: float
    ece_equal_mass_ci95: tuple[float, float]
    ece_if_calibrated: float
    bins: tuple[ConfidenceBin, ...]

    def as_json(self) -> dict[str, Any]:
        return {
            "n": self.n,
            "accuracy": self.accuracy,
            "confidence": self.confidence,
            "overconfidence": self.confidence - self.accuracy,
            "ece": self.ece,
            "ece_ci95": list(self.ece_ci95),
            "ece_equal_mass": self.ece_equal_mass,
            "ece_equal_mass_ci95": list(self.ece_equal_mass_ci95),
            "ece_if_calibrated": self.ece_if_calibrated,
            "bins": [{**vars(each), "accuracy_ci95": list(each.accuracy_ci95)} for each in self.bins],
        }


def calibration(confidence: Floats, correct: Bools, bins: int = BINS, draws: int = DRAWS) -> Calibration:
    """Measure (n,) confidences in [0, 1] against (n,) right or wrong.

    Intervals are of the bootstrap over images, with the bins of the sample. Raises UsageProblem where a confidence is missing.
    """
    stated = check_confidence(confidence, correct)
    if bins < 2:
        raise UsageProblem(f"a calibration error wants at least 2 bins, and {bins} were asked for")
    by_width, by_mass = width_bins(stated, bins), mass_bins(stated, bins)
    gap = stated - correct
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    drawn = np.empty((draws, 2))
    by_chance = np.empty(draws)
    for row in range(draws):
        weight = np.bincount(rng.integers(len(gap), size=len(gap)), minlength=len(gap))
        drawn[row] = _ece(weight * gap, by_width), _ece(weight * gap, by_mass)
        by_chance[row] = _ece(stated - (rng.random(len(stated)) < stated), by_width)
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    return Calibration(
        n=len(stated),
        accuracy=float(correct.mean()),
        confidence=float(stated.mean()),
        ece=_ece(gap, by_width),
        ece_ci95=(float(low[0]), float(high[0])),
        ece_equal_mass=_ece(gap, by_mass),
        ece_equal_mass_ci95=(float(low[1]), float(high[1])),
        ece_if_calibrated=float(by_chance.mean()),
        bins=tuple(_bin(stated[by_width == b], correct[by_width == b]) for b in np.unique(by_width)),
    )


def check_confidence(confidence: Floats, correct: Bools) -> NDArray[np.float64]:
    """(n,) float64. Raises UsageProblem for none, for another number than answers, for NaN, and outside [0, 1]."""
    stated = np.asarray(confidence, dtype=np.float64)
    if stated.shape != np.shape(correct) or stated.ndim != 1 or not len(stated):
        raise UsageProblem(
            f"a confidence an image was wanted, found {np.shape(confidence)} for {np.shape(correct)} answers"
        )
    if np.isnan(stated).any():
        raise UsageProblem(
            "these answers hold no confidence: the head has no softmax (ridge, knn), or the record was written before they "
            "were kept; evaluate again into another --results, with --head native, zero-shot or linear-probe"
        )
    if stated.min() < 0 or stated.max() > 1 + 1e-6:
        raise UsageProblem(f"a confidence lies in [0, 1], found {stated.min():g} to {stated.max():g}")
    return np.clip(stated, 0.0, 1.0)


def width_bins(confidence: Floats, bins: int) -> Ints:
    """(n,) bin of each image: bin b holds ((b) / bins, (b + 1) / bins], the first also 0."""
    edges = np.linspace(0.0, 1.0, bins + 1)
    return np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)


def mass_bins(confidence: Floats, bins: int) -> Ints:
    """(n,) bin of each image by rank, sizes equal but for one; equal confidences are taken in the order of the images."""
    order = np.argsort(confidence, kind="stable")
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order)) * min(bins, len(order)) // len(order)
    return place


def _ece(gap: Floats, bins: Ints) -> float:
    return float(np.abs(np.bincount(bins, weights=gap)).sum() / len(gap))


def _bin(confidence: Floats, correct: Bools) -> ConfidenceBin:
    right = Accuracy(int(correct.sum()), len(correct))
    return ConfidenceBin(len(correct), float(confidence.mean()), right.value, right.clopper_pearson())
