"""A record's confidences: how well they are calibrated and what they are good for, on the shift and on its clean view."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from effrob.analysis.calibration import BINS, Calibration, calibration
from effrob.analysis.selective import SelectivePrediction, selective_prediction
from effrob.errors import UsageProblem
from effrob.results.predictions import Predictions
from effrob.results.store import Stored

SCORES = ("confidence", "entropy", "margin")


@dataclass(frozen=True, eq=False)
class ConfidenceReport:
    """One view of one record; `calibration` is None where the answers hold no confidence and the margin orders them."""

    calibration: Calibration | None
    selective: SelectivePrediction
    score: str

    def as_json(self) -> dict[str, Any]:
        measured = {} if self.calibration is None else self.calibration.as_json()
        return {**measured, "score": self.score, **self.selective.as_json()}


def confidence_report(rows: Predictions, bins: int = BINS, score: str = "confidence") -> ConfidenceReport:
    """Calibration over `bins`, and selective prediction in the order of `score` (`entropy` counts as surer where lower).

    `margin` is what every head has: asked for it, answers without a softmax are ordered, and not said to be calibrated.
    """
    if score not in SCORES:
        raise UsageProblem(f"a score is one of {', '.join(SCORES)}, and {score!r} was asked for")
    ordered: Mapping[str, NDArray[np.floating]] = {
        "confidence": rows.confidence,
        "entropy": -rows.entropy,
        "margin": rows.margin,
    }
    unknown = bool(np.isnan(rows.confidence).any())
    measured = None if unknown and score == "margin" else calibration(rows.confidence, rows.correct, bins)
    return ConfidenceReport(measured, selective_prediction(ordered[score], rows.correct), score)


def confidence_row(stored: Stored, bins: int = BINS, score: str = "confidence") -> dict[str, Any]:
    """One strict-JSON object for a record: the shift, and the same of its class-matched clean view as `clean`."""
    asked, rows, clean = stored.record.asked, stored.predictions(), stored.clean_predictions()
    return {
        "model": asked.model,
        "shift": asked.shift,
        "head": asked.head,
        "prompts": asked.prompts,
        "protocol": asked.protocol,
        "partial": stored.record.partial,
        "n": len(rows),
        "accuracy": rows.accuracy.value,
        **confidence_report(rows, bins, score).as_json(),
        "clean": None if clean is None else confidence_report(clean, bins, score).as_json(),
    }
