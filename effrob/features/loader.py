"""Rows of a source as uint8 batches, one for each geometry: decoded once by a pool of threads, or mapped from the pixel cache.

Batches are prefetched and come in order.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from effrob.features import compiled
from effrob.features.fast import crop_fast, decode_fast, takes
from effrob.features.nvjpeg import crop_on_device, decode_batch
from effrob.features.pixel_cache import Draft, PixelCache, PixelKey, shard_of
from effrob.features.threads import use_one_thread
from effrob.features.transfer import DeviceTransfer
from effrob.features.transforms import decode, exact_crop
from model_zoo.encoder import Encoder
from model_zoo.pixels import PixelSpec
from shifts.shift import ImageSource

AHEAD_EACH = 8  # images prefetched for each decoding thread
Geometry = tuple[object, ...]
Transform = Callable[[object], Tensor]


@dataclass(frozen=True)
class Batch:
    """For each geometry (B, H, W, 3) uint8 on the host; (B, 3, H, W) float32 for a user's own transform."""

    rows: range
    pixels: dict[Geometry, Tensor]


class Crops:
    """Turns one row of a source into its crop for each geometry, decoding it once.

    images: how many are to be made. Of many, exact crops are made by the compiled path, which takes half a second to load.
    transfer: of the device that decodes on the path `nvjpeg`, which takes batches whole.
    turns: held while an image is decoded, and not while it is read.
    `seconds` is what an image took of a thread's processor time, on average so far.
    """

    def __init__(
        self,
        source: ImageSource,
        border: int,
        path: str,
        encoders: Sequence[Encoder],
        images: int = 0,
        transfer: DeviceTransfer | None = None,
        turns: AbstractContextManager[Any] | None = None,
    ) -> None:
        self.source, self.border, self.fast = source, border, path == "fast"
        self.decoder = transfer if path == "nvjpeg" else None
        self._compile = path == "exact" and images >= compiled.MIN_IMAGES
        self.specs: dict[Geometry, PixelSpec] = {}
        self.own: dict[Geometry, Transform] = {}
        for encoder in encoders:
            geometry = encoder.pixels.geometry()
            self.specs[geometry] = encoder.pixels
            if encoder.transform is not None:
                self.own[geometry] = encoder.transform
        self._turns, self._lock = turns or nullcontext(), threading.Lock()
        self._spent, self._images = 0.0, 0

    @property
    def seconds(self) -> float:
        return self._spent / max(1, self._images)

    def fill(self, row: int, slots: dict[Geometry, Tensor]) -> None:
        """Put image `row` into every slot. Raises ImageBroken where it cannot be decoded."""
        exact = compiled.load() if self._compile else None
        begun = time.thread_time()
        data = self.source.read(row)
        with self._turns:
            self._fill(data, self.source.ids[row], slots, exact)
        self._count(begun, 1)

    def fill_batch(self, rows: Sequence[int], batches: dict[Geometry, Tensor]) -> None:
        """Put images `rows` into every batch, decoded on the device. Raises ImageBroken where one cannot be decoded."""
        assert self.decoder is not None
        begun = time.thread_time()
        read = [self.source.read(row) for row in rows]
        with self.decoder.copying():
            for place, picture in enumerate(decode_batch(read, self.border, self.decoder.device)):
                slots = {geometry: batch[place] for geometry, batch in batches.items()}
                if picture is not None:
                    for geometry in [g for g in slots if g not in self.own]:
                        if takes(self.specs[geometry], picture.shape[2], picture.shape[1]):
                            crop_on_device(picture, self.specs[geometry], slots.pop(geometry))
                if slots:
                    self._fill(read[place], self.source.ids[rows[place]], slots, None)
        self._count(begun, len(rows))

    def _count(self, begun: float, images: int) -> None:
        with self._lock:
            self._spent += time.thread_time() - begun
            self._images += images

    def _fill(self, data: bytes, name: str, slots: dict[Geometry, Tensor], exact: compiled.Compiled | None) -> None:
        tensor = decode_fast(data, self.border) if self.fast else None
        words = exact.decode(data, self.border) if exact is not None else None
        image: Image.Image | None = None
        for geometry, slot in slots.items():
            spec, own = self.specs[geometry], self.own.get(geometry)
            if tensor is not None and own is None and takes(spec, tensor.shape[1], tensor.shape[0]):
                crop_fast(tensor, spec, slot)
                continue
            resample = exact is not None and own is None and compiled.takes(spec)
            if image is None and not (resample and words is not None):
                image = decode(data, name, self.border)
            if exact is not None and resample:
                words = compiled.words_of(image) if words is None and image is not None else words
                assert words is not None
                exact.crop(words, spec, slot.numpy())
            elif own is not None:
                slot.copy_(own(image))
            else:
                assert image is not None
                crop = exact_crop(image, spec)
                if slot.device.type == "cpu":
                    np.copyto(slot.numpy(), crop)
                else:
                    slot.copy_(torch.from_numpy(crop.copy()))


class Batches:
    """The batches of one pass, in order: `for batch in Batches(...)`, inside `with`.

    `empty` allocates host memory for a batch: pinned where a GPU will copy from it. `wanted` gives the geometries that a range
    of rows is needed in. With a pixel cache, crops in it are mapped, and missing ones are added once their shard is full.
    """

    def __init__(
        self,
        crops: Crops,
        ranges: Sequence[range],
        wanted: Callable[[range], set[Geometry]],
        threads: int,
        empty: Callable[[tuple[int, ...], torch.dtype], Tensor] = lambda shape, dtype: torch.empty(shape, dtype=dtype),
        cache: PixelCache | None = None,
        keys: dict[Geometry, PixelKey] | None = None,
    ) -> None:
        self.crops, self._wanted, self._empty = crops, wanted, empty
        self._cache, self._keys = cache, keys or {}
        self._ranges = iter(ranges)
        self._largest = max((len(rows) for rows in ranges), default=1)
        self._shards: dict[tuple[Geometry, int], np.ndarray[tuple[int, ...], np.dtype[np.uint8]] | Draft] = {}
        self._queue: deque[tuple[Batch, list[Future[None]]]] = deque()
        self.threads = threads
        self._pools = [self._new_pool()]

    def _new_pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self.threads, thread_name_prefix="decode", initializer=use_one_thread)

    def resize(self, threads: int) -> None:
        """Use this many decoding threads for what is prefetched from now on."""
        if threads != self.threads:
            self._pools[-1].shutdown(wait=False)  # it ends after its remaining images
            self.threads = threads
            self._pools.append(self._new_pool())

    def __enter__(self) -> Batches:
        return self

    def __exit__(self, *_: object) -> None:
        for pool in self._pools:
            pool.shutdown(wait=True, cancel_futures=True)
        for opened in self._shards.values():
            if isinstance(opened, Draft):
                opened.close()

    def __iter__(self) -> Iterator[Batch]:
        self._prefetch()
        while self._queue:
            batch, futures = self._queue.popleft()
            for future in futures:
                future.result()
            self._prefetch()
            self._filled(batch)
            yield batch

    def _prefetch(self) -> None:
        ahead = 1 + -(-AHEAD_EACH * self.threads // self._largest)
        while len(self._queue) < ahead and (rows := next(self._ranges, None)) is not None:
            pixels: dict[Geometry, Tensor] = {}
            unfilled: dict[Geometry, Tensor] = {}
            for geometry in self._wanted(rows):
                pixels[geometry], ready = self._memory(geometry, rows)
                if not ready:
                    unfilled[geometry] = pixels[geometry]
            futures: list[Future[None]] = []
            if unfilled and self.crops.decoder is not None:
                futures.append(self._pools[-1].submit(self.crops.fill_batch, rows, unfilled))
            elif unfilled:
                for slot, row in enumerate(rows):
                    slots = {geometry: batch[slot] for geometry, batch in unfilled.items()}
                    futures.append(self._pools[-1].submit(self.crops.fill, row, slots))
            self._queue.append((Batch(rows, pixels), futures))

    def _memory(self, geometry: Geometry, rows: range) -> tuple[Tensor, bool]:
        """The memory of a batch's crops, and whether it holds them already."""
        size = self.crops.specs[geometry].size
        if geometry in self.crops.own:
            return self._empty((len(rows), 3, *size), torch.float32), False
        if self._cache is None or geometry not in self._keys:
            return self._empty((len(rows), *size, 3), torch.uint8), False
        key = self._keys[geometry]
        shard = shard_of(rows.start, key.n)
        if (geometry, shard.start) not in self._shards:
            cached = self._cache.read(key, shard)
            self._shards[geometry, shard.start] = self._cache.begin(key, shard) if cached is None else cached
        opened = self._shards[geometry, shard.start]
        crops = opened.crops if isinstance(opened, Draft) else opened
        return torch.from_numpy(crops[rows.start - shard.start : rows.stop - shard.start]), not isinstance(
            opened, Draft
        )

    def _filled(self, batch: Batch) -> None:
        """Count a batch's rows in the shards being written, and close the shards it completes."""
        for geometry, start in list(self._shards):
            shard, opened = shard_of(start, self._keys[geometry].n), self._shards[geometry, start]
            if isinstance(opened, Draft) and geometry in batch.pixels and batch.rows.start in shard:
                opened.filled += len(batch.rows)
            if shard.stop <= batch.rows.stop:
                del self._shards[geometry, start]
                if isinstance(opened, Draft):
                    opened.close()
