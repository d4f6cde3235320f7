"""Where each file's bytes lie in an archive, kept between runs; and what a member of any archive may be called.

An index is filed under the archive's path and all that tells which file it is, so that a changed archive is read anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from shifts.bounds.files import read_arrays
from shifts.errors import DataError
from shifts.storage.kept_places import cache_folder
from shifts.storage.tree import FileStat

INDEX_VERSION = 2
MAX_FILE = 1 << 30  # bytes of one file: a larger one is no picture, and reading it would fill the memory


class Span(NamedTuple):
    """Where a file's bytes lie in the archive."""

    offset: int
    size: int


def index_folder() -> Path:
    """Where indexes are kept: `archives` in $EFFROB_CACHE, else in the user's cache folder."""
    return cache_folder() / "archives"


def indexed(archive: Path, scan: Callable[[], Iterable[tuple[str, Span]]], folder: Path, about: str) -> dict[str, Span]:
    """The archive's files by name, in string order: from the index kept in `folder`, or by `scan`, and then kept.

    `about` is whatever else changes the names. Raises DataError where the archive changes while it is scanned.
    """
    before = archive.stat()
    which = "\0".join(map(str, FileStat.of(before)))
    key = f"{INDEX_VERSION}\0{archive}\0{about}\0{which}"
    file = folder / f"{hashlib.sha256(key.encode('utf-8', 'surrogateescape')).hexdigest()[:32]}.npz"
    spans = _load(file, before.st_size)
    if spans is None:
        spans = dict(sorted(scan()))
        if FileStat.of(archive.stat()) != FileStat.of(before):
            raise DataError(f"{archive} changed while it was read; wait until it is complete")
        _save(file, spans)
    return spans


def read_span(archive: Path, span: Span, path: str) -> bytes:
    """The bytes of one file, in one read. DataError where the archive is shorter than its index says."""
    file = os.open(archive, os.O_RDONLY)
    try:
        content = os.pread(file, span.size, span.offset)
    finally:
        os.close(file)
    if len(content) != span.size:
        raise DataError(f"{archive} ends inside {path}: {len(content):,} of {span.size:,} bytes; fetch it anew")
    return content


def below(name: str, inside: str, where: str) -> str | None:
    """A member's path under the folder `inside`, "*/" being the one top folder whatever its name; None for what macOS adds.

    Raises DataError for a member that lies elsewhere.
    """
    name = name.removeprefix("./")
    if name.partition("/")[0] == "__MACOSX" or name.rpartition("/")[2].startswith("._"):
        return None
    if inside == "" and name.startswith("/"):
        raise DataError(f"{where} holds {name!r}, not inside the archive's own folder; nothing was read")
    if inside == "*/":
        top, slash, rest = name.partition("/")
        if slash and rest and top not in {"", ".."}:
            return rest
    elif name.startswith(inside):
        return name.removeprefix(inside)
    raise DataError(
        f"{where} holds {name!r}, not inside the folder {inside.strip('*')!r} the set lies in; fetch it anew"
    )


def checked_size(size: int, path: str, where: str) -> None:
    """Raises DataError for a file too large to be a picture."""
    if size > MAX_FILE:
        raise DataError(f"{where} holds {path} of {size:,} bytes, more than any picture; fetch it anew")


def held_twice(where: str, path: str) -> DataError:
    """The refusal of an archive that holds one file twice."""
    return DataError(f"{where} holds {path} twice; fetch it anew")


def _load(file: Path, archive_size: int) -> dict[str, Span] | None:
    try:
        stored = read_arrays(file, ("paths", "offsets", "sizes"))
        paths = stored["paths"].tobytes().decode().split("\n") if len(stored["paths"]) else []
        offsets, sizes = stored["offsets"], stored["sizes"]
        if len(sizes) and ((offsets < 0) | (sizes < 0) | (offsets > archive_size - sizes)).any():
            return None
        return {p: Span(int(o), int(s)) for p, o, s in zip(paths, offsets, sizes, strict=True)}
    except (OSError, ValueError, KeyError, TypeError):
        return None  # absent or damaged: it is made anew


def _save(file: Path, spans: dict[str, Span]) -> None:
    """Kept where the cache folder can be written; an index that cannot be kept costs time, not the run."""
    if any("\n" in path for path in spans):
        return
    try:
        paths = np.frombuffer("\n".join(spans).encode(), dtype=np.uint8)
    except UnicodeEncodeError:  # a name that is no text: whoever reads the set refuses it
        return
    offsets = np.array([span.offset for span in spans.values()], dtype=np.int64)
    sizes = np.array([span.size for span in spans.values()], dtype=np.int64)
    part: Path | None = None
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=file.parent, suffix=".part", delete=False) as draft:
            part = Path(draft.name)
            np.savez(draft, paths=paths, offsets=offsets, sizes=sizes)
        part.replace(file)
    except OSError:
        if part is not None:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
