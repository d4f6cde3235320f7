"""What a declared set holds: its images, or their ids alone, and the label each of them has as text.

One function a form: `folder`, `list`, `shards`, `parquet`, `labels`. No class table is involved yet.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shifts.classes import plain_folders
from shifts.errors import DataError, DataMissing
from shifts.labels import Ints
from shifts.shift import ImageSource
from shifts.storage.folder import FolderTree
from shifts.storage.forms import files_in, form_of
from shifts.storage.shards import ShardTree
from shifts.storage.tables import ParquetTree, named_labels
from shifts.storage.tar import TarTree
from shifts.storage.tree import Tree, TreeSource, checked_path
from shifts.storage.zip import ZipTree


@dataclass(frozen=True)
class Contents:
    """Images in string order of their ids, with a label each; `where` for messages."""

    source: ImageSource
    labels: tuple[str, ...]
    where: str


@dataclass(frozen=True)
class LabelSource:
    """Ids without images: what a bare label file gives. Answers made elsewhere are imported for it; nothing can be read."""

    ids: tuple[str, ...]
    where: str

    def read(self, index: int) -> bytes:
        """Raises DataMissing: there are labels alone."""
        raise DataMissing(
            f"{self.where} holds labels and no images, so no model can be run on it; bring its predictions with "
            f"`effrob import`, or declare its images as folder, list, shards or parquet"
        )

    def stat(self) -> str:
        """SHA-256 over the ids."""
        return hashlib.sha256("\n".join(self.ids).encode()).hexdigest()

    def digest(self) -> str:
        """SHA-256 over the ids; never equal to a digest over images."""
        return hashlib.sha256("\n".join(("labels alone", *self.ids)).encode()).hexdigest()

    def select(self, rows: Ints) -> LabelSource:
        """Only these ids, in this order."""
        return LabelSource(tuple(self.ids[int(row)] for row in rows), self.where)


def read_contents(form: str, path: Path, classes: Sequence[str] | None) -> Contents:
    """The set at `path` in one of the forms of `shifts.declared.suite.FORMS`.

    classes  in index order, where the suite lists them: numbers in labels and shards count in it
    Raises DataMissing where nothing lies there, DataError where it is not what the form says.
    """
    if not path.exists():
        raise DataMissing(f"{path} is not there; put the set there, or name another place as {form} in the suite file")
    told = {".parquet": "parquet", ".tar": "shards"}.get(form_of(path) or "")
    if form == "folder" and told is not None and (path.is_dir() or told == "parquet"):
        form = told  # a place named by --at may be in another form than the suite file's
    if form not in _READERS:
        raise DataError(f"sets in the form {form} cannot be declared; write them as {', '.join(_READERS)}")
    contents = _READERS[form](path, classes)
    if not contents.labels:
        raise DataError(f"{contents.where} holds no images; put the set there, or name another place as {form}")
    return contents


def _folder(path: Path, classes: Sequence[str] | None) -> Contents:
    tree: Tree
    if path.is_dir():
        tree = FolderTree(path)
    elif path.suffix == ".zip":
        tree = ZipTree(path, "")
    else:
        tree = TarTree(path, "")
    return _from_tree(tree)


def _from_tree(tree: Tree) -> Contents:
    """Images as CLASS/IMAGE, at any depth below CLASS."""
    loose = next((path for path in tree.paths if "/" not in path), None)
    if loose is not None:
        raise DataError(
            f"{tree.where} holds {loose} outside of a class folder; a folder holds its images as CLASS/IMAGE"
        )
    return Contents(TreeSource(tree, tuple(tree.paths)), tuple(p.partition("/")[0] for p in tree.paths), tree.where)


def _shards(path: Path, classes: Sequence[str] | None) -> Contents:
    if classes is None:
        raise DataError(
            f'{path}: shards need the classes by name; list them in the suite file, or give classes = "imagenet"'
        )
    shards = files_in(path, ".tar") if path.is_dir() else ()
    return _from_tree(ShardTree(path, tuple(classes), shards=shards))


def _parquet(path: Path, classes: Sequence[str] | None) -> Contents:
    """Rows of image and label; without classes in the suite file, the table's schema or its label texts name them."""
    files = [path] if path.is_file() else files_in(path, ".parquet")
    names = classes if classes is not None else named_labels(files)
    return _from_tree(ParquetTree(path, files, plain_folders(path.name, tuple(names))))


def _list(path: Path, classes: Sequence[str] | None) -> Contents:
    """Rows of (path, label); paths are relative to the list's own folder."""
    rows = read_rows(path, ("path", "label"))
    tree = FolderTree(path.parent)
    gone = [id for id in rows if not (path.parent / id).is_file()]
    if gone:
        raise DataMissing(
            f"{path} lists {len(gone):,} images that are not there, {gone[0]} first; put them beside the list"
        )
    ids = tuple(sorted(rows))
    return Contents(TreeSource(tree, ids), tuple(_named(rows[id], classes) for id in ids), str(path))


def _labels(path: Path, classes: Sequence[str] | None) -> Contents:
    rows = read_rows(path, ("id", "label"))
    ids = tuple(sorted(rows))
    return Contents(LabelSource(ids, str(path)), tuple(_named(rows[id], classes) for id in ids), str(path))


_READERS: Mapping[str, Callable[[Path, Sequence[str] | None], Contents]] = {
    "folder": _folder,
    "list": _list,
    "shards": _shards,
    "parquet": _parquet,
    "labels": _labels,
}


def read_rows(path: Path, columns: tuple[str, str]) -> dict[str, str]:
    """A CSV file of two columns as {first: second}. DataError for other columns and for a first that is there twice."""
    rows: dict[str, str] = {}
    for number, first, second in read_pairs(path, columns):
        if first in rows:
            raise DataError(f"line {number:,} of {path} has the {columns[0]} {first} a second time; leave it once")
        rows[checked_path(first, f"line {number:,} of {path}")] = second
    return rows


def read_pairs(path: Path, columns: tuple[str, str]) -> Iterator[tuple[int, str, str]]:
    """(line, first, second) of a CSV file with these two columns; others are passed over."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as opened:
            reader = csv.DictReader(opened)
            header = tuple(reader.fieldnames or ())
            if not set(columns) <= set(header):
                raise DataError(
                    f"{path} must have the columns {' and '.join(columns)}; it has {', '.join(header) or 'none'}"
                )
            for row in reader:
                first, second = (str(row[column] or "").strip() for column in columns)
                if not first or not second:
                    raise DataError(
                        f"line {reader.line_num:,} of {path} lacks a {columns[0] if not first else columns[1]}; fill it"
                    )
                yield reader.line_num, first, second
    except FileNotFoundError:
        raise DataMissing(f"{path} is not there; put it there, or name another in the suite file") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as CSV in UTF-8 ({error}); save it so") from None


def _named(label: str, classes: Sequence[str] | None) -> str:
    """A label as a class: itself, or the class of that number where the classes are listed and none is called so."""
    if (
        classes is not None
        and label not in classes
        and label.isascii()
        and label.isdigit()
        and int(label) < len(classes)
    ):
        return classes[int(label)]
    return label


def selected(contents: Contents, keep: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Contents:
    """Only the images where `keep` is true."""
    rows = np.flatnonzero(keep).astype(np.int64)
    return Contents(contents.source.select(rows), tuple(contents.labels[int(row)] for row in rows), contents.where)
