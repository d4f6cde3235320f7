"""AccuracyDifference: two models' accuracies on one set where no line says what robustness would be.

The clean set has no line by its nature, a set of one's own has none before a baseline is built. What two models answered
on the same images can be told apart all the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from scipy.special import ndtri

from effrob.results.accuracy import Accuracy, PairedAccuracy, compare_correct
from effrob.results.answers import aligned, read_npz, same_images
from effrob.results.model_result import ModelResult, is_clean_set
from shifts import suite_of

PUBLISHED_CLEAN = "imagenet"  # the clean set of every published table


@dataclass(frozen=True)
class AccuracyDifference:
    """First minus second in accuracy on one set, fractions.

    paired  McNemar and the paired bootstrap, where both models' answers to the same images are kept; else None
    why     why there is no line, a sentence
    """

    shift: str
    first: Accuracy
    second: Accuracy
    paired: PairedAccuracy | None
    why: str

    @property
    def value(self) -> float:
        return self.first.value - self.second.value

    @property
    def ci95(self) -> tuple[float, float]:
        """The paired bootstrap's; without answers to the same images, as of two independent samples, which is conservative."""
        if self.paired is not None:
            return self.paired.ci95
        half = float(ndtri(0.975)) * math.hypot(self.first.sd, self.second.sd)
        return self.value - half, self.value + half

    def as_json(self) -> dict[str, Any]:
        """The keys of a comparison on a line that have a value without one, and `why` there is none."""
        paired = self.paired
        return {
            "shift": self.shift,
            "paired": paired is not None,
            "accuracy_difference": self.value,
            "accuracy_difference_ci95": list(self.ci95),
            "mcnemar_p": None if paired is None else paired.mcnemar_p,
            "only_first": None if paired is None else paired.only_first,
            "only_second": None if paired is None else paired.only_second,
            "effective_robustness_difference": None,
            "verdict": "cannot-tell",
            "why": self.why,
        }


def accuracy_on(result: ModelResult, name: str) -> Accuracy | None:
    """Counts of one set, the clean set of its suite among them; None where the model has none."""
    if name in result.accuracies or not is_clean_set(name):
        return result.accuracies.get(name)
    if name in result.records:
        counts = result.records[name].record.counts
        return counts.accuracy if counts.n else None
    others = [shift for shift in result.accuracies if suite_of(shift).clean == name]
    if not others and result.origin == "published":  # a row of the clean set alone
        return result.clean_full if name == PUBLISHED_CLEAN else None
    return result.full(others[0]) if others else None


def in_common(first: ModelResult, second: ModelResult) -> list[str]:
    """Every set, clean ones too, on which both have an accuracy; the first model's order."""
    clean = dict.fromkeys(suite_of(name).clean for name in (*first.accuracies, *first.records))
    if not clean and first.origin == "published":
        clean = {PUBLISHED_CLEAN: None}
    return [
        name
        for name in dict.fromkeys([*clean, *first.accuracies])
        if accuracy_on(first, name) is not None and accuracy_on(second, name) is not None
    ]


def accuracy_difference(name: str, first: ModelResult, second: ModelResult, why: str) -> AccuracyDifference | None:
    """Two models on one set, paired where both have an answer to each image; None where an accuracy is not known."""
    one, two = accuracy_on(first, name), accuracy_on(second, name)
    if one is None or two is None:
        return None
    return AccuracyDifference(name, one, two, _paired(name, first, second), why)


def _paired(name: str, first: ModelResult, second: ModelResult) -> PairedAccuracy | None:
    folders = first.folder(name), second.folder(name)
    if folders[0] is None or folders[1] is None:
        return None
    paths = [folder / "predictions.npz" for folder in folders if folder is not None]
    if not all(path.is_file() for path in paths):
        return None
    mine, theirs = (read_npz(path, ("id", "correct")) for path in paths)
    if not same_images(mine, theirs):
        return None
    return compare_correct(*aligned(mine, theirs))
