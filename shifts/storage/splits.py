"""Splits by their names: which files, folders or samples of a place belong to the set, when it also holds others.

Splits are never merged, and a training split is never read as a test set. Files whose names say nothing, beside files that
name a split, are refused rather than guessed at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath

from shifts.classes import ClassFolders
from shifts.errors import DataError

SPLITS: Mapping[str, str] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_BEGINS = re.compile(r"(train|test|validation|val(?=sets?$|data$|split$|train|test))")
_ENDS = re.compile(r"(train|training|test|testing|validation|val)$")
_PLAIN_WORDS = frozenset(
    {"latest", "greatest", "contest", "interval", "oval", "retrieval", "removal", "original", "approval"}
)
PUBLISHED_AS_TRAIN = frozenset(
    {"imagenet-sketch"}
)  # test sets whose one split is called `train` on the Hugging Face hub
SHOWN = 3  # files that a refusal names


class AbsentSplit(DataError):
    """A place holds other splits alone."""


def split_in(name: str) -> str | None:
    """The split that a file's or folder's name speaks of; joined by " and " where it speaks of several; None for none."""
    said = set()
    for word in re.findall(r"[a-z]+", name.lower()):
        if word in SPLITS:
            said.add(SPLITS[word])
        elif word not in _PLAIN_WORDS:
            said.update(SPLITS[match[1]] for match in (_BEGINS.match(word), _ENDS.search(word)) if match)
    return " and ".join(sorted(said)) or None


def split_of(file: PurePath, below: Path) -> str | None:
    """The split that a file's name and the folders between it and `below` speak of."""
    parts = file.relative_to(below).parts if file.is_relative_to(below) else (file.name,)
    said = {split for part in parts if (split := split_in(part))}
    return " and ".join(sorted({each for split in said for each in split.split(" and ")})) or None


def files_of_split(path: Path, files: Sequence[Path], classes: ClassFolders) -> list[Path]:
    """The files of the split that the set is: all of them where no name speaks of splits."""
    by_split: dict[str | None, list[Path]] = {}
    for file in files:
        by_split.setdefault(split_of(file, path), []).append(file)
    if set(by_split) == {None}:
        return by_split[None]
    if None in by_split:
        raise _vague(str(path), by_split, classes)
    return by_split[chosen([split for split in by_split if split is not None], classes, str(path))]


def check_samples(where: str, splits: Iterable[tuple[str, str | None]], classes: ClassFolders) -> str | None:
    """The split of samples to read, from (name, split said); None where no sample names one. DataError where that is vague."""
    by_split: dict[str | None, list[str]] = {}
    for name, split in splits:
        by_split.setdefault(split, []).append(name)
    if set(by_split) <= {None}:
        return None
    if None in by_split:
        raise _vague(where, by_split, classes)
    return chosen([split for split in by_split if split is not None], classes, where)


def _vague(where: str, by_split: Mapping[str | None, Sequence[Path | str]], classes: ClassFolders) -> DataError:
    names = {
        split: ", ".join(each.name if isinstance(each, Path) else each for each in held[:SHOWN])
        for split, held in by_split.items()
    }
    known = "; ".join(f"{name} (of {split})" for split, name in names.items() if split is not None)
    return DataError(
        f"{where} holds {names[None]}, whose split is not named, beside {known}; keep each split in a folder of its own, and "
        f"name the one of {classes.name} with --at {classes.name}=PATH"
    )


def chosen(splits: Iterable[str], classes: ClassFolders, where: str) -> str:
    """The split that the set is. DataError where it is not among those that are there."""
    held = sorted(splits)
    found = next((split for split in wanted(classes) if split in held), None)
    if found is None:
        raise AbsentSplit(
            f"{where} holds the split {', '.join(held)} and not the one {classes.name} is, {' or '.join(wanted(classes))}; "
            f"get that one too, or name its file or folder with --at {classes.name}=PATH"
        )
    return found


def wanted(classes: ClassFolders) -> tuple[str, ...]:
    """Splits a set may be kept in, the likeliest first. A test set is never in `train`, but where it is published so."""
    if classes.teaches:
        return ("train",)
    if classes.held_out:
        return ("validation", "test")
    return ("test", "validation", *(("train",) if classes.name in PUBLISHED_AS_TRAIN else ()))


def split_folder(tops: Iterable[str], classes: ClassFolders, where: str) -> str | None:
    """Of the folders of a place, the one of the set's split; None where none names a split. DataError where that is vague."""
    by_split: dict[str | None, list[str]] = {}
    for top in sorted(tops):
        by_split.setdefault(split_in(top), []).append(top)
    if set(by_split) <= {None}:
        return None
    splits = [split for split in by_split if split is not None]
    if None in by_split and not set(wanted(classes)) & set(splits):
        raise _vague(where, by_split, classes)
    folders = by_split[chosen(splits, classes, where)]
    if len(folders) > 1:
        raise DataError(
            f"{where} holds {' and '.join(folders)}, which are one split; name the one of {classes.name} with "
            f"--at {classes.name}=PATH"
        )
    return folders[0]
