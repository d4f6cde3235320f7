"""An official archive read in place: an index of offsets over a plain tar, then one pread an image.

The suffix is not trusted (ImageNetV2's `.tar.gz` files are plain tars). Links, devices and paths that leave the archive
are refused. The index is kept in the user's cache folder under the archive's path, size and time.
"""

from __future__ import annotations

import contextlib
import errno
import tarfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from shlex import quote
from typing import BinaryIO

from shifts.errors import DataError, DataMissing
from shifts.storage.spans import Span, below, checked_size, held_twice, index_folder, indexed, read_span
from shifts.storage.tree import FileStat, checked_path, counted_suffix, is_image, is_sidecar

BLOCK = tarfile.BLOCKSIZE


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
        self._index_folder = index if index is not None else index_folder()

    def __repr__(self) -> str:
        return f"TarTree({self.where!r}, {self.inside!r})"

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """Relative paths of the images, sorted; indexed once."""
        return tuple(path for path in self._spans if is_image(path))

    @property
    def names(self) -> tuple[str, ...]:
        """Relative paths of all files, images or not."""
        return tuple(self._spans)

    @cached_property
    def skipped(self) -> Mapping[str, int]:
        """Suffix -> how many files of it were passed over as no images."""
        return Counter(suffix for path in self._spans if (suffix := counted_suffix(path)))

    def read(self, path: str) -> bytes:
        """The bytes of one member; KeyError where there is none."""
        return read_span(self.archive, self._spans[path], path)

    def stat(self, path: str) -> FileStat:
        """The member's size, and which file the archive is: any change of the archive is a change of each member."""
        return FileStat.of(self.archive.stat(), self._spans[path].size)

    @cached_property
    def _spans(self) -> dict[str, Span]:
        return indexed(self.archive, self._scan, self._index_folder, self.inside)

    def _scan(self) -> Iterator[tuple[str, Span]]:
        seen: set[str] = set()
        for name, span in members(self.archive, self.where):
            inner = below(name, self.inside, self.where)
            if inner is None:
                continue
            path = checked_path(inner, self.where)
            if path in seen:
                raise held_twice(self.where, path)
            seen.add(path)
            yield path, span


def members(path: Path, where: str) -> Iterator[tuple[str, Span]]:
    """Every regular file of a tar with its place, those of a tar inside it under a folder of its name.

    Raises DataError for a link, a device or a sparse file, and for an archive that is damaged or compressed.
    """
    with path.open("rb") as file:
        for member in _files(file, path, where):
            span = Span(member.offset_data, member.size)
            if not member.name.endswith(".tar"):
                checked_size(member.size, member.name, where)
                yield member.name, span
                continue
            file.seek(span.offset)
            folder = member.name.removesuffix(".tar")
            for inner in _files(file, path, where):
                if inner.offset_data + inner.size > span.offset + span.size:
                    raise DataError(f"{where}: {member.name} inside it is damaged; fetch it anew")
                checked_size(inner.size, inner.name, where)
                yield f"{folder}/{inner.name}", Span(inner.offset_data, inner.size)


def _files(file: BinaryIO, path: Path, where: str) -> Iterator[tarfile.TarInfo]:
    """Regular members from the file's present position on; anything but files and folders is refused."""
    end, last = -1, ""
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            for member in archive:
                end, last = member.offset_data + -(-member.size // BLOCK) * BLOCK, member.name
                if member.isdir() or (is_sidecar(member.name) and member.isreg()):
                    continue
                if member.size < 0:  # in base 256; tarfile would go back and read on from there
                    raise tarfile.ReadError(f"{member.name!r} has a size of {member.size}")
                if not member.isreg() or member.issparse():
                    raise DataError(
                        f"{where} holds a link or a device, {member.name!r}; nothing was read. Unpack it beside itself, or "
                        f"repack it with `tar --dereference --hard-dereference -cf`"
                    )
                position = file.tell()
                yield member
                file.seek(position)
                archive.members = []  # type: ignore[attr-defined]  # tarfile keeps every header: a gigabyte on the training set
        file.seek(max(end, 0))
        if end >= 0 and not file.read(BLOCK):  # tarfile takes it for the end
            raise DataError(
                f"{where} ends without a mark, behind {last!r}, as a file that was cut off does; fetch it anew, or repack it "
                f"if nothing is missing"
            )
    except DataError:
        raise
    except (tarfile.TarError, ValueError, OverflowError) as error:  # a size that no file can have
        raise DataError(f"{where} {_why(path, error)}") from None
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise DataError(f"{where} {_why(path, error)}") from None


def _why(path: Path, error: Exception) -> str:
    with contextlib.suppress(tarfile.TarError, OSError, EOFError, zlib.error), tarfile.open(path, "r:*") as archive:
        if type(archive.fileobj).__name__ not in {"_io.BufferedReader", "BufferedReader"}:
            return (
                f"is compressed and cannot be read in place; unpack it beside itself with `tar -xf {quote(path.name)}`"
            )
    return f"is not a readable tar archive ({error}); fetch it anew"
