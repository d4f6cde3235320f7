"""Tree: files by relative path, in a folder or an archive, and the image source made of it.

Every form of storage implements `Tree`: loaders treat them alike, and equal data has equal ids and an equal digest in
each.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from shifts.errors import DataError, DataMissing
from shifts.labels import Ints

BARE = "without suffix"
NAMED = "named as a text"  # without suffix, and with a name that archives give to their texts
TEXT_NAME = re.compile(
    r"(read_?me|licen[cs]e|copying|copyright|notice|authors|citation|change(log|s)|version|manifest|(md5|sha\d+)(sums?)?|"
    r"checksums?|makefile)([-_].*)?|imagenet_to_label_2012_v2",  # the last is ObjectNet's
    re.IGNORECASE,
)
IMAGE_SUFFIXES = frozenset(
    {".jpeg", ".jpg", ".jpe", ".jfif", ".png", ".webp", ".avif", ".gif", ".bmp", ".ppm", ".pgm", ".tif", ".tiff"}
)
TEXTS = frozenset(
    {".txt", ".md", ".json", ".csv", ".xml", ".pdf", ".py", ".html", ".mat", ".tar", ".zip", ".gz", ".tgz", NAMED}
)  # what archives add, and archives themselves
SHOWN = 3  # suffixes that a sentence names
HASHING_THREADS = 4
TICK_NS = 20_000_000  # longer than the clock that file systems take their times from needs for a step


class FileStat(NamedTuple):
    """Size in bytes, and which file it is: time of modification and of any change, in nanoseconds, device and inode.

    A file replaced by another of its size and time, or written to and given its old time back, differs in the last three.
    """

    size: int
    mtime_ns: int
    ctime_ns: int = 0
    device: int = 0
    inode: int = 0

    @classmethod
    def of(cls, status: os.stat_result, size: int | None = None) -> FileStat:
        """What `os.stat` says; of a part of a file, with the part's size."""
        held = status.st_size if size is None else size
        return cls(held, status.st_mtime_ns, status.st_ctime_ns, status.st_dev, status.st_ino)


@runtime_checkable
class Tree(Protocol):
    """Read-only files under relative POSIX paths. `paths` holds the images alone, in string order."""

    @property
    def where(self) -> str:
        """Where the files lie, for messages."""

    @property
    def paths(self) -> Sequence[str]:
        """Relative paths of the images, sorted."""

    def read(self, path: str) -> bytes:
        """The bytes of one file, image or not. Safe to call from several threads. KeyError where there is none."""

    def stat(self, path: str) -> FileStat:
        """Size, time and identity of one file, asked anew."""


def is_image(path: str) -> bool:
    """False for README.txt, .DS_Store, resource forks, anything hidden or under __MACOSX, and unknown suffixes."""
    pure = PurePosixPath(path)
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in pure.parts)
    return not hidden and pure.suffix.lower() in IMAGE_SUFFIXES


def is_sidecar(name: str) -> bool:
    """True for what macOS and file managers put beside a file: `._NAME`, `.DS_Store`, anything under __MACOSX, `Thumbs.db`."""
    parts = name.removeprefix("./").split("/")
    return (
        "__MACOSX" in parts
        or parts[-1].startswith("._")
        or parts[-1].lower() in (".ds_store", "thumbs.db", "desktop.ini", "icon\r")
    )


def counted_suffix(path: str) -> str | None:
    """The suffix that a file is counted under where it is passed over; None for an image and for what systems add."""
    if is_image(path) or is_sidecar(path):
        return None
    pure = PurePosixPath(path)
    return pure.suffix.lower() or (NAMED if TEXT_NAME.fullmatch(pure.name) else BARE)


def checked_path(path: str, where: str) -> str:
    """The path itself where it stays inside its tree; DataError for an absolute one, a `..`, or one that is no text."""
    parts = path.split("/")
    if (
        not path
        or path.startswith("/")
        or "\\" in path
        or "\0" in path
        or any(part in {"", ".", ".."} for part in parts)
    ):
        raise DataError(f"{where} names the file {path!r}, which would lie outside it; nothing was read")
    try:
        path.encode()
    except UnicodeEncodeError:
        raise DataError(f"{where} holds a file whose name is not UTF-8: {path!r}; rename it") from None
    return path


def skipped_in(tree: Tree) -> Mapping[str, int]:
    """Suffix -> how many files of a tree were passed over as no images; empty where the form does not count them."""
    skipped: Mapping[str, int] = getattr(tree, "skipped", {})
    return skipped


def passed_over(tree: Tree) -> Mapping[str, int]:
    """Suffix -> how many files of a tree were passed over and may be pictures: all but the texts that archives add."""
    skipped = skipped_in(tree)
    return {suffix: n for suffix, n in skipped.items() if suffix not in TEXTS}


def unread_images(tree: Tree) -> str | None:
    """A sentence on the files of a tree whose suffixes are not read; None where there are but texts beside the images."""
    unread = passed_over(tree)
    if not unread:
        return None
    most = sorted(unread.items(), key=lambda each: (-each[1], each[0]))
    kinds = ", ".join(f"{n:,} {suffix}" for suffix, n in most[:SHOWN]) + (", ..." if len(most) > SHOWN else "")
    total = sum(unread.values())
    return (
        f"{total:,} file{'s' if total > 1 else ''} of {tree.where} left out, of suffixes that are not read ({kinds}); convert "
        f"what is a picture"
    )


@dataclass(frozen=True)
class RenamedTree:
    """The files of a tree under the paths that the official folders give them.

    stored  path -> the path it has in `tree`; one that is not named is the same in both
    """

    tree: Tree
    stored: Mapping[str, str]

    @property
    def where(self) -> str:
        """Where the files lie, for messages."""
        return self.tree.where

    @property
    def paths(self) -> Sequence[str]:
        """The paths, sorted."""
        return sorted(self.stored)

    @property
    def skipped(self) -> Mapping[str, int]:
        """Suffix -> how many files of it were passed over as no images."""
        return skipped_in(self.tree)

    def read(self, path: str) -> bytes:
        """The bytes of one file; KeyError where there is none."""
        return self.tree.read(self.stored.get(path, path))

    def stat(self, path: str) -> FileStat:
        """Size, time and identity of one file, asked anew."""
        return self.tree.stat(self.stored.get(path, path))


def stored_path(tree: Tree, path: str) -> str:
    """The path under which a file is stored."""
    return tree.stored.get(path, path) if isinstance(tree, RenamedTree) else path


def digest_of(ids: Sequence[str], files: NDArray[np.uint8]) -> str:
    """SHA-256 over (id, SHA-256 of the content) of every file: a source's digest. files: (n, 32), as `file_digests` gives."""
    digest = hashlib.sha256()
    for path, sha in zip(ids, files, strict=True):
        digest.update(f"{path}\0{sha.tobytes().hex()}\n".encode())
    return digest.hexdigest()


@runtime_checkable
class StoredInOrder(Protocol):
    """A tree whose bytes are read faster in the order they lie in."""

    def storage_order(self, paths: Sequence[str]) -> Iterable[int]:
        """Indices of `paths` in that order."""


@dataclass(frozen=True)
class TreeSource:
    """An ImageSource over some files of a tree, in the order of `ids`."""

    tree: Tree
    ids: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)

    def read(self, index: int) -> bytes:
        """The file's bytes, as stored. DataMissing where the file was there when the set was listed, and no longer is."""
        try:
            return self.tree.read(self.ids[index])
        except KeyError:
            file = f"{self.tree.where}/{stored_path(self.tree, self.ids[index])}"
            raise DataMissing(
                f"{file} was there when the set was listed and is gone; put it back and run this again: what was "
                f"computed is kept"
            ) from None

    def stat(self) -> str:
        """SHA-256 over the id and the `FileStat` of every file.

        Waits, for some milliseconds at most, until a change made from now on gets a time of its own.
        """
        digest, newest = hashlib.sha256(), 0
        for path in self.ids:
            size, mtime_ns, ctime_ns, device, inode = self.tree.stat(path)
            newest = max(newest, ctime_ns)
            digest.update(f"{path}\0{size}\0{mtime_ns}\0{ctime_ns}\0{device}\0{inode}\n".encode())
        if 0 <= (age := time.time_ns() - newest) < TICK_NS:
            time.sleep((TICK_NS - age) / 1e9)
        return digest.hexdigest()

    def digest(self) -> str:
        """SHA-256 over (id, SHA-256 of the content) of every file: no times, no place, so equal data agree anywhere."""
        return digest_of(self.ids, self.file_digests())

    def file_digests(self) -> NDArray[np.uint8]:
        """(n, 32) the SHA-256 of each file's content."""

        def content(path: str) -> bytes:
            return hashlib.sha256(self.tree.read(path)).digest()

        ordered: Iterable[int] = range(len(self.ids))
        if isinstance(self.tree, StoredInOrder):
            ordered = self.tree.storage_order(self.ids)
        rows, shas = list(ordered), np.empty((len(self.ids), 32), dtype=np.uint8)
        with ThreadPoolExecutor(HASHING_THREADS) as pool:
            for start in range(0, len(rows), 4096):  # bounded: a million futures at once would cost a gigabyte
                chunk = rows[start : start + 4096]
                for row, sha in zip(chunk, pool.map(content, (self.ids[row] for row in chunk)), strict=True):
                    shas[row] = np.frombuffer(sha, dtype=np.uint8)
        return shas

    def as_stored(self) -> tuple[TreeSource, Ints] | None:
        """The images by their stored paths, in string order, and the place of each of this source's there; None where they
        are called the same."""
        if not isinstance(self.tree, RenamedTree):
            return None
        stored = [stored_path(self.tree, id) for id in self.ids]
        order = sorted(range(len(stored)), key=stored.__getitem__)
        places = np.empty(len(stored), dtype=np.int64)
        places[order] = np.arange(len(stored))
        return TreeSource(self.tree.tree, tuple(stored[i] for i in order)), places

    def select(self, rows: Ints) -> TreeSource:
        """The same files, only these rows, in this order."""
        return TreeSource(self.tree, tuple(self.ids[int(row)] for row in rows))
