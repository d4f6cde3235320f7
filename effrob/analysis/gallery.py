"""A page of images that one model gets right and another wrong, confident mistakes first; files copied as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader
from numpy.typing import NDArray

from effrob.analysis.class_names import class_names
from effrob.errors import UsageProblem
from effrob.files import whole_folder
from effrob.results.predictions import Predictions
from effrob.results.store import Stored
from shifts.shift import Shift

LIMIT = 60
SUFFIXES = {b"\xff\xd8\xff": ".jpg", b"\x89PNG": ".png", b"GIF8": ".gif", b"RIFF": ".webp", b"BM": ".bmp"}


def write_gallery(records: Sequence[Stored], shift: Shift, out: Path, limit: int = LIMIT) -> int:
    """Write OUT/index.html and OUT/images for one record or two on the same images; returns how many images were copied.

    Two models: where the first alone is right, and where the second alone is. One: its mistakes. Raises UsageProblem where
    OUT is there already, or the images at hand are not those of the records.
    """
    if out.exists():
        raise UsageProblem(f"--gallery {out} is there already: name a folder that is not, or remove it")
    tables = [stored.predictions() for stored in records]
    _check(tables, shift)
    names = class_names(records[0], int(tables[0].target.max()) + 1).names
    models = [stored.record.asked.model for stored in records]
    with whole_folder(out) as draft:
        (draft / "images").mkdir()
        sections = []
        copied: dict[int, str] = {}
        for title, rows, wrong in _sections(models, tables):
            chosen = rows[_surest(tables[wrong], rows)][:limit]
            pictures = [
                _picture(int(row), models, tables, names, _copy(int(row), tables[0], shift, draft, copied))
                for row in chosen
            ]
            sections.append({"title": title, "total": len(rows), "pictures": pictures})
        page = Environment(loader=PackageLoader("effrob.analysis", "page"), autoescape=True).get_template(
            "gallery.html"
        )
        text = page.render(
            title=f"{' and '.join(models)} on {shift.name}",
            summary="; ".join(
                f"{model}: {100 * rows.accuracy.value:.2f} % of {len(rows):,} images right"
                for model, rows in zip(models, tables, strict=True)
            ),
            licence=shift.licence,
            citation=shift.citation,
            sections=sections,
        )
        (draft / "index.html").write_text(text, encoding="utf-8")
    return len(copied)


def _check(tables: Sequence[Predictions], shift: Shift) -> None:
    every = shift.source.ids
    for rows in tables:
        if not np.array_equal(rows.id, tables[0].id):
            raise UsageProblem("the two models answered other images: evaluate both on the same copy of the set")
        if len(rows.index) and int(rows.index.max()) >= len(every):
            raise UsageProblem(
                f"{shift.name} holds {len(every)} images here, fewer than were answered: name that copy by --data"
            )
        if any(every[int(at)] != name for at, name in zip(rows.index, rows.id.tolist(), strict=True)):
            raise UsageProblem(
                f"the images of {shift.name} here are not those that were answered: name that copy by --data"
            )


def _sections(models: Sequence[str], tables: Sequence[Predictions]) -> list[tuple[str, NDArray[np.int64], int]]:
    """(title, rows, which model is wrong there)."""
    right = [rows.correct for rows in tables]
    if len(models) == 1:
        return [(f"{models[0]} is wrong", np.flatnonzero(~right[0]), 0)]
    return [
        (f"{models[0]} is right, {models[1]} wrong", np.flatnonzero(right[0] & ~right[1]), 1),
        (f"{models[1]} is right, {models[0]} wrong", np.flatnonzero(right[1] & ~right[0]), 0),
    ]


def _surest(table: Predictions, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """The order of rows by the wrong model's confidence, or by its margin where the head has none."""
    sure = table.margin if np.isnan(table.confidence).any() else table.confidence
    return np.argsort(-sure[rows], kind="stable")


def _picture(
    row: int, models: Sequence[str], tables: Sequence[Predictions], names: Sequence[str], file: str
) -> Mapping[str, Any]:
    answers = [
        {
            "model": model,
            "name": names[int(rows.predicted[row])]
            if int(rows.predicted[row]) < len(names)
            else str(rows.predicted[row]),
            "right": bool(rows.correct[row]),
            "confidence": None if np.isnan(rows.confidence[row]) else f"{100 * float(rows.confidence[row]):.0f}",
        }
        for model, rows in zip(models, tables, strict=True)
    ]
    return {"file": file, "target": names[int(tables[0].target[row])], "id": str(tables[0].id[row]), "answers": answers}


def _copy(row: int, rows: Predictions, shift: Shift, draft: Path, copied: dict[int, str]) -> str:
    """Copy one file's bytes once; returns its place beside the page. The name is a number, whatever the file was called."""
    if row not in copied:
        data = shift.source.read(int(rows.index[row]))
        suffix = next((end for start, end in SUFFIXES.items() if data.startswith(start)), ".img")
        copied[row] = f"images/{row:06d}{suffix}"
        (draft / copied[row]).write_bytes(data)
    return copied[row]
