"""Records as board rows, once their predictions bear them out: a submission is believed for what it can prove.

Every digest is checked and every count recomputed from the predictions; what does not agree is refused by name.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from effrob.errors import EffrobError, UsageProblem
from effrob.leaderboard.cell import Lines, ScoredShift, cell, robustness_of_mean
from effrob.leaderboard.table import BoardRow
from effrob.results.accuracy import Accuracy
from effrob.results.record import Counts
from effrob.results.store import Stored, read
from effrob.robustness.rows import FOUR

DEFAULT = Path("effrob-results")


def verified(folders: Sequence[Path]) -> list[Stored]:
    """Every record below the folders, each proved from its predictions, once a key.

    Raises UsageProblem for a folder that is not there (the default one may be absent), and EffrobError naming every
    record and predictions file that is torn, edited, or says something other than its predictions do.
    """
    found: dict[str, Stored] = {}
    wrong: list[str] = []
    for folder in folders:
        if not folder.is_dir() and folder != DEFAULT:
            raise UsageProblem(f"--results wants a folder of records; {folder} is not there (`effrob eval` writes one)")
        for path in sorted(folder.rglob("record.json")):
            if any(part.startswith(".") for part in path.relative_to(folder).parts):
                continue
            try:
                stored = read(path.parent)
                _prove(stored)
                before = found.setdefault(stored.record.asked.key(), stored)
                if before.record.counts != stored.record.counts:
                    raise EffrobError(f"{path} and {before.folder / path.name} answer one question with other counts")
            except EffrobError as error:
                wrong.append(str(error))
    if not wrong:
        wrong = _disagreeing(found.values())
    if wrong:
        raise EffrobError("refused, nothing was written: " + "; ".join(wrong))
    return list(found.values())


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
        key = json.dumps([*_identity(stored), asked.clean_source], sort_keys=True)
        before = seen.setdefault(key, stored)
        if before.record.clean_full != stored.record.clean_full:
            wrong.append(
                f"{stored.folder / 'record.json'} and {before.folder / 'record.json'} state different clean accuracies"
            )
    return wrong


def _identity(stored: Stored) -> list[object]:
    """What one row has in common: the question less its shift."""
    asked = stored.record.asked
    apart = ("shift", "label_space", "source", "question", "clean_source", "clean_question")
    return [value for name, value in dataclasses.asdict(asked).items() if name not in apart]


def measured_rows(records: Iterable[Stored], lines: Lines) -> Iterator[BoardRow]:
    """One row a model, head, prompt set, protocol and way of running it; of several records of one shift, the fullest."""
    groups: dict[str, list[Stored]] = {}
    for stored in records:
        suite = "pocket" if stored.record.asked.shift.startswith("pocket") else "imagenet"
        key = json.dumps([suite, *_identity(stored)], sort_keys=True)
        groups.setdefault(key, []).append(stored)
    for group in groups.values():
        yield _row(group, lines)


def _row(group: Sequence[Stored], lines: Lines) -> BoardRow:
    asked = group[0].record.asked
    suite = "pocket" if asked.shift.startswith("pocket") else "imagenet"
    fullest: dict[str, Stored] = {}
    for stored in sorted(group, key=lambda s: (-s.record.counts.n, s.record.asked.key())):
        fullest.setdefault(stored.record.asked.shift, stored)
    clean_set = fullest.pop(suite, None)
    stated = [s.record.clean_full for s in fullest.values() if s.record.clean_full is not None]
    full = clean_set.record.counts if clean_set else max(stated, key=lambda counts: counts.n, default=None)
    cells = {shift: _cell(stored, lines) for shift, stored in sorted(fullest.items())}
    four = [cells[shift].accuracy for shift in FOUR[suite] if shift in cells]
    shown = list(fullest.values()) + ([clean_set] if clean_set else [])
    first = shown[0].record
    clean_full = _accuracy(full)
    return BoardRow(
        model=asked.model,
        img_size=_image_size(asked.pixels),
        source="measured",
        head=asked.head,
        prompts=asked.prompts,
        protocol=asked.protocol,
        suite=suite,
        axis=lines.line.axis,
        clean_full=clean_full,
        cells=cells,
        of_mean=robustness_of_mean(lines, suite, four, clean_full),
        details={
            "weights": first.weights,
            "precision": asked.precision,
            "pixels": {**asked.pixels, "path": asked.pixel_path},
            "partial": any(stored.record.partial for stored in shown),
            "note": None if len(group) == len(shown) else f"{len(group) - len(shown)} smaller records are not shown",
            "provenance": {
                stored.record.asked.shift: {
                    **dataclasses.asdict(stored.record.provenance),
                    "key": stored.record.asked.key(),
                    "folder": str(stored.folder),
                    "files": stored.record.files,
                }
                for stored in shown
            },
        },
    )


def _accuracy(counts: Counts | None) -> Accuracy | None:
    return None if counts is None or counts.n == 0 else counts.accuracy


def _cell(stored: Stored, lines: Lines) -> ScoredShift:
    record = stored.record
    return cell(
        lines,
        record.asked.shift,
        lines.line.axis,
        accuracy=record.counts.accuracy,
        clean=_accuracy(record.clean),
        clean_full=_accuracy(record.clean_full),
        n_expected=record.n_expected,
        partial=record.partial,
        model=record.asked.model,
        record=stored.folder,
    )


def _image_size(pixels: dict[str, object]) -> int | None:
    size = pixels.get("size")
    if isinstance(size, list) and size:
        size = size[0]
    return size if isinstance(size, int) else None
