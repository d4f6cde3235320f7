"""The worker: one pass over a source's images feeds any number of encoders, into the feature cache.

Decode, forward and write overlap: a pool of threads decodes and resizes (Pillow releases the GIL) into uint8 batches a few
ahead of the forward pass. Each image is decoded once whatever the number of models; models whose PixelSpecs share a
geometry share the crop as well. The only autocast is here. Knows no labels and no heads.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from effrob.errors import IncompleteFeatures
from effrob.features.cache import SHARD_ROWS, FeatureCache, FeatureKey
from effrob.features.pixels import decode, exact_crop, normalise
from model_zoo.encoder import Encoder
from model_zoo.pixels import PixelSpec
from shifts.shift import ImageSource

AHEAD = 3  # batches decoded before they are needed
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Pass:
    """How a pass is made: batch size, precision, pixel path, and threads for decoding and for torch."""

    batch_size: int = 64
    precision: str = "fp32"
    path: str = "exact"
    decode_threads: int = 0
    progress: bool = True

    @property
    def threads(self) -> int:
        return self.decode_threads or os.cpu_count() or 1


@dataclass
class Stream:
    """One encoder's share of a pass: where its rows go, and which are missing."""

    encoder: Encoder
    key: FeatureKey
    missing: list[range]


class _Shards:
    """Collects rows in order and writes each shard once it is full."""

    def __init__(self, cache: FeatureCache, key: FeatureKey) -> None:
        self.cache, self.key = cache, key
        self.rows: list[NDArray[np.float32]] = []
        self.start = 0

    def add(self, start: int, features: NDArray[np.float32]) -> None:
        """Rows that follow the ones before; a shard never crosses a multiple of SHARD_ROWS."""
        if not self.rows:
            self.start = start
        self.rows.append(features)
        stop = start + len(features)
        if stop % SHARD_ROWS == 0 or stop == self.key.n:
            self.cache.write(self.key, self.start, np.concatenate(self.rows))
            self.rows = []


def _batches(missing: Sequence[range], size: int) -> Iterator[range]:
    """The missing ranges cut into batches that never cross a shard's end."""
    for part in missing:
        start = part.start
        while start < part.stop:
            stop = min(start + size, part.stop, (start // SHARD_ROWS + 1) * SHARD_ROWS)
            yield range(start, stop)
            start = stop


class Decoder:
    """Turns rows of a source into one uint8 batch for each geometry (and float batches for a user's own transform)."""

    def __init__(self, source: ImageSource, border: int, encoders: Sequence[Encoder]) -> None:
        self.source, self.border = source, border
        self.specs: dict[tuple[object, ...], PixelSpec] = {}
        self.own: dict[tuple[object, ...], Callable[[object], torch.Tensor]] = {}
        for encoder in encoders:
            geometry = encoder.pixels.geometry()
            self.specs[geometry] = encoder.pixels
            if encoder.transform is not None:
                self.own[geometry] = encoder.transform

    def buffers(self, rows: range) -> dict[tuple[object, ...], torch.Tensor]:
        """Empty batches: (B, H, W, 3) uint8, or (B, 3, H, W) float32 for a user's own transform."""
        return {
            geometry: torch.empty((len(rows), 3, *spec.size), dtype=torch.float32)
            if geometry in self.own
            else torch.empty((len(rows), *spec.size, 3), dtype=torch.uint8)
            for geometry, spec in self.specs.items()
        }

    def fill(self, row: int, slot: int, buffers: dict[tuple[object, ...], torch.Tensor]) -> None:
        """Decode image `row` once and put its crop into `slot` of every batch."""
        image = decode(self.source.read(row), self.source.ids[row], self.border)
        for geometry, spec in self.specs.items():
            if geometry in self.own:
                buffers[geometry][slot] = self.own[geometry](image)
            else:
                buffers[geometry].numpy()[slot] = exact_crop(image, spec)


def _forward(encoder: Encoder, batch: torch.Tensor, precision: str) -> NDArray[np.float32]:
    """One batch through one encoder: (B, D) float32 on the host."""
    device = encoder.device
    batch = batch.to(device, non_blocking=True)
    pixels = batch if batch.dtype == torch.float32 else normalise(batch, encoder.pixels)
    dtype = PRECISIONS[precision]
    cast = contextlib.nullcontext() if dtype == torch.float32 else torch.autocast(device.type, dtype=dtype)
    with torch.inference_mode(), cast:
        features = encoder.embed(pixels)
    return features.to(torch.float32).cpu().numpy()


def extract(
    source: ImageSource, border: int, streams: Sequence[Stream], cache: FeatureCache, how: Pass, label: str
) -> dict[str, str]:
    """Fill every stream's missing rows from one pass over `source`; returns {model digest: what its network raised}.

    Rows are placed by index; a shard is written as soon as it is full, so a kill loses at most one shard an encoder. A
    network that fails leaves the pass and the others go on. Raises ImageBroken where a file cannot be decoded, and OSError
    where a shard cannot be written; what was written stays.
    """
    failed: dict[str, str] = {}
    wanted = sorted({(part.start, part.stop) for stream in streams for part in stream.missing})
    ranges = list(_batches([range(a, b) for a, b in wanted], how.batch_size))
    needed = {id(stream): {row.start for row in stream.missing} for stream in streams}
    decoder = Decoder(source, border, [stream.encoder for stream in streams])
    shards = {id(stream): _Shards(cache, stream.key) for stream in streams}
    total = sum(len(rows) for rows in ranges)
    with (
        ThreadPoolExecutor(how.threads, thread_name_prefix="decode") as pool,
        tqdm(total=total, unit="img", desc=label, disable=not how.progress, mininterval=0.5) as bar,
    ):
        queue: deque[tuple[range, dict[tuple[object, ...], torch.Tensor], list[Future[None]]]] = deque()
        coming = iter(ranges)

        def prefetch() -> None:
            rows = next(coming, None)
            if rows is not None:
                buffers = decoder.buffers(rows)
                queue.append(
                    (rows, buffers, [pool.submit(decoder.fill, row, i, buffers) for i, row in enumerate(rows)])
                )

        try:
            for _ in range(AHEAD):
                prefetch()
            while queue:
                rows, buffers, futures = queue.popleft()
                for future in futures:
                    future.result()
                prefetch()
                shard_start = rows.start // SHARD_ROWS * SHARD_ROWS
                for stream in streams:
                    name = stream.encoder.identity.digest
                    if name in failed or shard_start not in needed[id(stream)]:
                        continue
                    try:
                        features = _forward(stream.encoder, buffers[stream.encoder.pixels.geometry()], how.precision)
                    except (
                        RuntimeError,
                        ValueError,
                        TypeError,
                        IndexError,
                        AttributeError,
                        NotImplementedError,
                    ) as error:
                        failed[name] = (
                            f"the network failed on images {rows.start} to {rows.stop - 1}: {_first_line(error)}"
                        )
                        continue
                    try:
                        shards[id(stream)].add(rows.start, features)
                    except IncompleteFeatures as error:
                        failed[name] = str(error)
                bar.update(len(rows))
                if len(failed) == len(streams):
                    break
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    return failed


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
