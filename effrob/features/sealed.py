"""Arrays on disk that say when they have rotted: an .npy file, and after it the SHA-256 of all that stands before."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

MAGIC = b"sha-256:"
SEAL = len(MAGIC) + 32  # bytes after the array
_STEP = 1 << 20


class SealedWriter:
    """Writes an array of a known shape to `file` in parts along its first axis, and then its seal."""

    def __init__(self, file: BinaryIO, shape: tuple[int, ...], dtype: Any = "<f4") -> None:
        self._file, self._hashed, self._dtype = file, hashlib.sha256(), np.dtype(dtype)
        about = {"descr": np.lib.format.dtype_to_descr(self._dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self, about)

    def write(self, data: bytes) -> int:
        """Bytes as they are, hashed on the way."""
        self._hashed.update(data)
        return self._file.write(data)

    def add(self, part: NDArray[Any]) -> None:
        """The next rows."""
        self.write(np.ascontiguousarray(part, dtype=self._dtype).tobytes())

    def close(self) -> None:
        """The seal. Call it once every row is written."""
        self._file.write(MAGIC + self._hashed.digest())


def seal(path: Path) -> None:
    """Append the seal to an .npy file that was written in place, and sync it."""
    digest = _digest(path, path.stat().st_size)
    with path.open("ab") as file:
        file.write(MAGIC + digest)
        file.flush()
        os.fsync(file.fileno())


def read_sealed(path: Path, mode: Any = "r", unsealed: bool = False, hashed: bool = True) -> NDArray[Any]:
    """The array, mapped. Raises OSError, and ValueError where the file is not what was sealed.

    unsealed  whether a file without a seal is taken;  hashed  False: the seal must be there, and is not compared
    """
    array: NDArray[Any] = np.load(path, mmap_mode=mode, allow_pickle=False)
    if not isinstance(array, np.memmap):
        raise ValueError("it is no plain array")
    size, end = path.stat().st_size, array.offset + array.nbytes
    if size == end and unsealed:
        return array
    with path.open("rb") as file:
        file.seek(end)
        kept = file.read(SEAL + 1)
    if len(kept) != SEAL or not kept.startswith(MAGIC):
        raise ValueError("its SHA-256 is missing")
    if hashed and _digest(path, end) != kept[len(MAGIC) :]:
        raise ValueError("its content is not that of its SHA-256")
    return array


def _digest(path: Path, end: int) -> bytes:
    """Of the first bytes of a file."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while end > 0 and (part := file.read(min(end, _STEP))):
            digest.update(part)
            end -= len(part)
    return digest.digest()
