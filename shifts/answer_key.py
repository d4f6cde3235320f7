"""The right answers of a set that is not at hand: from the ids of its images, or from its official order, without a picture.

The loaders that read a set from files read it from a list of names here, so every way to mistake one set for another is
refused in the same words. Images of such a set cannot be read.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import PurePosixPath

import numpy as np

from shifts import imagenet as clean_set
from shifts import imagenet_a, imagenet_r, imagenet_sketch, imagenet_v2, objectnet
from shifts.classes import class_folders, class_table, folder_order, imagenet, pocket
from shifts.declared.suites import known_suite
from shifts.errors import DataError, DataMissing
from shifts.labels import Ints, LabelSpace
from shifts.protocol import Protocol
from shifts.shift import Shift
from shifts.storage.class_folders import SetRequest, Terms, full_folders, subset_folders
from shifts.storage.tree import FileStat
from shifts.synthetic.pocket import READERS as POCKET_READERS
from shifts.synthetic.pocket import TERMS as POCKET_TERMS

Reader = Callable[[SetRequest], Shift]
VALIDATION = re.compile(r"ILSVRC2012_val_\d{8}(\.\w+)?", re.IGNORECASE)
ORDERS = ("official", "folders")
V2 = ("imagenet-v2", "imagenet-v2-threshold-0.7", "imagenet-v2-top-images")


@dataclass(frozen=True)
class ListedTree:
    """Names of files that are not here. `where` is the list they stand in."""

    where: str
    paths: tuple[str, ...]

    def read(self, path: str) -> bytes:
        raise KeyError(path)

    def stat(self, path: str) -> FileStat:
        raise DataMissing(f"{self.where} names images and holds none: their files are needed for this")


READERS: Mapping[str, tuple[Reader, Terms]] = {
    "imagenet": (clean_set.validation_set, clean_set.TERMS),
    "imagenet-real": (lambda asked: clean_set.with_real_labels(clean_set.validation_set(asked)), clean_set.TERMS),
    **dict.fromkeys(V2, (imagenet_v2.integer_folders, imagenet_v2.TERMS)),
    "imagenet-r": (lambda asked: subset_folders(asked, "r"), imagenet_r.TERMS),
    "imagenet-sketch": (lambda asked: full_folders(asked, clean="imagenet"), imagenet_sketch.TERMS),
    "objectnet": (objectnet.object_folders, objectnet.TERMS),
    "imagenet-a": (lambda asked: subset_folders(asked, "a"), imagenet_a.TERMS),
}


def has_key(name: str) -> bool:
    """Whether the answers of a set are known from its images' names alone."""
    return name in READERS


def answers_are_shipped(name: str) -> bool:
    """Whether the right answers of a set are shipped, the drawn pocket sets included."""
    return name in READERS or name in POCKET_READERS


def label_space(name: str, protocol: Protocol) -> LabelSpace:
    """The classes that a set of a shipped suite is asked among. Raises DataMissing for a set of none."""
    suite = known_suite(name)
    if suite is None or name not in suite.sets:
        raise DataMissing(f"{name} is of no shipped suite, so its classes are not known")
    of, table = suite.sets[name], class_table(str(suite.classes))
    if of.folder_names == "objects":
        return table.objects(protocol)
    return table.full() if of.subset is None else table.subset(of.subset)


def by_ids(name: str, ids: Sequence[str], where: str, protocol: Protocol, partial: bool = False) -> tuple[Shift, Ints]:
    """The set with these images, and (n,) the position in `ids` of each of its rows.

    ids are paths inside the set, with any folders before them, or official file names. DataError names an id given twice,
    one that the set cannot hold, and the classes whose counts differ from the official ones.
    """
    reader, terms = READERS[name]
    paths = [_inside(name, id) for id in ids]
    twice = next((path for path, count in Counter(paths).items() if count > 1), None)
    if twice is not None:
        raise _repeated(where, twice)
    held = "imagenet" if name == "imagenet-real" else name
    asked = SetRequest(
        held, ListedTree(where, tuple(sorted(paths))), imagenet(), protocol, partial, terms, as_listed=True
    )
    shift = reader(asked)
    place = {path: i for i, path in enumerate(paths)}
    return shift, np.array([place[id] for id in shift.ids], dtype=np.int64)


def by_labels(
    name: str, labels: Sequence[int], keys: Sequence[str], where: str, protocol: Protocol, partial: bool = False
) -> tuple[Shift, Ints]:
    """The same where the file of answers brings labels and no names the set knows: keys stand for its images.

    labels count the set's own classes, or all of the class table's. DataError where classes and counts are not the set's.
    """
    table, suite = imagenet(), known_suite(name)
    assert suite is not None
    folders = folder_order(suite.sets[name], table)
    if labels and max(labels) >= len(folders):
        index = {str(table.index.get(folder, folder)): folder for folder in folders}
        folders = tuple(index.get(str(k), table.ids[k]) for k in range(len(table.ids)))
    strange = next((k for k in labels if not 0 <= k < len(folders)), None)
    if strange is not None:
        raise DataError(f"{where} holds the label {strange}, and {name} has 0 to {len(folders) - 1}: count from 0")
    paths = [f"{folders[k]}/{key.replace('/', '_')}" for k, key in zip(labels, keys, strict=True)]
    twice = next((path for path, count in Counter(paths).items() if count > 1), None)
    if twice is not None:
        raise _repeated(where, twice)
    reader, terms = READERS[name]
    shift = reader(
        SetRequest(name, ListedTree(where, tuple(sorted(paths))), table, protocol, partial, terms, as_listed=True)
    )
    place = {path: i for i, path in enumerate(paths)}
    return shift, np.array([place[id] for id in shift.ids], dtype=np.int64)


def listed(
    name: str, ids: Sequence[str], where: str, protocol: Protocol, view: Sequence[str] = ()
) -> tuple[Shift, Ints]:
    """The set of exactly these ids, as its loader would read files of such names, and the position in `ids` of each row.

    view  class ids, where the images are those of some classes alone
    Any part of a set will do: the Shift says whether it is partial. Raises DataMissing for a set without a shipped key, and
    DataError for ids given twice, of another set, or whose names contradict the folders they lie in.
    """
    if name in POCKET_READERS:
        reader, terms, table = POCKET_READERS[name], POCKET_TERMS, pocket()
    elif name in READERS:
        (reader, terms), table = READERS[name], imagenet()
    else:
        raise DataMissing(f"the right answers of {name} are not shipped")
    twice = next((id for id, count in Counter(ids).items() if count > 1), None)
    if twice is not None:
        raise DataError(f"{where} answers {twice} more than once")
    held = "imagenet" if name == "imagenet-real" else name
    shift = reader(
        SetRequest(held, ListedTree(where, tuple(sorted(ids))), table, protocol, True, terms, True, tuple(view))
    )
    place = {id: i for i, id in enumerate(ids)}
    left_out = len(ids) - len(shift)
    if left_out:
        raise DataError(f"{where} answers {left_out:,} images that {name} does not ask about")
    if name == "imagenet-real":
        shift = replace(shift, partial=len(shift) != shift.n_expected)
    return shift, np.array([place[id] for id in shift.ids], dtype=np.int64)


def official_ids(name: str, order: str = "official") -> tuple[str, ...]:
    """Ids of a set in a known order; file names that are not published are `CLASS/0001` and so on."""
    table = imagenet()
    if name in ("imagenet", "imagenet-real"):
        labels = clean_set.val_labels()
        names = [f"ILSVRC2012_val_{number:08d}.JPEG" for number in range(1, len(labels) + 1)]
        if order == "official":
            return tuple(names)
        return tuple(sorted(f"{table.ids[label]}/{file}" for label, file in zip(labels.tolist(), names)))
    counts = table.expected[name].each if name in table.expected else None
    if counts is None:
        raise DataMissing(
            f"how many images each class of {name} has is not published, so its order is known from its files alone: give "
            "--ids FILE with one path a line, in the order of the answers, or --data DIR with the set"
        )
    folders = {str(table.index[c]): n for c, n in counts.items()} if name in V2 else counts
    return tuple(f"{folder}/{i:04d}" for folder in sorted(folders) for i in range(1, folders[folder] + 1))


def of_loaded(shift: Shift, ids: Sequence[str], where: str, partial: bool = False) -> tuple[Shift, Ints]:
    """The same for a set whose ids are at hand: its rows that are answered, and the position in `ids` of each.

    An id may have folders before it, or be the file name alone where that names one image. DataError names ids that are
    given twice, that are none of the set's, and the classes with images left out.
    """
    known = {id: row for row, id in enumerate(shift.ids)}
    short: dict[str, int] = {}
    for id, row in known.items():
        name = id.rpartition("/")[2]
        short[name] = -1 if name in short else row
    place = np.full(len(shift), -1, dtype=np.int64)
    for position, id in enumerate(ids):
        at = _row(id.strip().replace("\\", "/"), known, short)
        if at is None:
            near = get_close_matches(id, list(known)[:5000], n=1, cutoff=0.6)
            raise DataError(
                f"{where} answers {id!r}, which is no image of {shift.name}{f' (near {near[0]})' if near else ''}: give "
                f"answers of {shift.name}, by its own ids, as {shift.ids[0]}"
            )
        if place[at] >= 0:
            raise _repeated(where, shift.ids[at])
        place[at] = position
    left = np.flatnonzero(place < 0)
    if not len(left):
        return shift, place
    if not partial:
        lacking = Counter(shift.labels.class_ids[int(t)] for t in shift.targets[left]).most_common(3)
        first = ", ".join(f"{c}: {n} missing" for c, n in lacking)
        raise DataError(
            f"{where} answers {len(ids):,} of the {len(shift):,} images of {shift.name} ({first}; first "
            f"{shift.ids[int(left[0])]}); complete it, or give --partial to keep what is there"
        )
    rows = np.flatnonzero(place >= 0)
    accepted = None if shift.accepted is None else tuple(shift.accepted[int(i)] for i in rows)
    kept = replace(shift, rows=shift.rows[rows], targets=shift.targets[rows], accepted=accepted, partial=True)
    return kept, place[rows]


def _repeated(where: str, id: str) -> DataError:
    return DataError(f"{where} answers {id} more than once: keep one answer an image")


def _row(id: str, known: Mapping[str, int], short: Mapping[str, int]) -> int | None:
    parts = id.split("/")
    for start in range(len(parts)):
        row = known.get("/".join(parts[start:]))
        if row is not None:
            return row
    only = short.get(parts[-1], -1)
    return None if only < 0 else only


def _inside(name: str, id: str) -> str:
    """An id as the set's own path: its class folder and file name, or an official name alone."""
    parts = [part for part in PurePosixPath(id.strip().replace("\\", "/")).parts if part not in ("/", ".")]
    if not parts:
        raise DataError(f"an image's path inside {name} was wanted, found {id!r}: correct that id")
    known = VALIDATION.fullmatch(parts[-1])
    if known and name not in ("imagenet", "imagenet-real"):
        raise DataError(
            f"{id} is an image of imagenet's validation set, and answers on {name} were wanted: use --shift imagenet"
        )
    if name in ("imagenet", "imagenet-real"):
        if known and not known[1]:
            parts[-1] += ".JPEG"
        return parts[-1]
    if len(parts) > 1:
        parts[-2] = class_folders(name).worded(parts[-2]) or parts[-2]
    return "/".join(parts[-2:])
