"""The images of one shift that fool the line, from records of many models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from effrob.analysis.oodselect import fooling_subset
from effrob.analysis.selection import records_of
from effrob.analysis.unlabelled import matrix_of
from effrob.errors import UsageProblem
from effrob.results.select import read_records


def fooled_row(models: Sequence[str], shift: str, results: Path, share: float) -> dict[str, Any]:
    """One strict-JSON object. Raises UsageProblem for too few models, and where a record has no clean view."""
    if not models:
        every = read_records(results)
        models = sorted({stored.record.asked.model for stored in every if stored.record.asked.shift == shift})
    records = [records_of(model, results, (shift,))[0] for model in models]
    on_clean = [stored.clean_predictions() for stored in records]
    kept = [rows for rows in on_clean if rows is not None]
    if len(kept) < len(records):
        raise UsageProblem(f"{shift} has no clean view beside it here, and the models' clean accuracies are wanted")
    names = [stored.record.asked.model for stored in records]
    shifted = matrix_of(names, [stored.predictions() for stored in records]) if records else None
    if shifted is None:
        raise UsageProblem(f"no record on {shift} lies below {results}: run `effrob eval` for at least eight models")
    clean = matrix_of(names, kept).correct.mean(axis=1)
    subset = fooling_subset(clean, shifted.correct, share)
    ids = [str(shifted.ids[place]) for place in subset.images]
    return {"shift": shift, "n": len(shifted.ids), "n_models": len(names), **subset.as_json(), "ids": ids}
