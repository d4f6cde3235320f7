"""The feature cache: one folder a feature set, named by a key that holds all that changes the bytes, and no label.

    CACHE/features/<ab>/<key>/key.json  rows-<start>-<stop>.npy ...  ->  features.npy

Shards are written completely or not at all, so an interrupted pass continues where it stopped. Once every row is present
exactly once they are merged into one memory-mapped array. Files are sealed (see `sealed`): a rotten one is refused.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from effrob.errors import IncompleteFeatures, StaleCache
from effrob.features.sealed import SealedWriter, read_sealed
from effrob.files import strict_json, whole_file, write_json
from shifts.bounds.files import read_json

EXTRACTOR = 1
SHARD_ROWS = 512
_SHARD = re.compile(r"rows-(\d{9})-(\d{9})\.npy")

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class FeatureKey:
    """Everything that changes the bytes of a feature set.

    model      digest of architecture and weights (or loader source); layer which features
    pixels     digest of the PixelSpec; `path` exact, fast or nvjpeg; border cropped before all else
    source     digest of the images' ids and content; n their number
    precision  one of `effrob.features.precision.PRECISIONS`
    """

    model: str
    layer: str
    pixels: str
    path: str
    border: int
    source: str
    n: int
    precision: str
    extractor: int = EXTRACTOR

    def digest(self) -> str:
        """SHA-256 of the canonical JSON."""
        return hashlib.sha256(json.dumps(dataclasses.asdict(self), sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class FeatureSet:
    """A complete pass: `array` is (N, D) float32, memory-mapped, row i for image i of the source; `meta` says what it is."""

    key: FeatureKey
    array: Floats
    meta: dict[str, Any]

    def blocks(self, rows: NDArray[np.int64], size: int = 1024) -> Iterator[tuple[slice, Floats]]:
        """The asked rows in blocks of at most `size`, with the slice of `rows` each block answers."""
        for start in range(0, len(rows), size):
            part = slice(start, min(start + size, len(rows)))
            yield part, np.ascontiguousarray(self.array[rows[part]])


@dataclass(frozen=True)
class FeatureCache:
    """Feature sets below one folder."""

    root: Path

    def folder(self, key: FeatureKey) -> Path:
        digest = key.digest()
        return self.root / "features" / digest[:2] / digest

    def missing(self, key: FeatureKey) -> list[range]:
        """Row ranges still to be computed, cut at shard boundaries; empty where the set is complete."""
        folder = self.folder(key)
        if (folder / "features.npy").is_file():
            return []
        done = np.zeros(key.n, dtype=bool)
        for start, stop, _ in self._shards(key):
            done[start:stop] = True
        if not done.all() and (folder / "features.npy").is_file():
            return []  # another process joined the shards meanwhile
        cuts = range(0, key.n, SHARD_ROWS)
        return [range(a, min(a + SHARD_ROWS, key.n)) for a in cuts if not done[a : a + SHARD_ROWS].all()]

    def open(self, key: FeatureKey, meta: dict[str, Any]) -> None:
        """Make the folder ready for shards: write the key, or raise StaleCache where another one is there."""
        folder = self.folder(key)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "key.json"
        if path.is_file():
            self._check(key)
            if "nondeterminism" in meta:
                self.note(key, {"nondeterminism": meta["nondeterminism"]})
        else:
            write_json(path, {"key": dataclasses.asdict(key), "meta": meta, "sealed": True})

    def note(self, key: FeatureKey, facts: dict[str, Any]) -> None:
        """Add facts to what is said of a set that was begun; of two accounts of nondeterminism the one of more spread stays."""
        path = self.folder(key) / "key.json"
        about = read_json(path)
        held = about["meta"].get("nondeterminism")
        if held is not None and held["spread"] >= facts["nondeterminism"]["spread"]:
            return
        write_json(path, about | {"meta": about["meta"] | facts})

    def discard(self, key: FeatureKey) -> None:
        """Drop every row of a set."""
        for path in self.folder(key).glob("*.npy"):
            path.unlink(missing_ok=True)

    def meta(self, key: FeatureKey) -> dict[str, Any]:
        """What is said of a set that was begun. Raises StaleCache."""
        return self._check(key)

    def write(self, key: FeatureKey, start: int, rows: Floats) -> None:
        """Write rows [start, start + len(rows)), completely or not at all."""
        if not np.isfinite(rows).all():
            bad = start + int(np.flatnonzero(~np.isfinite(rows).all(axis=1))[0])
            raise IncompleteFeatures(
                f"the model gave a feature that is not finite for image {bad}; try --precision fp32"
            )
        if len(rows) > 1 and not rows.any():
            raise IncompleteFeatures(
                f"the model gave nothing but zeros for images {start} to {start + len(rows) - 1}: are its weights loaded?"
            )
        shard = self.folder(key) / f"rows-{start:09d}-{start + len(rows):09d}.npy"
        with whole_file(shard) as file:
            writer = SealedWriter(file, rows.shape)
            writer.add(rows)
            writer.close()
        if self.has(key):  # another process joined the set meanwhile, perhaps before this shard was there to be removed
            shard.unlink(missing_ok=True)

    def filed(self) -> Iterator[tuple[FeatureKey, dict[str, Any]]]:
        """Every key filed here, with its meta."""
        for path in sorted((self.root / "features").glob("*/*/key.json")):
            about = read_json(path)
            yield FeatureKey(**about["key"]), about["meta"]

    def shards(self, key: FeatureKey) -> Iterator[tuple[int, Floats]]:
        """(first row, rows) of every shard not merged yet."""
        for start, _, path in self._shards(key):
            yield start, np.array(_mapped(path, self._unsealed(key)))

    def _shards(self, key: FeatureKey) -> list[tuple[int, int, Path]]:
        folder = self.folder(key)
        named = [(match, path) for path in folder.glob("rows-*.npy") if (match := _SHARD.fullmatch(path.name))]
        return sorted((int(match[1]), int(match[2]), path) for match, path in named)

    def _check(self, key: FeatureKey) -> dict[str, Any]:
        path = self.folder(key) / "key.json"
        try:
            about = read_json(path)
            if about["key"] != json.loads(strict_json(dataclasses.asdict(key))):
                raise ValueError("another key is filed there")
            return dict(about["meta"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StaleCache(
                f"{path.parent} is not the feature set it is filed as ({error}): delete that folder"
            ) from error

    def merge(self, key: FeatureKey) -> FeatureSet:
        """Check that every row is present exactly once, merge the shards, and return the complete set.

        Raises IncompleteFeatures saying how many rows are missing or double.
        """
        folder = self.folder(key)
        whole = folder / "features.npy"
        meta = self._check(key)
        if not whole.is_file():
            try:
                self._join(key, whole)
            except (IncompleteFeatures, FileNotFoundError):
                if not whole.is_file():  # else another process joined the shards meanwhile, and removed them
                    raise
        array = _mapped(whole, self._unsealed(key))
        if len(array) != key.n:
            raise StaleCache(f"{whole} holds {array.shape}, {key.n} rows were filed: delete that file")
        for _, _, path in self._shards(key):
            path.unlink(missing_ok=True)
        return FeatureSet(key, array, meta)

    def _join(self, key: FeatureKey, whole: Path) -> None:
        times = np.zeros(key.n, dtype=np.int64)
        shards = self._shards(key)
        for start, stop, _ in shards:
            times[start : min(stop, key.n)] += 1
        if (times != 1).any() or any(stop > key.n for _, stop, _ in shards):
            raise IncompleteFeatures(
                f"{whole.parent}: of {key.n} rows {int((times == 0).sum())} are missing and {int((times > 1).sum())} double"
            )
        unsealed = self._unsealed(key)
        first = _mapped(shards[0][2], unsealed)
        with whole_file(whole) as file:
            writer = SealedWriter(file, (key.n, first.shape[1]))
            for start, stop, path in shards:
                rows = _mapped(path, unsealed)
                if rows.shape != (stop - start, first.shape[1]):
                    raise StaleCache(
                        f"{path} holds {rows.shape}, wanted {(stop - start, first.shape[1])}: delete that file, and its rows "
                        f"are computed anew"
                    )
                writer.add(rows)
            writer.close()

    def _unsealed(self, key: FeatureKey) -> bool:
        """Whether the set was begun by a version that did not seal its files."""
        try:
            return "sealed" not in read_json(self.folder(key) / "key.json")
        except (OSError, ValueError, TypeError):
            return False

    def peek(self, key: FeatureKey, rows: NDArray[np.int64]) -> Floats | None:
        """The features of some rows of a complete set, for a forecast: nothing else is read, checked or written."""
        with contextlib.suppress(OSError, ValueError, EOFError, IndexError):
            array = read_sealed(self.folder(key) / "features.npy", unsealed=self._unsealed(key), hashed=False)
            if array.ndim == 2 and array.dtype == np.float32:
                return np.array(array[rows])
        return None

    def has(self, key: FeatureKey) -> bool:
        """True where the complete set is stored."""
        return (self.folder(key) / "features.npy").is_file()


def _mapped(path: Path, unsealed: bool) -> Floats:
    """An (N, D) array on disk, mapped. StaleCache where its file is torn or rotten, FileNotFoundError where it is gone."""
    try:
        array: Floats = read_sealed(path, unsealed=unsealed)
        if array.dtype != np.float32 or array.ndim != 2:
            raise ValueError(f"it holds {array.dtype} of shape {array.shape}, wanted float32 (images, numbers)")
    except FileNotFoundError:
        raise
    except (ValueError, EOFError, OSError) as error:
        raise StaleCache(f"{path} is torn ({error}): delete that file, and its rows are computed anew") from error
    return array
