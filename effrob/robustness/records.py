"""Records become a baseline: counts from each record.json, per-image answers from the .npz files beside it.

Reads plain JSON, of a stored record or of a row of `effrob eval --json`; loads neither torch nor the evaluator.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from effrob.errors import UsageProblem
from effrob.results.accuracy import Accuracy
from effrob.robustness.answers import BaselineAnswers, PredictionMatrix
from effrob.robustness.baseline import Baseline, Member

CLEAN_SETS = ("imagenet", "pocket")


@dataclass(frozen=True)
class Record:
    """One evaluation: the content of its record.json, and the folder it lies in (None: no per-image answers)."""

    content: Mapping[str, Any]
    folder: Path | None = None

    def asked(self, name: str) -> Any:
        """What was asked, from a stored record or from a row of `effrob eval --json`."""
        asked = self.content.get("asked", self.content)
        return asked.get(name)

    def counts(self, view: str) -> Accuracy | None:
        """`counts` on the shift, `clean` on its class-matched view, `clean_full` on the whole clean set."""
        prefix = {"counts": "", "clean": "clean_", "clean_full": "clean_full_"}[view]
        found = self.content.get(view)
        if isinstance(found, Mapping):
            n, k = found["n"], found["n_correct"]
        else:
            n, k = self.content.get(f"{prefix}n"), self.content.get(f"{prefix}n_correct")
        return None if not n or k is None else Accuracy(k, n)


def read_records(root: Path) -> list[Record]:
    """Every record below a results folder, ordered by path."""
    found = []
    for path in sorted(root.glob("**/record.json")):
        if any(part.startswith(".") for part in path.relative_to(root).parts):
            continue
        try:
            found.append(Record(json.loads(path.read_text(encoding="utf-8")), path.parent))
        except (OSError, ValueError) as error:
            raise UsageProblem(f"{path} cannot be read as a record ({error}): move it away or evaluate again") from None
    return found


def from_records(
    name: str,
    records: Iterable[Record],
    families: Mapping[str, str],
    note: str | None = None,
    answers: bool = True,
) -> Baseline:
    """A baseline of evaluated models, in the order they come; a model without a family is its own.

    answers  whether to read per-image answers too, of the shifts where every member has them

    Of two runs that differ in the number of images alone, the fuller counts. Raises UsageProblem where a model was evaluated
    on a shift in two other ways (two heads, two weights, two precisions), and where protocols differ.
    """
    by_model: dict[str, dict[str, Record]] = {}
    for record in fullest(records):
        by_model.setdefault(record.asked("model"), {})[record.asked("shift")] = record
    protocols = sorted({str(r.asked("protocol")) for shifts in by_model.values() for r in shifts.values()})
    if len(protocols) > 1:
        raise UsageProblem(
            f"a baseline has one protocol; these records have {', '.join(protocols)}: evaluate them alike"
        )
    made = tuple(_member(model, shifts, families.get(model, model)) for model, shifts in by_model.items())
    kept = _answers(by_model) if answers else None
    return Baseline(name, made, protocols[0] if protocols else "effrob", "effrob", note, kept)


WAYS = {
    "head": "head",
    "prompts": "prompts",
    "head_digest": "training or prompts of the head",
    "model_digest": "weights or code under one name",
    "layer": "layer",
    "precision": "precision",
    "pixel_path": "pixel path",
    "pixels": "preprocessing",
    "protocol": "protocol",
}


def fullest(records: Iterable[Record]) -> list[Record]:
    """One record a model and shift, in the order they come: of several, the one of most images."""
    found: dict[tuple[str, str], Record] = {}
    for record in records:
        before = found.setdefault((record.asked("model"), record.asked("shift")), record)
        if before is not record:
            found[record.asked("model"), record.asked("shift")] = fuller(before, record)
    return list(found.values())


def fuller(first: Record, second: Record) -> Record:
    """Of two records of one model on one shift, that of more images. Raises UsageProblem where they differ in more."""
    apart = [name for name in WAYS if first.asked(name) != second.asked(name)]
    counts = [record.counts("counts") for record in (first, second)]
    n = [0 if found is None else found.n for found in counts]
    if not apart and n[0] != n[1]:
        return first if n[0] > n[1] else second
    where = f"{first.asked('model')} was evaluated on {first.asked('shift')} twice"
    if not apart and counts[0] == counts[1]:
        return first
    if not apart:
        raise UsageProblem(f"{where}, on two copies of the set, with different answers: keep the records of one copy")
    said = [
        f"{WAYS[name]} {first.asked(name)} and {second.asked(name)}"
        if all(isinstance(r.asked(name), str) and not name.endswith("digest") for r in (first, second))
        else WAYS[name]
        for name in apart
        if name != "head_digest" or len(apart) == 1
    ]
    raise UsageProblem(
        f"{where}, by different {', '.join(said)}: name one by --head and --prompts, or move one's records away"
    )


def suite_of(shift: str) -> str:
    """The clean set a shift goes with: `pocket` or `imagenet`."""
    return "pocket" if shift.startswith("pocket") else "imagenet"


def _member(model: str, shifts: Mapping[str, Record], family: str) -> Member:
    accuracies, clean, full = {}, {}, {}
    for suite in CLEAN_SETS:
        stated = [shifts[suite].counts("counts")] if suite in shifts else []
        stated += [record.counts("clean_full") for shift, record in shifts.items() if suite_of(shift) == suite]
        full[suite] = next((counts for counts in stated if counts is not None), None)
    for shift, record in shifts.items():
        counts, matched = record.counts("counts"), record.counts("clean")
        if shift in CLEAN_SETS:
            continue
        if counts is not None:
            accuracies[shift] = counts
        if matched is not None:
            clean[shift] = matched
    first, second = full["imagenet"], full["pocket"]
    if first is None or second is None:
        return Member(model, family, accuracies, first or second, clean)
    other = {shift: second for shift in accuracies if suite_of(shift) == "pocket"}
    return Member(model, family, accuracies, first, clean, other)


def _answers(by_model: Mapping[str, Mapping[str, Record]]) -> BaselineAnswers | None:
    on_shift, on_clean = {}, {}
    for shift in dict.fromkeys(shift for records in by_model.values() for shift in records):
        folders = {model: records[shift].folder for model, records in by_model.items() if shift in records}
        known = {model: folder for model, folder in folders.items() if folder is not None}
        files = [folder / file for folder in known.values() for file in ("predictions.npz", "clean.npz")]
        if known and len(known) == len(folders) and all(path.is_file() for path in files):
            on_shift[shift], on_clean[shift] = _table(known, "predictions.npz"), _table(known, "clean.npz")
    return BaselineAnswers(on_shift, on_clean) if on_shift else None


def _table(folders: Mapping[str, Path], file: str) -> PredictionMatrix:
    """Members' answers side by side, in the first one's image order."""
    table: PredictionMatrix | None = None
    correct, predicted = [], []
    for folder in folders.values():
        columns = read_npz(folder / file, ("id", "target", "predicted", "correct"))
        if table is None:
            shape = (0, len(columns["id"]))
            empty = np.zeros(shape, np.bool_), np.zeros(shape, np.int64)
            table = PredictionMatrix((), columns["id"].astype(str), columns["target"].astype(np.int64), *empty)
        order = table.order(columns["id"].astype(str))
        correct.append(columns["correct"].astype(np.bool_)[order])
        predicted.append(columns["predicted"].astype(np.int64)[order])
    assert table is not None
    return PredictionMatrix(tuple(folders), table.ids, table.target, np.array(correct), np.array(predicted))


def read_npz(path: Path, names: Sequence[str]) -> dict[str, Any]:
    """Named arrays of an .npz without pickles. Raises UsageProblem where the file is torn or lacks one."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in names}
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise UsageProblem(f"{path} is not a readable file of per-image answers ({error}): build it again") from None


def measured(results: Path) -> Baseline:
    """The user's own supervised models: every complete record with the native head below `results`.

    A zero-shot model is what a line judges, not what it is made of; build a named baseline to choose otherwise.
    """
    records = [r for r in read_records(results) if r.asked("head") == "native" and not r.content.get("partial")]
    if not records:
        raise UsageProblem(
            f"baseline measured wants complete records with the native head, and {results} holds none: run `effrob eval`"
        )
    return from_records("measured", records, {}, f"native-head records below {results}")
