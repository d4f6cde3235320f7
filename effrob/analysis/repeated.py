"""Effective robustness over repeated measurements: other baseline families, other classes or other images each time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from effrob.analysis.selection import records_of
from effrob.errors import UsageProblem
from effrob.results.predictions import Predictions
from effrob.results.store import Stored
from effrob.robustness.fit import RobustnessFit
from effrob.robustness.lines import LineOptions, Lines
from effrob.robustness.per_image.hierarchical import hierarchical_bootstrap
from effrob.robustness.per_image.pairing import answers_of

DRAWS = 1000


def repeated_rows(
    model: str, shifts: Sequence[str], results: Path, options: LineOptions, draws: int = DRAWS
) -> list[dict[str, Any]]:
    """One strict-JSON object a shift that the model has with its clean view, and the baseline with answers an image.

    Raises UsageProblem for a shift named that has not, and where none is left.
    """
    lines = Lines(options, results)
    rows: list[dict[str, Any]] = []
    reasons = []
    for stored in records_of(model, results, shifts):
        shift = stored.record.asked.shift
        line = lines.at(shift) if stored.record.clean is not None else "a clean set has no line"
        if not isinstance(line, str) and answers_of(line) is None:
            line = (
                f"the baseline {line.baseline.name} keeps no answers an image; build one with `effrob baseline build`"
            )
        if isinstance(line, str):
            reasons.append(f"{shift}: {line}")
            if shift in shifts:
                raise UsageProblem(reasons[-1])
            continue
        rows.append(_row(stored, line, draws))
    if not rows:
        raise UsageProblem(f"no shift of {model} can be measured repeatedly: {'; '.join(reasons)}")
    return rows


def _row(stored: Stored, line: RobustnessFit, draws: int) -> dict[str, Any]:
    tables = answers_of(line)
    clean = stored.clean_predictions()
    assert tables is not None and clean is not None
    segment = line.segment_at(float(clean.correct.mean()))
    shifted = stored.predictions()
    answers = _ordered(shifted, tables[0].ids), _ordered(clean, tables[1].ids)
    kinds = {
        kind: hierarchical_bootstrap(segment, *tables, *answers, classes=kind, draws=draws)
        for kind in ("fixed", "resampled")
    }
    estimate = line.effective_robustness(float(clean.correct.mean()), float(shifted.correct.mean()))
    asked = stored.record.asked
    return {
        "model": asked.model,
        "shift": asked.shift,
        "baseline": line.baseline.name,
        "scale": line.scale.name,
        "effective_robustness": estimate,
        "ci95_same_classes": list(kinds["fixed"].interval()),
        "ci95_other_classes": list(kinds["resampled"].interval()),
        "slope": segment.slope,
        "slope_ci95": [float(end) for end in np.percentile(kinds["resampled"].slope, [2.5, 97.5])],
        "draws": draws,
        "draws_without_line": kinds["resampled"].lost,
    }


def _ordered(rows: Predictions, ids: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Right or wrong, in the order of the baseline's images."""
    places = {name: i for i, name in enumerate(rows.id.tolist())}
    missing = [name for name in ids.tolist() if name not in places]
    if missing:
        raise UsageProblem(
            f"the baseline answered {len(ids)} images and {len(missing)} of them are not in the record: evaluate the whole set"
        )
    return rows.correct[[places[name] for name in ids.tolist()]]
