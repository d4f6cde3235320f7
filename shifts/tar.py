"""An official archive read in place: an index of offsets over a plain tar, then one pread an image.

The suffix is not trusted (ImageNetV2's `.tar.gz` files are plain tars). Links, devices and paths that leave the archive
are refused. The index is kept in the user's cache folder under the archive's path, size and time. Knows no classes.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tarfile
import tempfile
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import platformdirs

from shifts.errors import DataError, DataMissing
from shifts.tree import FileStat, checked_path, is_image

INDEX_VERSION = 1


class Span(NamedTuple):
    """Where a file's bytes lie in the archive."""

    offset: int
    size: int


class TarTree:
    """Images of a plain tar, by their path under `inside`.

    inside  folder of the archive that is the set's root: "" for none, "*/" for the one top folder whatever its name.
            A member that is itself a tar (ILSVRC2012_img_train.tar) stands for a folder of its name.
    index   folder the offset index is kept in; the user's cache folder by default
    """

    def __init__(self, path: Path, inside: str = "", index: Path | None = None) -> None:
        if not path.is_file():
            raise DataMissing(f"no archive {path}")
        self.archive = path.resolve()
        self.inside = inside
        self.where = str(path)
        self._index_folder = index if index is not None else platformdirs.user_cache_path("effrob") / "archives"

    def __repr__(self) -> str:
        return f"TarTree({self.where!r}, {self.inside!r})"

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """Relative paths of the images, sorted; indexed once."""
        return tuple(path for path in self._spans if is_image(path))

    def read(self, path: str) -> bytes:
        """The bytes of one member; KeyError where there is none."""
        span = self._spans[path]
        file = os.open(self.archive, os.O_RDONLY)
        try:
            content = os.pread(file, span.size, span.offset)
        finally:
            os.close(file)
        if len(content) != span.size:
            raise DataError(f"{self.where} ends inside {path}: {len(content):,} of {span.size:,} bytes; fetch it anew")
        return content

    def stat(self, path: str) -> FileStat:
        """The member's size, and the archive's time: any change of the archive is a change of each member."""
        return FileStat(self._spans[path].size, self.archive.stat().st_mtime_ns)

    @cached_property
    def _spans(self) -> dict[str, Span]:
        found = self.archive.stat()
        key = f"{INDEX_VERSION}\0{self.archive}\0{self.inside}\0{found.st_size}\0{found.st_mtime_ns}"
        file = self._index_folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.npz"
        spans = _load_index(file)
        if spans is None:
            spans = dict(sorted(self._scan()))
            _save_index(file, spans)
        return spans

    def _scan(self) -> Iterator[tuple[str, Span]]:
        seen: set[str] = set()
        with self.archive.open("rb") as file:
            for name, span in self._members(file):
                path = checked_path(self._stripped(name), self.where)
                if path in seen:
                    raise DataError(f"{self.where} holds {path} twice; fetch it anew")
                seen.add(path)
                yield path, span

    def _members(self, file: BinaryIO) -> Iterator[tuple[str, Span]]:
        for member in self._files(file):
            span = Span(member.offset_data, member.size)
            if not member.name.endswith(".tar"):
                yield member.name, span
                continue
            file.seek(span.offset)
            folder = member.name.removesuffix(".tar")
            for inner in self._files(file):
                if inner.offset_data + inner.size > span.offset + span.size:
                    raise DataError(f"{self.where}: {member.name} inside it is damaged; fetch it anew")
                yield f"{folder}/{inner.name}", Span(inner.offset_data, inner.size)

    def _files(self, file: BinaryIO) -> Iterator[tarfile.TarInfo]:
        """Regular members from the file's present position on; anything but files and folders is refused."""
        try:
            with tarfile.open(fileobj=file, mode="r:") as archive:
                for member in archive:
                    if member.isdir():
                        continue
                    if not member.isreg() or member.issparse():
                        raise DataError(f"{self.where} holds a link or a device, {member.name!r}; nothing was read")
                    position = file.tell()
                    yield member
                    file.seek(position)
                    archive.members = []  # type: ignore[attr-defined]  # tarfile keeps every header: a gigabyte on the training set
        except tarfile.ReadError as error:
            raise DataError(f"{self.where} {self._why(error)}") from None

    def _why(self, error: tarfile.ReadError) -> str:
        with contextlib.suppress(tarfile.TarError, OSError, EOFError), tarfile.open(self.archive, "r:*") as archive:
            if type(archive.fileobj).__name__ not in {"_io.BufferedReader", "BufferedReader"}:
                return "is compressed and cannot be read in place; unpack it beside itself with `tar -xf`"
        return f"is not a readable tar archive ({error}); fetch it anew"

    def _stripped(self, name: str) -> str:
        name = name.removeprefix("./")
        if self.inside == "*/":
            top, slash, rest = name.partition("/")
            if slash and rest and top not in {"", ".."}:
                return rest
        elif name.startswith(self.inside):
            return name.removeprefix(self.inside)
        raise DataError(
            f"{self.where} holds {name!r}, not inside the folder {self.inside.strip('*')!r} the set lies in; fetch it anew"
        )


def _load_index(file: Path) -> dict[str, Span] | None:
    try:
        with np.load(file, allow_pickle=False) as stored:
            paths = stored["paths"].tobytes().decode().split("\n") if len(stored["paths"]) else []
            return {p: Span(int(o), int(s)) for p, o, s in zip(paths, stored["offsets"], stored["sizes"], strict=True)}
    except (OSError, ValueError, KeyError, EOFError):
        return None  # absent or damaged: it is made anew


def _save_index(file: Path, spans: dict[str, Span]) -> None:
    """Kept where the cache folder can be written; an index that cannot be kept costs time, not the run."""
    if any("\n" in path for path in spans):
        return
    paths = np.frombuffer("\n".join(spans).encode(), dtype=np.uint8)
    offsets = np.array([span.offset for span in spans.values()], dtype=np.int64)
    sizes = np.array([span.size for span in spans.values()], dtype=np.int64)
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=file.parent, suffix=".part", delete=False) as part:
            np.savez(part, paths=paths, offsets=offsets, sizes=sizes)
        Path(part.name).replace(file)
