"""ImageNet-Captions: the captions of ImageNet training images, checked and joined to the images.

`read_captions` counts every oddity and leaves out, by name and number, only what has no image or no class. From what is
kept, `select` draws subsets that nest: the half holds the quarter.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from shifts.captions.oddities import LEFT_OUT, Tally, filename_wnid, of_texts, readable, safe_filename
from shifts.captions.records import CaptionRecord, RecordFile
from shifts.classes import ClassTable
from shifts.errors import DataError

OFFICIAL = 463_622  # records of the published file
SMALL_CLASS = 50


@dataclass(frozen=True)
class CaptionReport:
    """What a captions file holds. Counts are of records; `outside` maps foreign wnids to theirs, `left_out` reasons.

    images            images of the training set the records were joined to; None where none was given
    names_its_class   records whose texts hold their class's name, in any case
    """

    file: str
    sha256: str
    records: int
    kept: int
    left_out: dict[str, int]
    outside: dict[str, int]
    oddities: list[dict[str, Any]]
    images: int | None
    names_its_class: int

    @property
    def uncaptioned(self) -> int | None:
        """Images without a kept record."""
        return None if self.images is None else self.images - self.kept

    def as_json(self) -> dict[str, Any]:
        """Plain data, strict JSON."""
        kept = {k: v for k, v in self.__dict__.items() if k != "oddities"}
        return {**kept, "uncaptioned": self.uncaptioned, "oddities": self.oddities}


@dataclass(frozen=True)
class Captions:
    """Records in string order of their ids, one an image, all of a class of the table."""

    table: ClassTable
    records: tuple[CaptionRecord, ...]
    report: CaptionReport

    def __len__(self) -> int:
        return len(self.records)

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids in order."""
        return tuple(record.id for record in self.records)

    def per_class(self) -> dict[str, int]:
        """Class id -> images, every class of the table in its order."""
        counts = Counter(record.wnid for record in self.records)
        return {id: counts[id] for id in self.table.ids}

    def kept(self, records: Iterable[CaptionRecord]) -> Captions:
        """The same file with only these records."""
        return replace(self, records=tuple(records))


def read_captions(
    path: Path, table: ClassTable, images: Collection[str] | None = None, wnid: Literal["record", "filename"] = "record"
) -> Captions:
    """Read and check a captions file, and join it to a training set.

    images  ids of the training images, CLASS/FILE; None: no join, every record of a class is kept
    wnid    where a record's class is read: its own key, or the beginning of its file name (mends a foreign wnid)

    DataMissing where there is no file; DataError, with the record's number, for one that is malformed.
    """
    file, tally, outside = RecordFile(path), Tally(), Counter[str]()
    known = None if images is None else images if isinstance(images, set | frozenset | dict) else frozenset(images)
    kept: dict[str, CaptionRecord] = {}
    spoken = {id: _spoken(name) for id, name in zip(table.ids, table.names, strict=True)}
    number = named = 0
    for number, record, odd in file:
        written = filename_wnid(record.filename)
        names = [*odd, *of_texts(record)]
        if written is not None and written != record.wnid:
            names.append("wnid-mismatch")
            if wnid == "filename":
                record = record._replace(wnid=written)
        id, reason = record.id, None
        if not safe_filename(record.filename):
            reason = "unsafe-filename"
        elif record.wnid not in table.index:
            reason = "wnid-outside"
            outside[readable(record.wnid)] += 1
        elif id in kept:
            reason = "duplicate" if kept[id] == record else "duplicate-conflict"
        elif known is not None and id not in known:
            reason = "image-missing"
        tally.add(number, id, names if reason is None else [*names, reason])
        if reason is None:
            kept[id] = record
            named += spoken[record.wnid].search(" ".join((record.title, record.description, *record.tags))) is not None
    left_out = {reason: tally.counts[reason] for reason in LEFT_OUT}
    report = CaptionReport(
        path.name, file.sha256, number, len(kept), left_out, dict(sorted(outside.items())), tally.as_json(),
        None if known is None else len(known), named,
    )  # fmt: skip
    return Captions(table, tuple(kept[id] for id in sorted(kept)), report)


def _spoken(name: str) -> re.Pattern[str]:
    """The class name in any case, also run together or with hyphens, as tags have it."""
    return re.compile(r"[\s_-]?".join(re.escape(word) for word in name.split()), re.IGNORECASE)


def select(
    captions: Captions,
    seed: int = 0,
    fraction: float | None = None,
    per_class: int | None = None,
    classes: Collection[str] | None = None,
) -> Captions:
    """A subset that depends on ids and seed alone, never on the order of the file.

    fraction   of every class, at least one image of each that has any; a smaller fraction is inside a larger one
    per_class  at most so many images of every class
    classes    only these class ids

    DataError for a fraction outside (0, 1], a count below 1, or a class the table lacks.
    """
    if fraction is not None and not 0 < fraction <= 1:
        raise DataError(f"a fraction lies above 0 and at most at 1, got {fraction}")
    if per_class is not None:
        check_per_class(per_class)
    if classes is not None and (foreign := sorted(set(classes) - set(captions.table.ids))):
        raise DataError(f"{foreign[0]} is no class of {captions.table.name}; give class ids of it, one a line")
    by_class: dict[str, list[CaptionRecord]] = {}
    for record in captions.records:
        if classes is None or record.wnid in classes:
            by_class.setdefault(record.wnid, []).append(record)
    chosen: list[CaptionRecord] = []
    for records in by_class.values():
        n = len(records)
        if fraction is not None:
            n = max(1, math.floor(fraction * n + 0.5))
        if per_class is not None:
            n = min(n, per_class)
        chosen += records if n == len(records) else sorted(records, key=lambda record: draw(seed, record.id))[:n]
    return captions.kept(sorted(chosen, key=lambda record: record.id))


def check_per_class(per_class: int) -> None:
    """DataError for a number of images a class below 1."""
    if per_class < 1:
        raise DataError(f"at least 1 image a class was wanted, got {per_class}")


def random_classes(table: ClassTable, n: int, seed: int = 0) -> tuple[str, ...]:
    """n classes of the table drawn with a seed, in table order; smaller draws are inside larger ones."""
    if not 1 <= n <= len(table.ids):
        raise DataError(f"{table.name} has {len(table.ids)} classes; {n} cannot be drawn from them")
    drawn = set(sorted(table.ids, key=lambda id: draw(seed, id))[:n])
    return tuple(id for id in table.ids if id in drawn)


def draw(seed: int, id: str) -> bytes:
    """A place in a random order that an id keeps whatever else is there."""
    return hashlib.blake2b(f"{seed}\0{id}".encode(), digest_size=16).digest()


def statistics(captions: Captions) -> dict[str, Any]:
    """Class sizes, and for each kind of text how many records have it and how long it is (words, characters)."""
    sizes = np.array(list(captions.per_class().values()), dtype=np.int64)
    fields: dict[str, Any] = {}
    for field, texts in (
        ("title", (record.title for record in captions.records)),
        ("description", (record.description for record in captions.records)),
        ("tags", (" ".join(record.tags) for record in captions.records)),
    ):
        fields[field] = _lengths([text for text in texts if text.strip()])
    tags = np.array([len(record.tags) for record in captions.records], dtype=np.int64)
    return {
        "images": len(captions),
        "classes": len(sizes),
        "empty_classes": [id for id, n in captions.per_class().items() if n == 0],
        "classes_below_50": int((sizes < SMALL_CLASS).sum()),
        "class_size": {"min": int(sizes.min()), "median": float(np.median(sizes)), "max": int(sizes.max())},
        "tags_a_record": float(tags.mean()) if len(tags) else 0.0,
        "texts": fields,
    }


def _lengths(texts: Sequence[str]) -> dict[str, Any]:
    words = np.array([text.count(" ") + 1 for text in texts] or [0])
    characters = np.array([len(text) for text in texts] or [0])
    facts = {
        name: {"mean": round(float(of.mean()), 3), "median": float(np.median(of)), "p95": float(np.percentile(of, 95))}
        for name, of in (("words", words), ("characters", characters))
    }
    return {"records": len(texts), **facts}
