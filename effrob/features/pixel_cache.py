"""The pixel cache: uint8 crops in memory-mapped shards, so that the next model of the same geometry decodes nothing.

    DIR/<ab>/<key>/key.json  rows-<start>-<stop>.npy ...

A shard is written in place by the decoding threads, under a temporary name, sealed, and renamed once it is full: it exists
complete or not at all, and an interrupted pass continues where it stopped. A rotten one counts as missing.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torch
from numpy.typing import NDArray

from effrob.features.cache import SHARD_ROWS
from effrob.features.libraries import torchvision
from effrob.features.sealed import read_sealed, seal
from effrob.files import temporary, write_json
from model_zoo.pixels import PixelSpec

Crops = NDArray[np.uint8]


@dataclass(frozen=True)
class PixelKey:
    """Everything that changes the crops: the images, what is cut of them and how, and the decoders' versions.

    source    digest of the images' ids and content; n their number
    geometry  the PixelSpec's: size, resize, mode, interpolation, fill
    border    pixels cut off each side first
    path      exact, fast or nvjpeg
    """

    source: str
    n: int
    geometry: tuple[object, ...]
    border: int
    path: str

    @classmethod
    def of(cls, source: str, n: int, spec: PixelSpec, border: int, path: str) -> PixelKey:
        return cls(source, n, spec.geometry(), border, path)

    @property
    def about(self) -> dict[str, object]:
        decoders = (
            [PIL.__version__] if self.path == "exact" else [PIL.__version__, torch.__version__, torchvision.__version__]
        )
        return {**dataclasses.asdict(self), "decoders": decoders}

    def digest(self) -> str:
        """SHA-256 of the canonical JSON."""
        return hashlib.sha256(json.dumps(self.about, sort_keys=True).encode()).hexdigest()

    @property
    def crop(self) -> tuple[int, int, int]:
        """(height, width, 3) of one crop."""
        size: Any = self.geometry[0]
        return (size[0], size[1], 3)

    def bytes_of(self, rows: int) -> int:
        """Bytes that so many crops take."""
        return rows * int(np.prod(self.crop))


@dataclass(frozen=True)
class PixelCache:
    """Crops below one folder, in shards of SHARD_ROWS images."""

    root: Path

    def folder(self, key: PixelKey) -> Path:
        digest = key.digest()
        return self.root / digest[:2] / digest

    def path(self, key: PixelKey, shard: range) -> Path:
        return self.folder(key) / f"rows-{shard.start:09d}-{shard.stop:09d}.npy"

    def read(self, key: PixelKey, shard: range, hashed: bool = True) -> Crops | None:
        """(rows, height, width, 3) of one shard, mapped; None where it is not there, or not what it should be.

        hashed  False: its content is not compared with its SHA-256
        """
        try:
            # "c": torch wants it writable
            crops: Crops = read_sealed(self.path(key, shard), "c", hashed=hashed)
        except (OSError, ValueError, EOFError):
            return None
        return crops if crops.dtype == np.uint8 and crops.shape == (len(shard), *key.crop) else None

    def missing(self, key: PixelKey, shards: Iterable[range]) -> list[range]:
        return [shard for shard in shards if self.read(key, shard, hashed=False) is None]

    def room_for(self, missing: dict[PixelKey, list[range]]) -> tuple[bool, str]:
        """Whether the missing shards fit on the disk, and a sentence that says how large they are."""
        size = sum(key.bytes_of(sum(map(len, shards))) for key, shards in missing.items())
        crops = sum(len(shard) for shards in missing.values() for shard in shards)
        self.root.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.root).free
        sentence = (
            f"pixel cache: {crops:,} crops are {size / 1e9:,.2f} GB, and {self.root} has {free / 1e9:,.1f} GB free"
        )
        if size > free:
            return False, f"{sentence}: they are not kept; name a larger disk with --pixel-cache"
        return True, f"{sentence}: they are kept there"

    def begin(self, key: PixelKey, shard: range) -> Draft:
        """A shard to fill. Raises OSError where the disk has no room for it."""
        return Draft(self, key, shard)


class Draft:
    """A shard being written: fill `crops`, count what was `filled`, then `close` it."""

    def __init__(self, cache: PixelCache, key: PixelKey, shard: range) -> None:
        self.filled = 0
        self._final = cache.path(key, shard)
        about = self._final.parent / "key.json"
        if not about.is_file():
            write_json(about, key.about)
        self._path = temporary(self._final)
        shape = (len(shard), *key.crop)
        try:
            crops = np.lib.format.open_memmap(self._path, mode="w+", dtype=np.uint8, shape=shape)
            with self._path.open("r+b") as file:  # a full disk is an error here, and a crash once pages are written
                os.posix_fallocate(file.fileno(), 0, self._path.stat().st_size)
        except OSError:
            self._path.unlink(missing_ok=True)
            raise
        self.crops: np.memmap[tuple[int, ...], np.dtype[np.uint8]] = crops

    def close(self) -> None:
        """Sync and rename the shard if it is complete; remove it otherwise."""
        if self.filled == len(self.crops):
            self.crops.flush()
            seal(self._path)
            self._path.replace(self._final)
        else:
            self._path.unlink(missing_ok=True)


def shard_of(row: int, n: int) -> range:
    """The shard that holds `row` of n."""
    start = row // SHARD_ROWS * SHARD_ROWS
    return range(start, min(start + SHARD_ROWS, n))
