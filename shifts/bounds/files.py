"""Files that anybody may have written, read within bounds: regular files alone, so many bytes, values and levels.

A file that is refused raises what its readers expect of a broken one: OSError naming it, or ValueError.
"""

from __future__ import annotations

import csv
import errno
import io
import json
import math
import os
import stat
import tokenize
import tomllib
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

TEXT = 32 << 20  # bytes of a text, of JSON or of TOML: read as objects it takes ten to twenty times that
TABLE = 256 << 20  # bytes of a CSV file, which is read a line at a time
ARRAYS = 1 << 30  # bytes of an .npy or of all arrays of an .npz
CELLS = 8_000_000  # of a CSV file, or lines of a list
BLOCK = 1 << 20  # bytes read at a time where a file's size does not say how many there are
DIGITS = 4300  # of a number in JSON, as in Python
KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
BROKEN_ARRAYS = (
    ValueError,
    EOFError,
    KeyError,
    TypeError,
    AttributeError,
    SyntaxError,  # a header is Python's text of a dict
    tokenize.TokenError,
    OverflowError,
    IndexError,
)


class InputRefused(OSError):
    """A file that is not read: what it is in place of a regular file, or how much too large."""

    def __str__(self) -> str:
        return f"{self.filename}: {self.strerror}"


def open_regular(path: Path, most: int | None = None) -> io.BufferedReader:
    """The file, opened to read bytes; never waits, as opening a pipe would.

    Raises InputRefused where it is no regular file, or holds more than `most` bytes; OSError where there is none.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENXIO and path.is_socket():
            raise InputRefused(errno.EINVAL, "it is a socket where a file was wanted; name a file", str(path)) from None
        raise
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            kind = next((name for test, name in KINDS if test(status.st_mode)), "no file")
            raise InputRefused(errno.EINVAL, f"it is {kind} where a file was wanted; name a file", str(path))
        if most is not None and status.st_size > most:
            raise InputRefused(
                errno.EFBIG, f"it holds {status.st_size:,} bytes and {most:,} are read at most", str(path)
            )
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_bytes(path: Path, most: int = TEXT) -> bytes:
    """The bytes of a regular file of at most `most`; one that grows meanwhile is refused too.

    Memory is taken for the file's size: to reserve it for `most` takes twice the time of reading a small picture.
    """
    with open_regular(path, most) as file:
        size = os.fstat(file.fileno()).st_size
        parts = [_part(file, min(size, most) + 1 if size else BLOCK, path)]
        held = len(parts[0])
        while held not in (0, size) and held <= most and (part := _part(file, BLOCK, path)):
            parts.append(part)  # it grows, was cut, states no size, or comes in parts
            held += len(part)
    if held > most:
        raise InputRefused(errno.EFBIG, f"it holds more than the {most:,} bytes that are read at most", str(path))
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _part(file: io.BufferedReader, most: int, path: Path) -> bytes:
    part = file.raw.read(most)
    if part is None:
        raise InputRefused(errno.EAGAIN, "it has nothing to read now", str(path))
    return part


def read_text(path: Path, encoding: str = "utf-8", most: int = TEXT) -> str:
    """A text file; line ends become "\\n". Raises UnicodeDecodeError as well as OSError."""
    return read_bytes(path, most).decode(encoding).replace("\r\n", "\n").replace("\r", "\n")


def parse_json(text: str | bytes, parse_constant: Callable[[str], Any] | None = None) -> Any:
    """JSON; nested without end, or with a number of thousands of digits, it is a ValueError."""
    try:
        return json.loads(text, parse_constant=parse_constant)
    except RecursionError:
        raise ValueError("it is nested without end") from None


def read_json(path: Path, most: int = TEXT, encoding: str = "utf-8") -> Any:
    """The content of a JSON file. Raises OSError and ValueError."""
    return parse_json(read_text(path, encoding, most))


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file. Raises OSError and ValueError."""
    try:
        return tomllib.loads(read_text(path))
    except RecursionError:
        raise ValueError("it is nested without end") from None


def read_lines(path: Path, encoding: str = "utf-8-sig", most: int = TABLE) -> Iterator[str]:
    """The lines of a text file without their ends, one after the other. Raises ValueError where they are too many."""
    with io.TextIOWrapper(open_regular(path, most), encoding=encoding) as file:
        for number, line in enumerate(file):
            if number >= CELLS:
                raise ValueError(f"it has more than {CELLS:,} lines")
            yield line.rstrip("\n")


def read_csv(path: Path, most: int = TABLE, cells: int = CELLS) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of each row of a UTF-8 CSV file that is not empty. Raises csv.Error, also for too many cells."""
    with io.TextIOWrapper(open_regular(path, most), encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        held = 0
        for row in reader:
            held += len(row)
            if held > cells:
                raise csv.Error(f"it has more than {cells:,} cells")
            if row:
                yield reader.line_num, row


def read_array(path: Path, most: int = ARRAYS) -> NDArray[Any]:
    """The array of an .npy file. Raises OSError, and ValueError for what is none or claims more than the file holds."""
    with open_regular(path, most) as file:
        size = os.fstat(file.fileno()).st_size
        if file.read(4) == b"PK\x03\x04":
            raise ValueError("it holds several arrays: name it .npz")
        file.seek(0)
        try:
            _check_header(file, size, most)
            file.seek(0)
            return np.lib.format.read_array(file, allow_pickle=False)
        except BROKEN_ARRAYS as error:
            raise ValueError(str(error)) from None


def read_arrays(path: Path, names: Iterable[str] | None = None, most: int = ARRAYS) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz file, or those named. Raises OSError, ValueError, and KeyError for a name that is not there.

    What its members claim to hold is added up before the first is decompressed.
    """
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
            wanted = list(members) if names is None else list(names)
            held = sum(members[name].file_size for name in wanted)
            if held > most:
                raise ValueError(f"its arrays hold {held:,} bytes and {most:,} are read at most")
            arrays = {}
            for name in wanted:
                with archive.open(members[name]) as member:
                    _check_header(member, members[name].file_size, most)
                with archive.open(members[name]) as member:
                    arrays[name] = np.lib.format.read_array(member, allow_pickle=False)
            return arrays
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError) as error:
        raise ValueError(str(error) or type(error).__name__) from None
    except KeyError:
        raise
    except BROKEN_ARRAYS as error:
        raise ValueError(str(error)) from None
    except Exception as error:
        if isinstance(error, OSError | MemoryError):
            raise
        raise ValueError(f"{type(error).__name__}: {error}") from None  # of zlib, lzma and bz2


def _check_header(file: Any, size: int, most: int) -> None:
    """Raises ValueError where an array claims to be larger than its file, or holds objects."""
    version = np.lib.format.read_magic(file)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    shape, _, kind = readers.get(version, np.lib.format.read_array_header_2_0)(file)
    if kind.hasobject:
        raise ValueError("it holds objects, which are not read: give plain numbers or text")
    if any(side < 0 for side in shape):
        raise ValueError(f"its shape is {shape}")
    claimed = math.prod(shape) * max(1, kind.itemsize)
    if claimed > min(size, most):
        raise ValueError(f"it claims {claimed:,} bytes of numbers and holds {size:,}")
