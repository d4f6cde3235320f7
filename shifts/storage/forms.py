"""From a path to the tree that reads it: folder, tar, zip, shards, Parquet, saved dataset or record files.

The form is told by the files. Class folders are found below folders that hold nothing else. Splits are told by their names
and never merged: a test set is read from its validation or test split, a training set from `train`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from shifts.classes import ClassFolders
from shifts.errors import DataError, DataMissing
from shifts.evidence.official_names import val_number
from shifts.storage.arrow import ArrowTree
from shifts.storage.folder import FolderTree, leads_to_file
from shifts.storage.shards import SUFFIX, ShardTree
from shifts.storage.splits import SPLITS, files_of_split, split_folder, split_in, split_of, wanted
from shifts.storage.tables import ParquetTree
from shifts.storage.tar import TarTree
from shifts.storage.tfrecords import RecordTree
from shifts.storage.tree import FileStat, Tree, is_image, is_sidecar, skipped_in
from shifts.storage.zip import ZipTree

_RECORDS = re.compile(r".*\.tfrecord(-\d+-of-\d+)?$")


@dataclass(frozen=True)
class OpenedPlace:
    """A tree, the form it is kept in, and where its root lies."""

    tree: Tree
    form: str
    path: Path


@dataclass(frozen=True)
class InnerTree:
    """The files of a tree below one of its folders, `prefix` with its slash."""

    tree: Tree
    prefix: str

    @property
    def where(self) -> str:
        """Where the files lie, for messages."""
        return f"{self.tree.where}/{self.prefix.rstrip('/')}"

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """Relative paths of the images, sorted."""
        return tuple(path.removeprefix(self.prefix) for path in self.tree.paths if path.startswith(self.prefix))

    @property
    def skipped(self) -> Mapping[str, int]:
        """Suffix -> how many files of it were passed over as no images."""
        return skipped_in(self.tree)

    def read(self, path: str) -> bytes:
        """The bytes of one file; KeyError where there is none."""
        return self.tree.read(self.prefix + path)

    def stat(self, path: str) -> FileStat:
        """Size and time of one file."""
        return self.tree.stat(self.prefix + path)


def open_place(path: Path, classes: ClassFolders, follow_links: bool = False) -> OpenedPlace:
    """The images of a set at `path`, whatever form they are in. DataMissing where nothing lies there."""
    if not path.exists():
        raise absent(path, classes.name)
    if path.is_dir():
        return _open_folder(path, classes, follow_links)
    name = path.name.lower()
    if name.endswith(SUFFIX):
        return OpenedPlace(ShardTree(path, classes), "shards", path)
    if name.endswith(".parquet"):
        return OpenedPlace(ParquetTree(path, [path], classes), "parquet", path)
    if name.endswith(".arrow"):
        return OpenedPlace(ArrowTree(path, [path], classes), "arrow", path)
    if name.endswith(".zip"):
        return OpenedPlace(_rooted(ZipTree(path), classes), "zip", path)
    if name.endswith((".tar", ".tar.gz", ".tgz")):
        if name.endswith(".tar") and _is_shard(path, classes):
            return OpenedPlace(ShardTree(path.parent, classes, shards=[path]), "shards", path)
        return OpenedPlace(_rooted(TarTree(path), classes), "tar", path)
    if _RECORDS.fullmatch(name):
        return OpenedPlace(RecordTree(path, [path], classes), "tfrecord", path)
    raise DataError(
        f"{path} is no form of a set that is read; give a folder, a .tar, .zip, .parquet or .arrow file, or a folder of shards"
    )


def absent(path: Path, name: str) -> DataMissing:
    """The refusal of a place of the set `name` where nothing lies."""
    return DataMissing(f"{path} is not there; name the folder or file of {name}")


def _is_shard(path: Path, classes: ClassFolders | None) -> bool:
    """Whether a tar holds samples: a label beside a picture of the same key. DataError for a damaged one.

    A .json beside pictures that lie in class folders is no label but a note on the picture.
    """
    names = TarTree(path).names
    pictures = [name for name in names if is_image(name)]
    filed = classes is not None and any(
        classes.is_class(part) for name in pictures[:100] for part in name.split("/")[:-1]
    )
    labels = {name.partition(".")[0] for name in names if name.endswith(".cls" if filed else (".cls", ".json"))}
    return bool(labels) and any(name.partition(".")[0] in labels for name in pictures)


def _open_folder(path: Path, classes: ClassFolders, follow_links: bool) -> OpenedPlace:
    held = _files_of_form(path, classes)
    if held is not None:
        suffix, files = held
        return _open_files(path, suffix, files_of_split(path, files, classes), classes)
    inner = _split_folder(path, classes)
    if inner is not None:
        return _open_folder(inner, classes, follow_links)
    if (path / "dataset_dict.json").is_file():
        held_splits = sorted(entry.name for entry in path.iterdir() if entry.is_dir() and _files_of_form(entry))
        raise DataError(
            f"{path} is a saved dataset of the splits {' and '.join(held_splits) or 'that are not there'}, none of them called "
            f"{' or '.join(wanted(classes))}; name the one with {classes.name} in it: --at {classes.name}={path}/"
            f"{held_splits[0] if held_splits else 'SPLIT'}"
        )
    tree = FolderTree(path, follow_links)
    if any(classes.is_class(entry.name) and not is_image(entry.name) for entry in path.iterdir()):
        return OpenedPlace(tree, "folder", path)
    rooted = _rooted(tree, classes)
    if isinstance(rooted, InnerTree):
        root = path / rooted.prefix.rstrip("/")
        return OpenedPlace(FolderTree(root, follow_links), "folder", root)
    return OpenedPlace(tree, "folder", path)


def _open_files(path: Path, suffix: str, files: Sequence[Path], classes: ClassFolders) -> OpenedPlace:
    if suffix == ".tar":
        return OpenedPlace(ShardTree(path, classes, shards=files), "shards", path)
    if suffix == ".parquet":
        return OpenedPlace(ParquetTree(path, files, classes), "parquet", path)
    if suffix == ".arrow":
        return OpenedPlace(ArrowTree(path, files, classes), "arrow", path)
    return OpenedPlace(RecordTree(path, files, classes), "tfrecord", path)


def _files_of_form(path: Path, classes: ClassFolders | None = None) -> tuple[str, list[Path]] | None:
    """The shards, tables or record files of a folder, of its `data` or of its split folders; None where it has none."""
    above = (path, path / "data", path / "default")  # the hub calls the one configuration of a dataset `default`
    below = [folder for folder in above if folder.is_dir()]
    splits = sorted(inner for folder in below for inner in folder.iterdir() if inner.is_dir() and split_in(inner.name))
    for folders in (*([folder] for folder in above), splits):
        files: dict[str, list[Path]] = {}
        for folder in folders:
            with os.scandir(folder) if folder.is_dir() else nullcontext(()) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    form = _form_of(entry.name)
                    if form is not None and leads_to_file(entry):
                        files.setdefault(form, []).append(Path(entry.path))
        for form in (".parquet", ".arrow", ".tfrecord", ".tar"):
            held = files.get(form, [])
            if held and (form != ".tar" or path.name.endswith(SUFFIX) or _is_shard(held[0], classes)):
                return form, held
    return None


def files_in(path: Path, form: str) -> list[Path]:
    """The files of a form, ".parquet" or ".tar", in a folder of one split. DataError for a folder of several, or of none."""
    held = _files_of_form(path)
    if held is None or held[0] != form:
        raise DataError(f"{path} holds no {form} files of a set; put them there")
    splits = {split_of(file, path) for file in held[1]}
    if len(splits) > 1:
        raise DataError(
            f"{path} holds the splits {' and '.join(sorted(map(str, splits)))}; move each into its own folder and name one"
        )
    return held[1]


def form_of(path: Path) -> str | None:
    """The form, ".parquet", ".arrow", ".tfrecord" or ".tar", of a file or of what a folder holds; None for class folders."""
    if path.is_file():
        return _form_of(path.name)
    held = _files_of_form(path)
    return None if held is None else held[0]


def _form_of(name: str) -> str | None:
    if name.startswith(".") or is_sidecar(name) or name.startswith("cache-"):
        return None
    if _RECORDS.fullmatch(name.lower()):
        return ".tfrecord"
    return next((suffix for suffix in (".parquet", ".arrow", ".tar") if name.lower().endswith(suffix)), None)


def _split_folder(path: Path, classes: ClassFolders) -> Path | None:
    """The folder of the set's split where `path` holds split folders and no class folders."""
    folders = [entry.name for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith((".", "__"))]
    if any(map(classes.is_class, folders)):
        return None
    top = split_folder(folders, classes, str(path))
    return None if top is None else path / top


def _rooted(tree: Tree, classes: ClassFolders) -> Tree:
    """The tree from the folder on that holds the class folders, or the images themselves."""
    prefix = class_root(tree.paths, classes, tree.where)
    return InnerTree(tree, prefix) if prefix else tree


def class_root(paths: Iterable[str], classes: ClassFolders, where: str = "it") -> str:
    """The folders, ending in a slash, that stand above every class folder or every image of the set; "" for none.

    A folder that holds every image is stepped into unless it is a class itself; of folders that are splits, the set's own.
    """
    every = list(paths)
    prefix = ""
    while every:
        tops = {path[len(prefix) :].partition("/")[0] for path in every}
        whole = all("/" in path[len(prefix) :] for path in every)
        if not whole or any(classes.is_class(top) for top in tops) or f"{min(tops)}/" == classes.prefix:
            return prefix
        if len(tops) > 1 or min(tops).lower() in SPLITS:
            split = split_folder(tops, classes, where)
            if split is None:
                return prefix
            top = split
            every = [path for path in every if path.startswith(f"{prefix}{top}/")]
        else:
            (top,) = tops
            if _is_last(every, prefix + top):
                return prefix
        prefix += f"{top}/"
    return prefix


def _is_last(paths: Sequence[str], folder: str) -> bool:
    """Whether a folder that is no class holds images that only a class folder could hold: the loader refuses it by name."""
    inside = [path[len(folder) + 1 :] for path in paths]
    return not any("/" in path for path in inside) and not all(val_number(path) for path in inside)
