"""What the name of an image says of its class, and the check that it agrees with the label the image has.

ImageNet validation images are known by the number in their stem, whatever their suffix; any class id inside a name counts
as well. A label that contradicts the name is refused: one of the two is wrong, and accuracy would be wrong without a word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

import numpy as np

from shifts.classes import DATA, ClassFolders
from shifts.errors import DataError
from shifts.labels import Ints

VAL_STEM = re.compile(r"ILSVRC2012_val_(\d{8})(?:_n\d{8})?(?:\.[A-Za-z0-9]+)?", re.IGNORECASE)
EMBEDDED = re.compile(r"ILSVRC2012[_-]val[_-]0*(\d+)", re.IGNORECASE)  # in a name that other things were added to
CLASS_ID = re.compile(r"(?<![A-Za-z0-9])([np]\d{8})(?![0-9])")
_HUB_NAME = re.compile(r"(ILSVRC2012_(?:val|test)_\d{8}|n\d{8}_\d+)_n\d{8}(?=\.|$)", re.IGNORECASE)
_OFFICIAL_JPEG = re.compile(r"((?:ILSVRC2012_val_\d{8}|n\d{8}_\d+|sketch_\d+)\.)jpe?g", re.IGNORECASE)

_SUFFIXES = {
    "imagenet": "JPEG",
    "imagenet-train": "JPEG",
    "imagenet-sketch": "JPEG",
    "imagenet-r": "jpg",
    "imagenet-a": "jpg",
}


@cache
def val_labels() -> Ints:
    """(50000,) class index of validation image number 1, 2, and on."""
    with np.load(DATA / "imagenet_val_labels.npz", allow_pickle=False) as stored:
        labels: Ints = stored["labels"].astype(np.int64)
    return labels


def val_number(path: str) -> int | None:
    """The number in an official validation name, with any image suffix and with a class id behind it; None for other names."""
    match = VAL_STEM.fullmatch(path.rpartition("/")[2])
    return int(match[1]) if match and 1 <= int(match[1]) <= len(val_labels()) else None


class Claim(NamedTuple):
    """A class id that a part of an image's name stands for."""

    part: str
    class_id: str


def claims(name: str, of: ClassFolders) -> list[Claim]:
    """The classes that an image's path speaks of: its official number, class ids in its file name, class folders above it."""
    table = of.table
    folder, _, file = name.rpartition("/")
    said = []
    match = EMBEDDED.search(file) if table.name == "imagenet" else None
    number = int(match[1]) if match and len(match[1]) < 6 else 0
    if 1 <= number <= len(val_labels()):
        said.append(Claim(f"validation image {number}", table.ids[int(val_labels()[number - 1])]))
    ids = CLASS_ID.findall(file) if "n" in file or "p" in file else []
    said += [Claim(id, id) for id in ids if id in table.index]
    for part in folder.split("/") if folder else ():
        if part in table.index:
            said.append(Claim(part, part))
        elif part in of.class_ids and part not in table.index:
            ids_of = of.class_ids[part]
            if len(ids_of) == 1:
                said.append(Claim(part, next(iter(ids_of))))
    return said


def check_names(where: str, named: Iterable[tuple[str, str]], of: ClassFolders) -> None:
    """Refuse labels that the images' names contradict.

    named  (name, class folder) of each image; the name is a path as it is stored, without the folder of its label
    Raises DataError with the first such image and their number.
    """
    wrong = 0
    first = ""
    for name, folder in named:
        allowed = of.class_ids[folder]
        for claim in claims(name, of):
            if claim.class_id not in allowed:
                wrong += 1
                if not first:
                    said = claim.part if claim.part == claim.class_id else f"{claim.part}, of {claim.class_id}"
                    first = f"{name} is labelled {folder} and its name says {said}"
                break
    if wrong:
        raise DataError(
            f"{where}: {first}; {wrong:,} image{'s have' if wrong > 1 else ' has'} a name that contradicts its label or "
            f"class folder. Sort the images by the class table of their source"
        )


def canonical(file: str) -> str:
    """A stored file name as the official archive has it: no class id of the hub's behind it, official images in .JPEG."""
    if file.endswith(".JPEG") and "_n" not in file:  # quick for a million files
        return file
    return _OFFICIAL_JPEG.sub(r"\1JPEG", _HUB_NAME.sub(r"\1", file))


def official_suffix(suffix: str, name: str) -> str:
    """The suffix that the archive of set `name` gives its JPEG files, in place of another one for JPEG; others as they are."""
    if suffix.lower() not in ("jpg", "jpeg"):
        return suffix
    return "jpeg" if name.startswith("imagenet-v2") else _SUFFIXES.get(name, suffix)
