"""The results folder: one write-once folder a record, named by the record's key.

    RESULTS/<model>/<shift>/<head>-<key>/record.json  predictions.npz  [clean.npz]

A folder appears whole or not at all; a second writer of the same key must agree with the first.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from effrob.errors import EffrobError, RecordConflict
from effrob.files import strict_json, whole_folder
from effrob.results.predictions import Predictions, load_predictions
from effrob.results.record import EvalRecord, EvalSpec, from_json
from effrob.results.recount.rows import count as count
from shifts import Suite, declare, known_suite
from shifts.bounds.files import parse_json, read_bytes


def slug(text: str) -> str:
    """A file name for any text: letters, digits, dot, dash and underscore stay, everything else becomes a dash.

    It never begins with a dot: hidden folders hold drafts, and no reader looks into them.
    """
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip(".-")[-80:].lstrip(".") or "model"


@dataclass(frozen=True)
class Stored:
    """A record and the folder it lies in."""

    record: EvalRecord
    folder: Path

    def predictions(self) -> Predictions:
        """The per-image rows on the shift, checked against the record's digest."""
        digest = self.record.files.get("predictions.npz")
        if digest is None:
            raise EffrobError(f"{self.folder / 'record.json'} states no digest of its predictions: evaluate again")
        return load_predictions(self.folder / "predictions.npz", digest)

    def clean_predictions(self) -> Predictions | None:
        """The per-image rows on the class-matched clean view, or None where the record has none."""
        if "clean.npz" not in self.record.files:
            return None
        return load_predictions(self.folder / "clean.npz", self.record.files["clean.npz"])


@dataclass(frozen=True)
class ResultStore:
    """Records below one folder."""

    root: Path

    def folder(self, asked: EvalSpec) -> Path:
        """Where a record lies: no time and no random part in the name."""
        head = asked.head.replace("/", "-").lstrip(".")
        if asked.prompts is not None:
            head += f"-{slug(asked.prompts)}"
        return self.root / slug(asked.model) / slug(asked.shift) / f"{head}-{asked.key()[:16]}"

    def find(self, asked: EvalSpec) -> Stored | None:
        """The record of this question, or None. Raises EffrobError where the folder is there and unreadable."""
        folder = self.folder(asked)
        return read(folder) if (folder / "record.json").is_file() else None

    def write(self, record: EvalRecord, predictions: Predictions, clean: Predictions | None) -> Stored:
        """Keep a record with its predictions. Raises RecordConflict where the key is taken by other counts."""
        folder = self.folder(record.asked)
        with whole_folder(folder) as draft:
            files = {"predictions.npz": predictions.save(draft / "predictions.npz")}
            if clean is not None:
                files["clean.npz"] = clean.save(draft / "clean.npz")
            complete = EvalRecord(**{**record.__dict__, "files": files})
            (draft / "record.json").write_text(strict_json(complete.as_json()), encoding="utf-8")
        stored = read(folder)
        if (stored.record.counts, stored.record.clean) != (complete.counts, complete.clean):
            raise RecordConflict(
                f"{folder} holds other counts for the same question, and is kept: where it is to be replaced, "
                f"`rm -r {shlex.quote(str(folder))}` and run this again"
            )
        return stored

    def __iter__(self) -> Iterator[Stored]:
        """Every record, ordered by folder. Raises EffrobError naming the first that cannot be read."""
        if self.root.is_dir():
            for path in sorted(self.root.glob("*/*/*/record.json")):
                if not path.parent.name.startswith("."):
                    yield read(path.parent)


def read(folder: Path) -> Stored:
    """The record of one folder, recounted from its files: the one way by which records are read.

    Raises EffrobError naming the file that is torn, foreign or edited, and whatever the record says that its ids, its answers
    and the shipped tables contradict.
    """
    from effrob.results.recount.remembered import recounted  # a board of published tables alone has no use for it

    path = folder / "record.json"
    try:
        content = read_bytes(path)
        record = from_json(parse_json(content, _no_number))
        _declare_suite(record)
    except (OSError, ValueError, RecursionError, EffrobError) as error:
        raise EffrobError(f"{path} cannot be read as a record: {error}") from error
    recounted(record, folder, content)
    return Stored(record, folder)


def _declare_suite(record: EvalRecord) -> None:
    """Make a suite of the user's own known from its record, so that tables have its titles where its file is not."""
    told = record.resolved.get("suite")
    if told is not None and known_suite(record.asked.shift) is None:
        try:
            declare(Suite.from_json(told))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"its suite cannot be read ({error})") from error


def _no_number(name: str) -> None:
    raise ValueError(f"strict JSON has no {name}")
