"""Accuracy under shift without labels, for records: agreement on the line, and what makes it untrustworthy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from effrob.analysis.selection import records_of
from effrob.errors import UsageProblem
from effrob.results.answers import PredictionMatrix
from effrob.results.predictions import Predictions
from effrob.results.select import read_records
from effrob.results.store import Stored
from effrob.robustness.per_image.agreement import agreement_on_the_line

PROBES = ("linear-probe", "ridge", "few-shot")


def agreement_rows(
    models: Sequence[str], shifts: Sequence[str], results: Path, head: str | None = None, prompts: str | None = None
) -> list[dict[str, Any]]:
    """One strict-JSON object a shift. Raises UsageProblem for fewer than three models, and for answers on other images."""
    if not models:
        every = read_records(results)
        models = sorted({stored.record.asked.model for stored in every if stored.record.asked.shift in shifts})
    if len(models) < 3:
        raise UsageProblem(
            f"agreement wants at least three models with records on {', '.join(shifts)} below {results}, and {len(models)} "
            "are there: run `effrob eval` for more"
        )
    return [
        _row([records_of(model, results, (shift,), head, prompts)[0] for model in models], shift) for shift in shifts
    ]


def _row(records: Sequence[Stored], shift: str) -> dict[str, Any]:
    names = [stored.record.asked.model for stored in records]
    on_clean = [stored.clean_predictions() for stored in records]
    kept = [rows for rows in on_clean if rows is not None]
    if len(kept) < len(records):
        raise UsageProblem(f"{shift} has no clean view beside it here, and agreement wants the clean images' labels")
    clean, shifted = matrix_of(names, kept), matrix_of(names, [stored.predictions() for stored in records])
    estimate = agreement_on_the_line(clean, shifted)
    true = shifted.correct.mean(axis=1)
    by_line, by_pairs = estimate.error(true)
    return {
        "shift": shift,
        "slope": estimate.slope,
        "intercept": estimate.intercept,
        "r2": estimate.r2,
        "pairs": estimate.pairs,
        "holds": estimate.holds,
        "error_aline_s": by_line,
        "error_aline_d": by_pairs,
        "models": [
            {"model": name, "clean_accuracy": float(x), "aline_s": float(s), "aline_d": float(d), "accuracy": float(y)}
            for name, x, s, d, y in zip(
                names, clean.correct.mean(axis=1), estimate.aline_s, estimate.aline_d, true, strict=True
            )
        ],
        "warnings": _warnings(records),
    }


def matrix_of(models: Sequence[str], tables: Sequence[Predictions]) -> PredictionMatrix:
    """Answers in the image order of the first."""
    first = tables[0]
    empty = np.zeros((0, len(first)))
    order_of = PredictionMatrix((), first.id, first.target, empty.astype(np.bool_), empty.astype(np.int64)).order
    orders = [order_of(rows.id) for rows in tables]
    correct = np.array([rows.correct[order] for rows, order in zip(tables, orders, strict=True)])
    predicted = np.array([rows.predicted[order] for rows, order in zip(tables, orders, strict=True)])
    return PredictionMatrix(tuple(models), first.id, first.target, correct, predicted)


def _warnings(records: Sequence[Stored]) -> list[str]:
    """Probes on one network's features agree because they share it: agreement on the line needs differently made models."""
    asked = [stored.record.asked for stored in records]
    probes = [each for each in asked if each.head.startswith(PROBES)]
    said = []
    if probes:
        said.append(
            f"{len(probes)} of {len(asked)} models are probes with one seed: probes made alike agree more than accuracies "
            "say, and predictions are then too high (Mehra et al. 2024)"
        )
    if len({each.model_digest for each in asked}) < len(asked):
        said.append("two of the models are one network: their agreement tells of the network, not of the shift")
    return said
