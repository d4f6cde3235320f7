"""Samples with a label each, as shards and tables hold them, read as the class folders that the set has elsewhere.

The path of a sample is CLASS/FILE, as the official archive would have it, so that ids and digests are those of the folders.
Every statement about its class must agree: labels, class ids in columns and sidecars, folders and numbers in its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from shifts.classes import OUTSIDE, ClassFolders
from shifts.errors import DataError
from shifts.evidence.label_names import folders_called, named_order
from shifts.evidence.official_names import canonical, check_names
from shifts.storage.splits import SPLITS, check_samples, split_in, wanted
from shifts.storage.tree import FileStat, checked_path

MAX_DIGITS = 18  # of a label that is a number: int() refuses thousands of them


class Sample(NamedTuple):
    """One image: its name, what is said of its class (numbers or texts, the binding one first), and where it lies.

    also  other names that are stored for it, which speak of its class as `name` does
    """

    name: str
    labels: tuple[int | str, ...]
    file: Path
    place: Any
    size: int | None = None
    split: str | None = None  # what a column says of the split
    also: tuple[str, ...] = ()


class SampleTree:
    """Samples as a tree. A form of storage adds `_samples`, `_bytes` and, where it names its classes, `_class_names`."""

    def __init__(self, path: Path, classes: ClassFolders) -> None:
        self.where = str(path)
        self.classes = classes

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.where!r})"

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """Relative paths of the images, sorted."""
        return tuple(sorted(self._placed))

    def read(self, path: str) -> bytes:
        """The bytes of one image; KeyError where there is none."""
        return self._bytes(self._placed[path], path)

    def stat(self, path: str) -> FileStat:
        """The image's size where the format tells it, else its file's; and which file that is."""
        sample = self._placed[path]
        return FileStat.of(sample.file.stat(), sample.size)

    def storage_order(self, paths: Sequence[str]) -> Iterable[int]:
        """Indices of `paths` in the order their bytes lie: reading so touches each file once, front to back."""
        placed = self._placed
        return sorted(range(len(paths)), key=lambda i: (str(placed[paths[i]].file), placed[paths[i]].place))

    def empty_among(self, paths: Sequence[str]) -> list[str]:
        """Those of `paths` that hold no bytes."""
        return [path for path in paths if self._size_of(self._placed[path]) == 0]

    def _size_of(self, sample: Sample) -> int:
        return sample.file.stat().st_size if sample.size is None else sample.size

    def _samples(self) -> Iterator[Sample]:
        raise NotImplementedError

    def _bytes(self, sample: Sample, path: str) -> bytes:
        raise NotImplementedError

    def _images(self) -> Iterator[tuple[Path, Sequence[Any], Any]]:
        """(file, places of some rows, the bytes of their images), one part of the tables after the other."""
        raise NotImplementedError

    def _class_names(self) -> Sequence[str] | None:
        """What labels 0, 1, ... are called, as the storage itself says."""
        return None

    @cached_property
    def _placed(self) -> dict[str, Sample]:
        every = self._of_split(list(self._samples()))
        labelled = zip(every, _folders_of(every, self.classes, self._class_names(), self.where), strict=True)
        inside = [(sample, folder) for sample, folder in labelled if folder != OUTSIDE]
        samples, folders = [sample for sample, _ in inside], [folder for _, folder in inside]
        named = zip(samples, folders, strict=True)
        told = ((name, folder) for sample, folder in named for name in (sample.name, *sample.also))
        check_names(self.where, told, self.classes)
        placed: dict[str, Sample] = {}
        for sample, folder in zip(samples, folders, strict=True):
            file = canonical(sample.name.rpartition("/")[2])
            path = checked_path(f"{self.classes.prefix}{folder}/{file}", str(sample.file))
            if path in placed:
                path = self._another(path, sample, placed)
            placed[path] = sample
        return placed

    def _of_split(self, every: list[Sample]) -> list[Sample]:
        """The samples of the set's split, where a column or the folders in their names say of which they are."""
        told = [_said_split(sample, self.classes) for sample in every]
        if not any(told):
            unknown = sorted({sample.split for sample in every if sample.split is not None})
            if len(unknown) > 1:
                raise DataError(
                    f"{self.where} holds rows of {len(unknown):,} splits, {', '.join(unknown[:3])}, and no name says "
                    f"which of them is {self.classes.name}; call it {wanted(self.classes)[0]}, or keep its rows alone"
                )
            return every
        named = ((sample.name, split) for sample, split in zip(every, told, strict=True))
        chosen = check_samples(self.where, named, self.classes)
        return [sample for sample, split in zip(every, told, strict=True) if split == chosen]

    def _another(self, path: str, sample: Sample, placed: Mapping[str, Sample]) -> str:
        """A path for a second sample of one name: with its shard's name before it. DataError where it is the same image."""
        first = placed[path]
        if self._bytes(first, path) == self._bytes(sample, path):
            raise DataError(
                f"{sample.file} and {first.file} both hold {path}, with the same content; remove one of the two"
            )
        folder, _, file = path.rpartition("/")
        stem, suffix = sample.file.name.partition(".")[0], 0
        other = f"{folder}/{stem}-{file}"
        while other in placed:
            suffix += 1
            other = f"{folder}/{stem}-{suffix}-{file}"
        return other


def _said_split(sample: Sample, classes: ClassFolders) -> str | None:
    if sample.split is not None:
        return split_in(sample.split)
    for folder in sample.name.split("/")[:-1]:
        if folder.lower() in SPLITS and not classes.is_class(folder):
            return SPLITS[folder.lower()]
    return None


def _folders_of(samples: Sequence[Sample], classes: ClassFolders, names: Sequence[str] | None, where: str) -> list[str]:
    """The class folder of each sample. DataError where a label is no class, or two statements about one class differ."""
    numbers = {label for sample in samples for label in map(_number, sample.labels) if label is not None}
    order = _order(numbers, classes, names, where)
    meant: dict[int | str, frozenset[str] | None] = {}
    folders = []
    for sample in samples:
        folder: str | None = None
        for label in sample.labels:
            if label not in meant:
                number = _number(label)
                meant[label] = (
                    folders_called(str(label), classes)
                    if number is None
                    else frozenset({order[number]} if number in order else ())
                )
            may_be = meant[label]
            if (folder is None and len(may_be or ()) != 1) or (not may_be and isinstance(label, int)):
                unlabelled = "; a test split without labels cannot be scored" if str(label) == "-1" else ""
                raise DataError(
                    f"{sample.file} says the sample {sample.name.partition('.')[0]!r} is of class {str(label)[:40]!r}; "
                    f"a number under {len(classes.folders)} or a class folder is wanted{unlabelled}"
                )
            if folder is None:
                folder = next(iter(may_be or ()))
            elif may_be is not None and folder not in may_be and not (_number(label) is not None and not may_be):
                raise DataError(
                    f"{sample.file} says of {sample.name} both {sample.labels[0]!r} and {label!r}, which are two classes, "
                    f"{folder} and {min(may_be, default=f'one that {classes.name} lacks')}; make the copy again from its source"
                )
        if folder is None:
            raise DataError(f"{sample.file} holds {sample.name!r} without a label; {where} is not labelled")
        folders.append(folder)
    return folders


def _number(label: int | str) -> int | None:
    if isinstance(label, int):
        return label
    return int(label) if label.isascii() and label.isdigit() and len(label) <= MAX_DIGITS else None


def _order(numbers: set[int], classes: ClassFolders, names: Sequence[str] | None, where: str) -> Mapping[int, str]:
    """Label number -> class folder: by the names that the storage gives its labels, else in the set's or the table's order."""
    own = dict(enumerate(classes.folders))
    if not numbers:
        return own
    if names is None:
        if len(own) == len(classes.table.ids) or not numbers <= set(classes.by_index):
            return own
        if max(numbers) >= len(own):
            return classes.by_index
        if all(own[number] == classes.by_index[number] for number in numbers):
            return own
        raise DataError(
            f"{where} labels its images {', '.join(map(str, sorted(numbers)[:3]))}, which may count the {len(own)} classes of "
            f"{classes.name} or the {len(classes.table.ids)} of {classes.table.name}; label them by class ids"
        )
    return named_order(numbers, classes, names, where)
