"""Readers of results folders: every record is recounted, and held against the others it lies with."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from effrob.errors import EffrobError, UsageProblem
from effrob.results.record import Counts
from effrob.results.store import Stored, read
from shifts import suite_of

DEFAULT_RESULTS = Path("effrob-results")
_OF_A_SET = ("shift", "label_space", "source", "question", "clean_source", "clean_question")

LOOKED = 50_000  # folders without a record, beside ten for each record, before the walk is given up


def read_records(results: Path) -> list[Stored]:
    """Every record below a results folder, ordered by path; none where there is no folder.

    Raises UsageProblem naming every record that cannot be read, or says what its predictions and the other records do not.
    """
    records, wrong = _read([results])
    if wrong:
        raise UsageProblem("; ".join(wrong))
    return records


def verified(folders: Sequence[Path]) -> list[Stored]:
    """Every record below the folders, once a key.

    Raises UsageProblem for a folder that is not there (the default one may be absent), and EffrobError naming every
    record and predictions file that is torn, edited, or says something other than its predictions do.
    """
    for folder in folders:
        if not folder.is_dir() and folder != DEFAULT_RESULTS:
            raise UsageProblem(f"--results wants a folder of records; {folder} is not there (`effrob eval` writes one)")
    records, wrong = _read(folders)
    if wrong:
        raise EffrobError("refused, nothing was written: " + "; ".join(wrong))
    return list({stored.record.asked.key(): stored for stored in reversed(records)}.values())[::-1]


def reading_key(stored: Stored) -> list[object]:
    """What the records of one row have in common: what was asked, less the shift."""
    return [value for name, value in dataclasses.asdict(stored.record.asked).items() if name not in _OF_A_SET]


def _read(folders: Sequence[Path]) -> tuple[list[Stored], list[str]]:
    """Records, and a sentence for each that cannot be believed."""
    records: list[Stored] = []
    wrong: list[str] = []
    for path in (path for folder in folders for path in record_files(folder)):
        try:
            records.append(read(path.parent))
        except EffrobError as error:
            wrong.append(str(error))
    if not wrong:
        wrong = [*_twice_answered(records), *_disagreeing(records)]
    return records, wrong


def record_files(folder: Path) -> list[Path]:
    """Every record.json below a folder, in order, hidden folders left out.

    Raises UsageProblem where next to nothing of a large tree is records: another folder was meant.
    """
    found: list[Path] = []
    others = 0
    for at, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        if "record.json" in files:
            found.append(Path(at, "record.json"))
        else:
            others += 1
        if others > LOOKED + 10 * len(found):
            raise UsageProblem(
                f"--results {folder}: {others:,} folders were looked through and {len(found):,} records found; name the "
                "folder that `effrob eval --results` wrote"
            )
    return sorted(found)


def _twice_answered(records: Iterable[Stored]) -> Iterator[str]:
    """One question has one answer, wherever its records lie."""
    seen: dict[str, Stored] = {}
    for stored in records:
        before = seen.setdefault(stored.record.asked.key(), stored)
        if (before.record.counts, before.record.clean) != (stored.record.counts, stored.record.clean):
            yield (
                f"{stored.folder / 'record.json'} and {before.folder / 'record.json'} answer one question with other counts: "
                "move one of them away"
            )


def _disagreeing(records: Sequence[Stored]) -> Iterator[str]:
    """One model, head and copy of the clean set have one accuracy there, and one answer an image, whatever record tells it."""
    whole: dict[str, tuple[Stored, Counts]] = {}
    for stored in sorted(
        records, key=lambda each: each.record.clean_full is not None
    ):  # the clean sets' own records first
        record, own = stored.record, stored.record.asked.shift == suite_of(stored.record.asked.shift).clean
        full = record.counts if own else record.clean_full
        if full is None:
            continue
        source = record.asked.source if own else record.asked.clean_source
        first, counts = whole.setdefault(json.dumps([*reading_key(stored), source], sort_keys=True), (stored, full))
        where = f"{stored.folder / 'record.json'} and {first.folder / 'record.json'}"
        if (counts.n, counts.n_correct) != (full.n, full.n_correct):
            yield f"{where} state different clean accuracies: move one of them away, or evaluate the model again"
        elif not own and first.record.clean_full is None and record.clean is not None:
            from effrob.results.recount.remembered import agree_once

            pair = record.files["clean.npz"], first.record.files["predictions.npz"]
            if not agree_once(*pair, lambda stored=stored, first=first: _same_answers(stored, first)):  # type: ignore[misc]
                yield f"{where} answer the same clean images differently: move one of them away, or evaluate the model again"


def _same_answers(stored: Stored, clean: Stored) -> bool:
    """Whether a record's clean view gives the answers over all classes that the clean set's own record gives."""
    view, whole = stored.clean_predictions(), clean.predictions()
    assert view is not None
    if (view.predicted_1000 < 0).all() or (whole.predicted_1000 < 0).all():
        return True
    order = np.argsort(whole.id)
    at = np.searchsorted(whole.id, view.id, sorter=order)
    if (at >= len(order)).any() or not np.array_equal(whole.id[order[at]], view.id):
        return False
    return bool(np.array_equal(whole.predicted_1000[order[at]], view.predicted_1000))
