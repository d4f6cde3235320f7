"""The worker: one pass over a source's images feeds any number of encoders, into the feature cache.

Decoding, copying, the networks and writing overlap. Each image is decoded once whatever the number of models; models whose
PixelSpecs share a geometry share the crop as well. Knows no labels and no heads.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from effrob.errors import IncompleteFeatures
from effrob.features.cache import SHARD_ROWS, FeatureCache, FeatureKey
from effrob.features.loader import Batch, Batches, Crops, Geometry
from effrob.features.pixel_cache import PixelCache, PixelKey, shard_of
from effrob.features.runner import Network
from effrob.features.threads import alone, cores, divide, torch_threads_kept
from effrob.features.transfer import Arrival, DeviceTransfer, Promised
from model_zoo.encoder import Encoder
from shifts.shift import ImageSource

TRIAL = 2  # batches run on one torch thread; the last of them is timed, then the cores are divided


@dataclass(frozen=True)
class Pass:
    """How a pass is made: images a batch, precision, pixel path, and where crops are kept for later models.

    decode_threads  0: divided with torch by what each costs; compiled: through torch.compile, which pays on long passes
    """

    batch_size: int = 64
    precision: str = "fp32"
    path: str = "exact"
    decode_threads: int = 0
    progress: bool = True
    pixel_cache: Path | None = None
    compiled: bool = False


@dataclass
class EncoderJob:
    """One encoder's share of a pass: where its rows go, and which are missing."""

    encoder: Encoder
    key: FeatureKey
    missing: list[range]

    @property
    def name(self) -> str:
        return self.encoder.identity.digest

    @property
    def geometry(self) -> Geometry:
        return self.encoder.pixels.geometry()


@dataclass
class _Rows:
    """Collects one stream's features in order, a shard at a time; a shard never crosses a multiple of SHARD_ROWS."""

    n: int
    parts: list[NDArray[np.float32]] = field(default_factory=list)
    start: int = 0

    def add(self, start: int, features: NDArray[np.float32]) -> tuple[int, NDArray[np.float32]] | None:
        """Rows that follow the ones before; gives a shard's first row and its rows once it is full."""
        if not self.parts:
            self.start = start
        self.parts.append(features)
        stop = start + len(features)
        if stop % SHARD_ROWS and stop != self.n:
            return None
        whole, self.parts = np.concatenate(self.parts), []
        return self.start, whole


def extract(
    source: ImageSource, border: int, streams: Sequence[EncoderJob], cache: FeatureCache, how: Pass, label: str
) -> dict[str, str]:
    """Fill every stream's missing rows from one pass over `source`; returns {model digest: what its network raised}.

    Rows are placed by index; a shard is written as soon as it is full, so a kill loses what is under way, a shard an encoder. A
    network that fails leaves the pass and the others go on. Raises ImageBroken where a file cannot be decoded, and OSError
    where a shard cannot be written; what was written stays.
    """
    shards = sorted({(part.start, part.stop) for stream in streams for part in stream.missing})
    ranges = list(_cut([range(a, b) for a, b in shards], how.batch_size))
    crops = Crops(source, border, how.path, [stream.encoder for stream in streams])
    needed: dict[int, list[EncoderJob]] = {}
    for stream in streams:
        for part in stream.missing:
            needed.setdefault(part.start // SHARD_ROWS, []).append(stream)

    def wanted(rows: range) -> set[Geometry]:
        return {stream.geometry for stream in needed[rows.start // SHARD_ROWS]}

    lane = DeviceTransfer(streams[0].encoder.device)
    kept, keys = _pixel_cache(how, streams, border, shards)
    threads = how.decode_threads or cores()
    with contextlib.ExitStack() as stack:
        most = stack.enter_context(torch_threads_kept())
        torch.set_num_threads(1)
        bar = stack.enter_context(
            tqdm(total=sum(map(len, ranges)), unit="img", desc=label, disable=not how.progress, mininterval=0.5)
        )
        run = stack.enter_context(_Run(streams, cache, how, lane))
        batches = stack.enter_context(Batches(crops, ranges, wanted, threads, lane.empty, kept, keys))
        for number, batch in enumerate(batches, 1):
            begun = time.perf_counter()
            run.step(batch, needed[batch.rows.start // SHARD_ROWS])
            if number == TRIAL and not lane.is_gpu:
                spent = (time.perf_counter() - begun) / len(batch.rows)
                division = divide(cores(), most, crops.seconds, spent)
                torch.set_num_threads(division.torch)
                batches.resize(how.decode_threads or division.decode)
                run.widen(division.batches if lane.device.type == "cpu" else 1)
            bar.update(len(batch.rows))
            if len(run.failed) == len({stream.name for stream in streams}):
                break
        run.drain(0, whole=True)
    return run.failed


class _Run:
    """The networks of a pass, what of theirs is under way, and the thread that writes their shards."""

    def __init__(self, streams: Sequence[EncoderJob], cache: FeatureCache, how: Pass, lane: DeviceTransfer) -> None:
        self.failed: dict[str, str] = {}
        self._cache, self._lane = cache, lane
        self._networks = {id(stream): Network(stream.encoder, how.precision, how.compiled) for stream in streams}
        self._rows = {id(stream): _Rows(stream.key.n) for stream in streams}
        self._coming: deque[list[tuple[EncoderJob, range, Arrival]]] = deque()
        self._writing: deque[tuple[EncoderJob, Future[None]]] = deque()
        self._beside: ThreadPoolExecutor | None = None
        self._depth = lane.depth
        self._open = contextlib.ExitStack()

    def __enter__(self) -> _Run:
        for network in self._networks.values():
            self._open.enter_context(network)
        self._writer = self._open.enter_context(ThreadPoolExecutor(1, thread_name_prefix="write"))
        return self

    def __exit__(self, kind: type[BaseException] | None, *about: object) -> None:
        """Ends the threads. What is still under way when a pass breaks off is waited for by that, so it is kept as well."""
        try:
            if kind is not None and self._beside is not None:
                if not issubclass(kind, Exception):  # an interrupt: nothing more is begun
                    self._beside.shutdown(wait=False, cancel_futures=True)
                with contextlib.suppress(Exception):  # what broke the pass off is what is told
                    self.drain(0, whole=True)
        finally:
            self._open.close()

    def widen(self, batches: int) -> None:
        """From now on so many batches go through the networks at once, in threads of their own, where all bear it."""
        if batches > 1 and all(network.reentrant for network in self._networks.values()):
            threads = ThreadPoolExecutor(batches, thread_name_prefix="network", initializer=alone)
            self._beside, self._depth = self._open.enter_context(threads), batches

    def step(self, batch: Batch, streams: Sequence[EncoderJob]) -> None:
        """One batch through every network that wants it; takes in what has come home meanwhile."""
        there = {}
        under_way: list[tuple[EncoderJob, range, Arrival]] = []
        for stream in streams:
            if stream.name in self.failed:
                continue
            if stream.geometry not in there:
                there[stream.geometry] = self._lane.send(batch.pixels[stream.geometry])
            try:
                under_way.append((stream, batch.rows, self._begin(stream, there[stream.geometry])))
            except Exception as error:
                self._fail(stream, batch.rows, error)
        self._coming.append(under_way)
        self.drain(self._depth)

    def _begin(self, stream: EncoderJob, pixels: torch.Tensor) -> Arrival:
        """A batch on its way through one network."""
        if self._beside is None:
            return self._lane.fetch(self._through(stream, pixels))
        return Promised(self._beside.submit(self._through, stream, pixels))

    def _through(self, stream: EncoderJob, pixels: torch.Tensor) -> torch.Tensor:
        features = self._networks[id(stream)](pixels)
        if features.shape != (len(pixels), stream.encoder.dim):
            wanted = (len(pixels), stream.encoder.dim)
            raise ValueError(f"it gave numbers of shape {tuple(features.shape)}, wanted {wanted}")
        return features

    def drain(self, behind: int, whole: bool = False) -> None:
        """Take in features until at most `behind` batches are under way; `whole`: wait for the disk too."""
        while self._coming and (len(self._coming) > behind or all(arrival.here for *_, arrival in self._coming[0])):
            for stream, rows, arrival in self._coming.popleft():
                if stream.name in self.failed:
                    continue
                try:
                    full = self._rows[id(stream)].add(rows.start, arrival.wait())
                except Exception as error:
                    self._fail(stream, rows, error)
                    continue
                if full is not None:
                    self._writing.append((stream, self._writer.submit(self._cache.write, stream.key, *full)))
        while self._writing and (whole or self._writing[0][1].done()):
            stream, written = self._writing.popleft()
            try:
                written.result()
            except IncompleteFeatures as error:
                self.failed.setdefault(stream.name, str(error))

    def _fail(self, stream: EncoderJob, rows: range, error: Exception) -> None:
        told = (str(error).strip().splitlines() or [""])[0]
        if not told or not isinstance(error, RuntimeError):  # of a KeyError the message is the key alone
            told = f"{type(error).__name__}: {told}".rstrip(": ")
        self.failed[stream.name] = f"the network failed on images {rows.start} to {rows.stop - 1}: {told}"


def _cut(missing: Iterable[range], size: int) -> Iterator[range]:
    """The missing ranges cut into batches that never cross a shard's end."""
    for part in missing:
        start = part.start
        while start < part.stop:
            stop = min(start + size, part.stop, (start // SHARD_ROWS + 1) * SHARD_ROWS)
            yield range(start, stop)
            start = stop


def _pixel_cache(
    how: Pass, streams: Sequence[EncoderJob], border: int, shards: Sequence[tuple[int, int]]
) -> tuple[PixelCache | None, dict[Geometry, PixelKey]]:
    """The cache of crops, if one was asked for and what is missing from it fits on its disk; its size is told beforehand."""
    if how.pixel_cache is None:
        return None, {}
    cache, keys = PixelCache(how.pixel_cache), {}
    missing: dict[PixelKey, list[range]] = {}
    for stream in streams:
        if stream.encoder.transform is None:  # what a user's own transform gives are floats
            key = PixelKey.of(stream.key.source, stream.key.n, stream.encoder.pixels, border, how.path)
            keys[stream.geometry] = key
            missing[key] = cache.missing(key, {shard_of(start, key.n) for start, _ in shards})
    if any(missing.values()):
        fits, told = cache.room_for(missing)
        print(told, file=sys.stderr)
        if not fits:  # what is whole there serves; nothing is begun
            keys = {geometry: key for geometry, key in keys.items() if not missing[key]}
    return cache, keys
