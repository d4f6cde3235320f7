"""Accuracy and effective robustness class by class, shrunk where images are few; and what the gain of one model over another
is made of. Reads records alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from effrob.analysis.class_names import ClassNames, class_names
from effrob.errors import UsageProblem
from effrob.results.accuracy import Accuracy, compare_correct, mcnemar
from effrob.results.predictions import Predictions
from effrob.results.store import Stored
from effrob.robustness.fit import RobustnessFit
from effrob.robustness.per_image.pairing import answers_of
from effrob.robustness.per_image.per_class import per_class, prior_strength, shrink
from effrob.robustness.significance import adjust

Bools = NDArray[np.bool_]
ALPHA = 0.05


@dataclass(frozen=True, eq=False)
class ClassAccuracy:
    """A model's accuracy in one class; fractions.

    shrunk      drawn towards the model's mean by as much as the classes' own spread warrants (beta-binomial)
    effective_robustness  None where the baseline keeps no answers an image
    """

    index: int
    name: str
    n: int
    accuracy: float
    accuracy_ci95: tuple[float, float]
    shrunk: float
    clean_accuracy: float | None
    effective_robustness: float | None

    def as_json(self) -> dict[str, Any]:
        return {**vars(self), "accuracy_ci95": list(self.accuracy_ci95)}


@dataclass(frozen=True, eq=False)
class ClassReport:
    """classes in the order of the label space; top_share: the share of effective robustness that a tenth of them carry."""

    model: str
    shift: str
    accuracy: float
    classes: tuple[ClassAccuracy, ...]
    effective_robustness: float | None
    top_share: float | None
    names: ClassNames
    note: str | None

    def as_json(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "shift": self.shift,
            "accuracy": self.accuracy,
            "effective_robustness": self.effective_robustness,
            "top_share": self.top_share,
            "classes": [each.as_json() for each in self.classes],
            "same_name": [
                {"name": name, "classes": list(indices)} for name, indices in self.names.spoken_twice.items()
            ],
            "note": self.note,
        }


def class_report(stored: Stored, line: RobustnessFit | None) -> ClassReport:
    """A record class by class; `line` whose baseline keeps answers gives effective robustness."""
    rows, clean = stored.predictions(), stored.clean_predictions()
    target = rows.target
    present = np.unique(target)
    images = np.bincount(target)[present].astype(np.float64)
    right = np.bincount(target, weights=rows.correct)[present].astype(np.float64)
    alpha = np.array([prior_strength(right, images)])
    shrunk = shrink(right[None], images, alpha)[0]
    names = class_names(stored, int(target.max()) + 1)
    robust, note = _robustness(rows, clean, line)
    on_clean = _clean_accuracies(clean)
    classes = tuple(
        ClassAccuracy(
            index=int(index),
            name=names.names[index],
            n=int(n),
            accuracy=float(k / n),
            accuracy_ci95=Accuracy(float(k), float(n)).clopper_pearson(),
            shrunk=float(value),
            clean_accuracy=on_clean.get(int(index)),
            effective_robustness=None if robust is None else robust[0].get(int(index)),
        )
        for index, n, k, value in zip(present, images, right, shrunk, strict=True)
    )
    asked = stored.record.asked
    overall, share = (None, None) if robust is None else robust[1:]
    return ClassReport(asked.model, asked.shift, rows.accuracy.value, classes, overall, share, names, note)


def _clean_accuracies(clean: Predictions | None) -> dict[int, float]:
    if clean is None:
        return {}
    images, right = np.bincount(clean.target), np.bincount(clean.target, weights=clean.correct)
    return {int(i): float(right[i] / images[i]) for i in np.flatnonzero(images)}


def _robustness(
    rows: Predictions, clean: Predictions | None, line: RobustnessFit | None
) -> tuple[tuple[dict[int, float], float, float | None] | None, str | None]:
    """(class -> effective robustness, overall, top share), or why there is none."""
    if line is None or clean is None:
        return None, "no effective robustness: a clean set has no line, and a shift without its clean view none either"
    tables = answers_of(line)
    if tables is None:
        return None, (
            f"no effective robustness a class: the baseline {line.baseline.name} keeps no answers an image on {line.shift}; "
            "build one with `effrob baseline build`"
        )
    result = per_class(
        line.segment_at(float(clean.correct.mean())),
        tables[0],
        tables[1],
        rows.correct[_order(rows, tables[0].ids)],
        clean.correct[_order(clean, tables[1].ids)],
    )
    values = dict(zip(result.classes.tolist(), result.effective_robustness.tolist(), strict=True))
    return (values, result.overall, result.top_share), None


def _order(rows: Predictions, ids: NDArray[np.str_]) -> NDArray[np.int64]:
    places = {name: i for i, name in enumerate(rows.id.tolist())}
    missing = [name for name in ids.tolist() if name not in places]
    if missing:
        raise UsageProblem(
            f"the baseline answered {len(ids)} images and {len(missing)} of them are not in the record, first {missing[0]}: "
            "evaluate the whole set"
        )
    return np.array([places[name] for name in ids.tolist()], dtype=np.int64)


@dataclass(frozen=True, eq=False)
class ClassGain:
    """One class's part of the difference of two models: `share_of_images` x `difference` = `contribution`.

    p_adjusted  McNemar's, over the classes, by Benjamini and Hochberg
    """

    index: int
    name: str
    n: int
    first: float
    second: float
    difference: float
    contribution: float
    p_value: float
    p_adjusted: float


@dataclass(frozen=True, eq=False)
class GainReport:
    """What first minus second is made of, the largest contribution in its direction first.

    carried_by  how many classes, taken in that order, sum to the whole difference; None where it is not shown to be any
    """

    first: str
    second: str
    shift: str
    difference: float
    mcnemar_p: float
    classes: tuple[ClassGain, ...]
    carried_by: int | None

    def as_json(self) -> dict[str, Any]:
        return {**vars(self), "classes": [vars(each) for each in self.classes]}


def class_gain(first: Stored, second: Stored) -> GainReport:
    """Split the difference of two records on the same images over the classes. Raises UsageProblem for other images."""
    one, two = first.predictions(), second.predictions()
    order = _order(two, one.id)
    if len(one) != len(two) or not np.array_equal(one.target, two.target[order]):
        raise UsageProblem("the two models answered other images: evaluate both on the same copy of the set")
    right, other = one.correct, two.correct[order]
    whole = compare_correct(right, other)
    names = class_names(first, int(one.target.max()) + 1).names
    result = []
    for index in np.unique(one.target):
        of = one.target == index
        b, c = int((right & ~other & of).sum()), int((other & ~right & of).sum())
        result.append(
            (int(index), int(of.sum()), float(right[of].mean()), float(other[of].mean()), b - c, mcnemar(b, c))
        )
    adjusted = adjust([each[-1] for each in result], "fdr")
    gains = [
        ClassGain(index, names[index], n, x, y, x - y, net / len(one), p, 1.0 if q is None else q)
        for (index, n, x, y, net, p), q in zip(result, adjusted, strict=True)
    ]
    sign = 1.0 if whole.difference >= 0 else -1.0
    gains.sort(key=lambda each: (-sign * each.contribution, each.index))
    reached = np.cumsum([each.contribution for each in gains])
    carried = None
    if whole.mcnemar_p < ALPHA:
        carried = int(np.flatnonzero(sign * reached >= abs(whole.difference) - 1e-12)[0]) + 1
    asked = first.record.asked
    return GainReport(
        asked.model, second.record.asked.model, asked.shift, whole.difference, whole.mcnemar_p, tuple(gains), carried
    )


def least_and_most(report: ClassReport, n: int) -> tuple[Sequence[ClassAccuracy], Sequence[ClassAccuracy]]:
    """The n classes lowest and highest by effective robustness, or by shrunk accuracy where there is none."""

    def height(each: ClassAccuracy) -> float:
        return each.shrunk if each.effective_robustness is None else each.effective_robustness

    ranked = sorted(report.classes, key=height)
    n = min(n, len(ranked) // 2)
    return ranked[:n], ranked[::-1][:n]
