"""Errors by factor: which of ImageNet-X's sixteen annotated factors make a model err more than it does on the whole.

ImageNet-X (Idrissi et al. 2022) says of ImageNet's validation images how they differ from their class's prototypes. The error
ratio of a factor is the error rate on the images that have it over the error rate on all annotated ones; 1 is no effect.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from effrob.errors import UsageProblem
from effrob.results.accuracy import BOOTSTRAP_SEED, Accuracy
from effrob.results.predictions import Predictions
from shifts.bounds.files import parse_json, read_lines

Bools = NDArray[np.bool_]
FACTORS = (
    "pose", "background", "pattern", "color", "smaller", "shape", "partial_view", "subcategory", "texture", "larger",
    "darker", "object_blocking", "person_blocking", "style", "brighter", "multiple_objects",
)  # fmt: skip
DRAWS = 2000
_NAME = re.compile(r"ILSVRC2012_val_\d{8}\.JPEG", re.IGNORECASE)


@dataclass(frozen=True)
class FactorError:
    """Errors on the n images that have a factor. error_ratio None where no annotated image is wrong."""

    factor: str
    n: int
    accuracy: float
    accuracy_ci95: tuple[float, float]
    error_ratio: float | None
    error_ratio_ci95: tuple[float, float] | None

    def as_json(self) -> dict[str, Any]:
        ends = self.error_ratio_ci95
        return {
            **vars(self),
            "accuracy_ci95": list(self.accuracy_ci95),
            "error_ratio_ci95": None if ends is None else list(ends),
        }


def load_annotations(path: Path | None = None) -> dict[str, frozenset[str]]:
    """File name -> the factors it has: from a JSON-lines file of ImageNet-X, else from the installed package `imagenet-x`.

    Raises UsageProblem where neither is there, and for a line that is no annotation.
    """
    if path is None:
        try:
            from imagenet_x import load_annotations as packaged
        except ImportError:
            raise UsageProblem(
                "effrob factors wants ImageNet-X's annotations: pip install 'effrob[factors]', or name its "
                "imagenet_x_val_multi_factor.jsonl by --annotations"
            ) from None
        rows = packaged(which_factor="multi", partition="val", filter_prototypes=True).to_dict("records")
        return _annotations(enumerate(rows, start=1), "imagenet-x")
    if not path.is_file():
        raise UsageProblem(f"--annotations wants a JSON-lines file of ImageNet-X; {path} is not there")
    try:
        lines = enumerate(read_lines(path), start=1)
        return _annotations(((number, parse_json(line)) for number, line in lines if line.strip()), path.name)
    except ValueError as error:
        raise UsageProblem(f"{path} is not a JSON-lines file of ImageNet-X: {error}") from None


def _annotations(rows: Any, where: str) -> dict[str, frozenset[str]]:
    result: dict[str, frozenset[str]] = {}
    for number, row in rows:
        name = row.get("file_name") if isinstance(row, Mapping) else None
        known = [factor for factor in FACTORS if isinstance(row, Mapping) and factor in row]
        if not isinstance(name, str) or not _NAME.fullmatch(name) or not known:
            raise UsageProblem(
                f"{where} line {number}: a row of ImageNet-X was wanted, with file_name ILSVRC2012_val_00000001.JPEG and 0 "
                "or 1 for each factor"
            )
        result[name.upper()] = frozenset(factor for factor in known if int(row[factor]) == 1)
    if not result:
        raise UsageProblem(f"{where} holds no annotation")
    return result


def factor_errors(
    rows: Predictions, annotations: Mapping[str, frozenset[str]], draws: int = DRAWS
) -> tuple[Accuracy, list[FactorError]]:
    """(accuracy on the annotated images, errors by factor, highest ratio first). Intervals: bootstrap over images, shared.

    Raises UsageProblem where no image of the record is annotated.
    """
    names = [match.group(0).upper() if (match := _NAME.search(name)) else "" for name in rows.id.tolist()]
    kept = [i for i, name in enumerate(names) if name in annotations]
    if not kept:
        raise UsageProblem(
            "none of the record's images is annotated: ImageNet-X is of ImageNet's validation images, ILSVRC2012_val_*.JPEG"
        )
    correct = rows.correct[kept]
    has = np.array([[factor in annotations[names[i]] for factor in FACTORS] for i in kept], dtype=np.float64)
    wrong = (~correct).astype(np.float64)
    counts = np.random.default_rng(BOOTSTRAP_SEED).multinomial(len(kept), np.full(len(kept), 1 / len(kept)), size=draws)
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = ((counts * wrong) @ has) / (counts @ has) / ((counts @ wrong) / len(kept))[:, None]
    result = [_factor(name, has[:, j] > 0, correct, drawn[:, j]) for j, name in enumerate(FACTORS) if has[:, j].any()]
    result.sort(key=lambda each: -(each.error_ratio or 0.0))
    return Accuracy(int(correct.sum()), len(correct)), result


def _factor(name: str, has: Bools, correct: Bools, drawn: NDArray[np.float64]) -> FactorError:
    right = Accuracy(int(correct[has].sum()), int(has.sum()))
    error = 1.0 - float(correct.mean())
    if error == 0.0:
        return FactorError(name, int(right.n), right.value, right.clopper_pearson(), None, None)
    usable = drawn[np.isfinite(drawn)]
    low, high = np.percentile(usable, [2.5, 97.5])
    ratio = (1.0 - right.value) / error
    return FactorError(name, int(right.n), right.value, right.clopper_pearson(), ratio, (float(low), float(high)))


def factor_row(model: str, head: str, whole: Accuracy, result: Sequence[FactorError]) -> dict[str, Any]:
    """One strict-JSON object a model."""
    return {
        "model": model,
        "head": head,
        "n": int(whole.n),
        "accuracy": whole.value,
        "factors": [each.as_json() for each in result],
    }
