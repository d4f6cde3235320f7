"""Verification of records that others may have sent: digests checked, every count recomputed from the predictions.

What does not agree is refused by name.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from effrob.errors import EffrobError, UsageProblem
from effrob.results.select import DEFAULT_RESULTS, reading_key
from effrob.results.store import Stored, read


def verified(folders: Sequence[Path]) -> list[Stored]:
    """Every record below the folders, each recounted from its predictions, once a key.

    Raises UsageProblem for a folder that is not there (the default one may be absent), and EffrobError naming every
    record and predictions file that is torn, edited, or says something other than its predictions do.
    """
    proved: dict[str, Stored] = {}
    wrong: list[str] = []
    for folder in folders:
        if not folder.is_dir() and folder != DEFAULT_RESULTS:
            raise UsageProblem(f"--results wants a folder of records; {folder} is not there (`effrob eval` writes one)")
        for path in sorted(folder.rglob("record.json")):
            if any(part.startswith(".") for part in path.relative_to(folder).parts):
                continue
            try:
                stored = read(path.parent)
                _prove(stored)
                before = proved.setdefault(stored.record.asked.key(), stored)
                if before.record.counts != stored.record.counts:
                    raise EffrobError(f"{path} and {before.folder / path.name} answer one question with other counts")
            except EffrobError as error:
                wrong.append(str(error))
    if not wrong:
        wrong = _disagreeing(proved.values())
    if wrong:
        raise EffrobError("refused, nothing was written: " + "; ".join(wrong))
    return list(proved.values())


def _prove(stored: Stored) -> None:
    stored.verify()
    record = stored.record
    for name in record.files:
        if name not in ("predictions.npz", "clean.npz"):
            raise EffrobError(f"{stored.folder / 'record.json'} names a file {name!r} that no record has")
    if (record.clean is None) != ("clean.npz" not in record.files):
        raise EffrobError(f"{stored.folder / 'record.json'} states clean accuracies without predictions to prove them")
    _prove_rows(stored)
    if not record.partial and record.counts.n != record.n_expected:
        raise EffrobError(
            f"{stored.folder / 'record.json'} calls {record.counts.n} of {record.n_expected} images complete"
        )


def _prove_rows(stored: Stored) -> None:
    """Each image once, and right where prediction and target agree (ReaL accepts several answers: there it is stated)."""
    several = stored.record.asked.shift == "imagenet-real"
    files = [("predictions.npz", stored.predictions()), ("clean.npz", stored.clean_predictions())]
    for name, rows in files:
        if rows is None:
            continue
        if len(np.unique(rows.index)) != len(rows) or len(np.unique(rows.id)) != len(rows):
            raise EffrobError(f"{stored.folder / name} answers an image twice")
        if not several and not np.array_equal(rows.correct, rows.predicted == rows.target):
            raise EffrobError(f"{stored.folder / name} calls answers right that are not the target, or the reverse")


def _disagreeing(records: Iterable[Stored]) -> list[str]:
    """Records of one model, head and clean set must state the same clean accuracy on all classes."""
    seen: dict[str, Stored] = {}
    wrong = []
    for stored in records:
        asked = stored.record.asked
        if stored.record.clean_full is None:
            continue
        key = json.dumps([*reading_key(stored), asked.clean_source], sort_keys=True)
        before = seen.setdefault(key, stored)
        if before.record.clean_full != stored.record.clean_full:
            wrong.append(
                f"{stored.folder / 'record.json'} and {before.folder / 'record.json'} state different clean accuracies"
            )
    return wrong
