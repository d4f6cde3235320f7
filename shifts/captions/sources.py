"""Captioned images as (id, caption), from what contrastive trainers read: an open_clip CSV, WebDataset shards, pocket-web.

Each also says where its images lie, so that a labelled list made of it can be read again.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from shifts.errors import DataError, DataMissing
from shifts.layout import locate, open_set
from shifts.storage.folder import FolderTree
from shifts.storage.tar import TarTree
from shifts.storage.tree import FileStat, Tree, checked_path

_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")


class CaptionedShards:
    """A folder of WebDataset shards as one tree: an image's path is SHARD.tar/KEY.jpg, no class is wanted."""

    def __init__(self, folder: Path, names: Sequence[str] | None = None) -> None:
        if not folder.is_dir():
            raise DataMissing(f"no folder of shards {folder}")
        self.folder = folder
        self.where = str(folder)
        self.names = tuple(names) if names is not None else tuple(sorted(path.name for path in folder.glob("*.tar")))
        if not self.names:
            raise DataMissing(f"{folder} holds no .tar shards")
        self._open: dict[str, TarTree] = {}

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """Every image of every shard, in string order."""
        return tuple(f"{name}/{path}" for name in self.names for path in self.shard(name).paths)

    def shard(self, name: str) -> TarTree:
        """One shard; KeyError where there is none of that name."""
        if name not in self._open:
            path = self.folder / checked_path(name, self.where)
            if "/" in name or not path.is_file():
                raise KeyError(name)
            self._open[name] = TarTree(path)
        return self._open[name]

    def read(self, path: str) -> bytes:
        """The bytes of one member; KeyError where there is none."""
        name, _, inner = path.partition("/")
        return self.shard(name).read(inner)

    def stat(self, path: str) -> FileStat:
        """The member's size and its shard's time."""
        name, _, inner = path.partition("/")
        return self.shard(name).stat(inner)


@dataclass(frozen=True)
class CaptionedImages:
    """Images with captions. `images_in` is one entry: `set`, `folder` or `shards`, as a labelled list's manifest has it."""

    name: str
    images_in: Mapping[str, str]
    tree: Tree
    rows: Iterator[tuple[str, str]]


def open_images(images_in: Mapping[str, str], root: Path | None, beside: Path) -> Tree:
    """The tree a manifest names: a known set under the data folder, a folder, or a folder of shards.

    A relative folder lies beside the list that names it.
    """
    if "set" in images_in:
        if root is None:
            raise DataMissing(f"the images are those of {images_in['set']}; give --data DIR or set EFFROB_DATA")
        return open_set(images_in["set"], root)
    if "shards" in images_in:
        return CaptionedShards(beside / images_in["shards"])
    if "folder" in images_in:
        return FolderTree(beside / images_in["folder"])
    raise DataError(f"a list's images lie in a set, a folder or shards; found {', '.join(images_in)}")


def captioned(
    source: str, root: Path | None = None, columns: tuple[str, str] = ("filepath", "title"), separator: str = "\t"
) -> CaptionedImages:
    """Open a source: `pocket-web`, a CSV file, a shard, a folder of shards, or shards as `…/{000000..000123}.tar`."""
    if source == "pocket-web":
        if root is None or locate("pocket-web", root) is None:
            raise DataMissing("pocket-web was not found; `effrob data get pocket-web` draws it")
        tree = open_set("pocket-web", root)
        held = locate("pocket-web", root)
        assert held is not None
        rows = ((row.image, row.text) for row in _csv_rows(held / "captions.csv", columns, separator))
        return CaptionedImages("pocket-web", {"set": "pocket-web"}, tree, rows)
    shards = _shards(source)
    if shards is not None:
        folder, names = shards
        held_in = CaptionedShards(folder, names)
        called = names[0] if names is not None and len(names) == 1 else folder.resolve().name
        return CaptionedImages(called, {"shards": str(folder.resolve())}, held_in, _shard_rows(held_in))
    path = Path(source)
    if not path.is_file():
        raise DataMissing(f"no captions at {source}; name a CSV file, a folder of WebDataset shards, or pocket-web")
    return _csv_images(path, columns, separator)


def _shards(source: str) -> tuple[Path, tuple[str, ...] | None] | None:
    """Folder and shard names, None for every one; None where the source is no shards."""
    path = Path(source)
    match = _RANGE.search(path.name)
    if match:
        width, head, tail = len(match[1]), path.name[: match.start()], path.name[match.end() :]
        first, last = int(match[1]), int(match[2])
        if first > last:
            raise DataMissing(f"{source} counts from {first} down to {last}; write the smaller number first")
        names: list[str] = []
        for number in range(first, last + 1):
            names.append(f"{head}{number:0{width}d}{tail}")
            if not (path.parent / names[-1]).is_file():
                raise DataMissing(f"{source} names {last - first + 1:,} shards; {path.parent / names[-1]} is not there")
        return path.parent, tuple(names)
    if path.is_dir():
        return path, None
    return (path.parent, (path.name,)) if path.suffix == ".tar" else None


def _shard_rows(tree: CaptionedShards) -> Iterator[tuple[str, str]]:
    """Images with the text of the same key; a key ends at the first dot of the file name, as webdataset has it."""
    for name in tree.names:
        shard = tree.shard(name)
        for path in shard.paths:
            folder, slash, file = path.rpartition("/")
            try:
                text = shard.read(f"{folder}{slash}{file.partition('.')[0]}.txt").decode("utf-8", "replace")
            except KeyError:
                text = ""
            yield f"{name}/{path}", text


class CsvRow(NamedTuple):
    """A row of a captions CSV, and the line it ends on."""

    line: int
    image: str
    text: str


def _csv_images(path: Path, columns: tuple[str, str], separator: str) -> CaptionedImages:
    """A CSV's images under the deepest folder they share. Relative paths are sought beside the file, then from here."""
    first = next(_csv_rows(path, columns, separator), None)
    if first is None:
        raise DataError(f"{path} holds no rows; give a file of {columns[0]} and {columns[1]}")
    absolute = os.path.isabs(first.image)  # noqa: PTH117  half a million Paths would take seconds
    top = os.path.abspath(path.parent if os.path.exists(path.parent / first.image) else ".")  # noqa: PTH100, PTH110  links stay
    if absolute:
        folders = set()
        for row in _csv_rows(path, columns, separator):
            if not os.path.isabs(row.image):  # noqa: PTH117
                raise DataError(
                    f"line {row.line:,} of {path} has a relative path below absolute ones; write all in one way"
                )
            folders.add(os.path.dirname(row.image))  # noqa: PTH120
        top = os.path.commonpath(folders)
    skip = len(top.rstrip("/")) + 1 if absolute else 0
    if not Path(top).is_dir():
        raise DataMissing(
            f"{path} names images under {top}, which is not there; mend its paths or put the images there"
        )
    rows = (
        (checked_path(row.image[skip:].removeprefix("./"), f"line {row.line:,} of {path}"), row.text)
        for row in _csv_rows(path, columns, separator)
    )
    return CaptionedImages(path.name, {"folder": top}, FolderTree(Path(top)), rows)


def _csv_rows(path: Path, columns: tuple[str, str], separator: str) -> Iterator[CsvRow]:
    """Rows as open_clip's trainer reads them (quotes quote); DataError with the line of a row that is short."""
    if not path.is_file():
        raise DataMissing(f"no captions file {path}")
    if len(separator) != 1 or separator in '\r\n"':
        raise DataError(f"columns are separated by one character, a tab or a comma; got {separator!r}")
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines: list[str] = []  # of the row that is being read
        reader = csv.reader(_kept(file, lines), delimiter=separator)
        try:
            header = next(reader, [])
            places = [header.index(column) if column in header else -1 for column in columns]
            if min(places) < 0:
                raise DataError(
                    f"{path} must have the columns {columns[0]} and {columns[1]}, separated by {separator!r}; it has {header}"
                )
            lines.clear()
            for row in reader:
                if len(row) <= max(places):
                    raise DataError(
                        f"line {reader.line_num:,} of {path} has {len(row)} of {len(header)} columns; mend it"
                    )
                if len(lines) > 1 and _open_quote(lines, separator):
                    raise DataError(
                        f"line {reader.line_num - len(lines) + 1:,} of {path} opens a quote that nothing closes; mend it"
                    )
                lines.clear()
                yield CsvRow(reader.line_num, row[places[0]], row[places[1]])
        except csv.Error as error:
            raise DataError(f"line {reader.line_num + 1:,} of {path} cannot be read ({error}); mend it") from None
        except UnicodeDecodeError:
            raise DataError(f"line {_undecodable(path):,} of {path} is not UTF-8; save the file in UTF-8") from None


def _kept(file: Iterable[str], lines: list[str]) -> Iterator[str]:
    for line in file:
        lines.append(line)
        yield line


def _open_quote(lines: Sequence[str], separator: str) -> bool:
    """Whether a row over several lines ends with its file and not with its quote."""
    try:
        list(csv.reader(lines, delimiter=separator, strict=True))
    except csv.Error as error:
        return "unexpected end of data" in str(error)
    return False


def _undecodable(path: Path) -> int:
    """The number of the first line that is not UTF-8."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return number
    return 1
