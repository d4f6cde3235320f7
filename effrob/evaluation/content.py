"""What a set's images hold: digested once, remembered under which files they are, and checked again as each is read.

    CACHE/sources/<stat>.json  {digest, images}   <stat>.sha256  (n, 32) bytes, the SHA-256 of each file

The digest is the same wherever equal data lie. Which files they are (names, sizes, times, inodes) decides only whether it
has to be computed anew.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from effrob.files import whole_file, write_json
from shifts.bounds.files import ARRAYS, read_bytes, read_json
from shifts.errors import DataError
from shifts.labels import Ints
from shifts.shift import DigestedFiles, ImageSource
from shifts.storage.tree import digest_of

UNREAD = "unread:"  # begins the digest of a source whose content was not read


def source_digest(source: ImageSource, cache: Path, read: bool = True) -> str:
    """The digest of a source's content, remembered in the cache under its names, sizes, times and inodes.

    Where it is not remembered the content is read; with `read` False the result is a name that no content has.
    """
    stat = source.stat()
    try:
        about = read_json(_file(cache, stat, ".json"))
        digest = str(about["digest"])
        if about["check"] == _check(stat, digest):
            return digest
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return _remembered(source, cache, stat)[0] if read else f"{UNREAD}{stat}"


def _remembered(source: ImageSource, cache: Path, stat: str) -> tuple[str, NDArray[np.uint8] | None]:
    """The digest of a source, read now and kept; and that of each file, where the source tells them."""
    files = source.file_digests() if isinstance(source, DigestedFiles) else None
    digest = source.digest() if files is None else digest_of(source.ids, files)
    if files is not None:
        with whole_file(_file(cache, stat, ".sha256")) as file:
            file.write(files.tobytes())
    write_json(
        _file(cache, stat, ".json"), {"digest": digest, "images": len(source.ids), "check": _check(stat, digest)}
    )
    return digest, files


def _file(cache: Path, stat: str, suffix: str) -> Path:
    return cache / "sources" / f"{stat}{suffix}"


def _check(stat: str, digest: str) -> str:
    return hashlib.sha256(f"{stat} {digest}".encode()).hexdigest()


@dataclass(frozen=True)
class CheckedSource:
    """A source whose files must hold what they held when it was digested. files: (n, 32), the SHA-256 of each."""

    source: ImageSource
    files: NDArray[np.uint8]

    @property
    def ids(self) -> Sequence[str]:
        """See `ImageSource`."""
        return self.source.ids

    def read(self, index: int) -> bytes:
        """See `ImageSource`. Raises DataError where the file holds something else by now."""
        content = self.source.read(index)
        if hashlib.sha256(content).digest() != self.files[index].tobytes():
            raise DataError(
                f"{self.source.ids[index]} changed while it was evaluated: it is not the file whose content was digested. "
                f"Nothing is scored from it; run this again once the files are as they shall be, and they are read anew"
            )
        return content

    def stat(self) -> str:
        """See `ImageSource`."""
        return self.source.stat()

    def digest(self) -> str:
        """See `ImageSource`."""
        return self.source.digest()

    def select(self, rows: Ints) -> ImageSource:
        """See `ImageSource`."""
        return CheckedSource(self.source.select(rows), self.files[rows])


def checked(source: ImageSource, digest: str, cache: Path) -> ImageSource:
    """The source, each of whose files is compared as it is read with the content that `digest` stands for.

    A source that does not tell its files' digests is returned as it is. DataError where it holds other content by now.
    """
    stat = source.stat()
    files: NDArray[np.uint8] | None = None
    with contextlib.suppress(OSError, ValueError):
        kept = np.frombuffer(read_bytes(_file(cache, stat, ".sha256"), ARRAYS), dtype=np.uint8).reshape(-1, 32)
        files = kept if len(kept) == len(source.ids) and digest_of(source.ids, kept) == digest else None
    if files is None:
        found, files = _remembered(source, cache, stat)
        if found != digest:
            raise DataError("its files changed since they were digested; run this again, and they are read anew")
    return source if files is None else CheckedSource(source, files)
