"""An official zip archive read in place, by its own directory: one pread and one inflation an image.

Encrypted archives (ObjectNet's), links, paths that leave the archive and members that inflate without measure are refused.
"""

from __future__ import annotations

import os
import stat
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from shlex import quote

from shifts.errors import DataError, DataMissing
from shifts.storage.spans import below, checked_size, held_twice
from shifts.storage.tree import FileStat, checked_path, counted_suffix, is_image, is_sidecar

LOCAL_HEADER = struct.Struct("<4s5H3I2H")
DEFLATE_LIMIT = 1032  # bytes a byte of deflated data can stand for at most, by the format


class ZipTree:
    """Images of a zip archive by their path under `inside`: a folder, or "*/" for the one top folder whatever its name."""

    def __init__(self, path: Path, inside: str = "") -> None:
        if not path.is_file():
            raise DataMissing(f"no archive {path}")
        self.archive = path.resolve()
        self.inside = inside
        self.where = str(path)

    def __repr__(self) -> str:
        return f"ZipTree({self.where!r}, {self.inside!r})"

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """Relative paths of the images, sorted; the directory is read once."""
        return tuple(sorted(path for path in self._members if is_image(path)))

    @cached_property
    def skipped(self) -> Mapping[str, int]:
        """Suffix -> how many files of it were passed over as no images."""
        return Counter(suffix for path in self._members if (suffix := counted_suffix(path)))

    def read(self, path: str) -> bytes:
        """The bytes of one member, checked against the archive's checksum; KeyError where there is none."""
        member = self._members[path]
        file = os.open(self.archive, os.O_RDONLY)
        try:
            head = os.pread(file, LOCAL_HEADER.size, member.header_offset)
            if len(head) != LOCAL_HEADER.size or not head.startswith(b"PK\3\4"):
                raise self._damaged(path)
            skipped = LOCAL_HEADER.size + sum(LOCAL_HEADER.unpack(head)[-2:])
            content = os.pread(file, member.compress_size, member.header_offset + skipped)
        finally:
            os.close(file)
        if member.compress_type == zipfile.ZIP_DEFLATED:
            try:
                content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, member.file_size + 1)
            except zlib.error:
                content = b""
        if len(content) != member.file_size or zlib.crc32(content) != member.CRC:
            raise self._damaged(path)
        return content

    def _damaged(self, path: str) -> DataError:
        return DataError(f"{self.where} is damaged at {path}; fetch it anew")

    def stat(self, path: str) -> FileStat:
        """The member's size, and which file the archive is: any change of the archive is a change of each member."""
        return FileStat.of(self.archive.stat(), self._members[path].file_size)

    @cached_property
    def _members(self) -> dict[str, zipfile.ZipInfo]:
        try:
            with zipfile.ZipFile(self.archive) as opened:
                listed = opened.infolist()
        except (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError, struct.error) as error:
            raise DataError(f"{self.where} is not a readable zip archive ({error}); fetch it anew") from None
        members: dict[str, zipfile.ZipInfo] = {}
        for member in listed:
            name = member.filename.replace("\\", "/")  # older packers of Windows part folders so
            if name.endswith("/") or is_sidecar(name) or (inner := below(name, self.inside, self.where)) is None:
                continue
            path = checked_path(inner, self.where)
            if path in members:
                raise held_twice(self.where, path)
            self._check(member)
            members[path] = member
        return members

    def _check(self, member: zipfile.ZipInfo) -> None:
        if member.flag_bits & 1:
            raise DataError(
                f"{self.where} is encrypted and cannot be read in place; unpack it beside itself with "
                f"`unzip {quote(self.archive.name)}`, which asks for the password given with the terms"
            )
        if member.header_offset < 0:  # zipfile takes it to be relative to a start that was cut off
            raise DataError(f"{self.where} lacks its beginning; fetch it anew")
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):
            raise DataError(
                f"{self.where} holds a link or a device, {member.filename!r}; nothing was read. Unpack it beside itself "
                f"with `unzip {quote(self.archive.name)}`"
            )
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise DataError(
                f"{self.where} is compressed in a way that cannot be read in place; "
                f"unpack it beside itself with `unzip {quote(self.archive.name)}`"
            )
        checked_size(max(member.file_size, member.compress_size), member.filename, self.where)
        if member.file_size > DEFLATE_LIMIT * member.compress_size:
            raise DataError(f"{self.where} says {member.filename!r} inflates without measure; fetch it anew")
