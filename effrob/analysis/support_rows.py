"""The support split of one shift, for records: features of the images their answers are of, and a row a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from effrob.analysis.selection import records_of
from effrob.analysis.support import PartLine, SupportEstimate, density_ratios, interval, part_lines
from effrob.errors import UsageProblem
from effrob.results.answers import PredictionMatrix
from effrob.results.predictions import Predictions
from effrob.results.store import Stored
from effrob.robustness.fit import RobustnessFit
from effrob.robustness.lines import LineOptions, Lines, line_without
from effrob.robustness.per_image.pairing import answers_of
from shifts import suite_of

Features = Callable[[str], tuple[NDArray[np.floating], Sequence[str]]]
PARTS = ("in", "out")


def support_document(
    models: Sequence[str],
    shift: str,
    results: Path,
    options: LineOptions,
    threshold: float,
    features: Features,
    head: str | None = None,
    prompts: str | None = None,
) -> dict[str, Any]:
    """One strict-JSON object: the shift's images with their density ratios, and each model beside the line of each part.

    features gives of a set (N, D) features and N ids. Raises UsageProblem where the baseline keeps no answers an image, and
    where records and features are of different images.
    """
    if not 0 < threshold < np.inf:
        raise UsageProblem(f"--threshold wants a density ratio over 0, as 0.2, and found {threshold:g}")
    if options.axis != "clean":
        raise UsageProblem(
            "a part of a shift has its own mix of classes, so only --axis clean, its own classes, has a line"
        )
    records = [records_of(model, results, (shift,), head, prompts)[0] for model in models]
    clean = records[0].clean_predictions()
    if clean is None:
        raise UsageProblem(f"{shift} has no clean view beside it, and the support split asks how near clean images are")
    fitted = Lines(options, results).at(shift)
    tables = None if isinstance(fitted, str) else answers_of(fitted)
    if isinstance(fitted, str) or tables is None:
        why = fitted if isinstance(fitted, str) else f"the baseline {fitted.baseline.name} keeps no answers an image"
        raise UsageProblem(f"{why}; a line on a part of the images wants them: build one with `effrob baseline build`")
    shifted = records[0].predictions()
    estimate = density_ratios(_rows(suite_of(shift).clean, clean, features), _rows(shift, shifted, features))
    places = {name: i for i, name in enumerate(shifted.id.tolist())}
    lacking = [name for name in tables[0].ids.tolist() if name not in places]
    if lacking:
        raise UsageProblem(
            f"the baseline answered {len(tables[0].ids)} images and {len(lacking)} of them are not in the record of "
            f"{models[0]}: evaluate the whole set"
        )
    inside = estimate.ratio[[places[name] for name in tables[0].ids.tolist()]] >= threshold
    return {
        "shift": shift,
        "baseline": fitted.baseline.name,
        "scale": fitted.scale.name,
        "threshold": threshold,
        **_images(shifted, estimate, threshold),
        "models": [_model(stored, fitted, tables, inside) for stored in records],
    }


def _rows(name: str, answers: Predictions, features: Features) -> NDArray[np.floating]:
    """Of the images answered."""
    array, ids = features(name)
    if int(answers.index.max()) >= len(array) or [ids[row] for row in answers.index] != answers.id.tolist():
        raise UsageProblem(
            f"the record's answers on {name} and the cached features are of different images: evaluate the set as it is again"
        )
    return np.asarray(array[answers.index])


def _images(shifted: Predictions, estimate: SupportEstimate, threshold: float) -> dict[str, Any]:
    inside = estimate.ratio >= threshold
    return {
        "n": len(inside),
        "n_in_support": int(inside.sum()),
        "auc": estimate.auc,
        "images": [
            {"id": str(name), "density_ratio": float(ratio), "in_support": bool(near)}
            for name, ratio, near in zip(shifted.id, estimate.ratio, inside, strict=True)
        ],
    }


def _model(
    stored: Stored, fitted: RobustnessFit, tables: tuple[PredictionMatrix, PredictionMatrix], inside: NDArray[np.bool_]
) -> dict[str, Any]:
    asked = stored.record.asked
    shifted, clean = stored.predictions(), stored.clean_predictions()
    assert clean is not None
    answers = shifted.correct[tables[0].order(shifted.id)], clean.correct[tables[1].order(clean.id)]
    line = line_without(fitted, [asked.model]).segment_at(float(answers[1].mean()))
    parts = part_lines(line, *tables, *answers, (inside, ~inside))
    near, far = parts
    difference = ends = None
    if near.effective_robustness is not None and far.effective_robustness is not None:
        assert near.drawn is not None and far.drawn is not None
        difference = near.effective_robustness - far.effective_robustness
        ends = interval(near.drawn - far.drawn)
    return {
        "model": asked.model,
        "head": asked.head,
        "parts": [_part(name, part) for name, part in zip(PARTS, parts, strict=True)],
        "difference": difference,
        "difference_ci95": None if ends is None else list(ends),
    }


def _part(name: str, part: PartLine) -> dict[str, Any]:
    line, ends = part.line, part.ci95
    return {
        "support": name,
        "n": part.n,
        "accuracy": part.accuracy if part.n else None,
        "clean_accuracy": part.clean if part.n else None,
        "effective_robustness": part.effective_robustness,
        "effective_robustness_ci95": None if ends is None else list(ends),
        "line": None
        if line is None
        else {"n": line.n, "slope": line.slope, "intercept": line.intercept, "r2": line.r2, "flaws": list(line.flaws)},
        "members": part.members.tolist(),
        "why": part.why,
    }
