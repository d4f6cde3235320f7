"""Feature extraction: one pass over a source's images feeds any number of encoders and fills the feature cache.

Decoding, copying, the networks and writing overlap. Each image is decoded once whatever the number of models; models whose
PixelSpecs have the same geometry share the crop as well.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from effrob.errors import IncompleteFeatures
from effrob.features.cache import SHARD_ROWS, FeatureCache, FeatureKey
from effrob.features.loader import Batch, Batches, Crops, Geometry
from effrob.features.pixel_cache import PixelCache, PixelKey, shard_of
from effrob.features.runner import Network
from effrob.features.shard_rows import GatheredRows, cut
from effrob.features.stability import Asked, PassSample, ask_again
from effrob.features.threads import cores, divide, torch_threads_restored, use_one_thread
from effrob.features.transfer import DeviceTransfer, PendingFeatures
from model_zoo.encoder import Encoder
from shifts.shift import ImageSource

_ONE_PASS = threading.Lock()  # torch's number of threads is the process's: a second pass in another thread waits


@dataclass(frozen=True)
class Pass:
    """How a pass is made: images a batch, precision, pixel path, and where crops are kept for later models.

    precision       one of `effrob.features.precision.PRECISIONS`
    decode_threads  0: divided with torch by what each costs
    allow_nondeterminism  answers that depend on batch, order, calls or chance are kept, and noted beside the features
    """

    batch_size: int = 64
    precision: str = "fp32"
    path: str = "exact"
    decode_threads: int = 0
    progress: bool = True
    pixel_cache: Path | None = None
    allow_nondeterminism: bool = False


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


def extract(
    source: ImageSource, border: int, jobs: Sequence[EncoderJob], cache: FeatureCache, how: Pass, label: str
) -> dict[str, str]:
    """Compute every job's missing rows in one pass over `source`; returns {model digest: what its network raised}.

    A shard is written as soon as it is full, so a killed process loses a shard an encoder at most, and the batches in flight
    beyond it. A network that fails is left out from then on, and the others continue. Raises ImageBroken where a file cannot
    be decoded, and OSError where a shard cannot be written; what was written stays.
    """
    shards = sorted({(part.start, part.stop) for job in jobs for part in job.missing})
    ranges = list(cut([range(a, b) for a, b in shards], how.batch_size))
    transfer = DeviceTransfer(jobs[0].encoder.device)
    threads = how.decode_threads or cores()
    turns = threading.Semaphore(max(cores(), threads))
    crops = Crops(source, border, how.path, [job.encoder for job in jobs], sum(map(len, ranges)), transfer, turns)
    empty = transfer.empty if crops.decoder is None else transfer.empty_there
    needed: dict[int, list[EncoderJob]] = {}
    for job in jobs:
        for part in job.missing:
            needed.setdefault(part.start // SHARD_ROWS, []).append(job)

    def wanted(rows: range) -> set[Geometry]:
        return {job.geometry for job in needed[rows.start // SHARD_ROWS]}

    pixel_cache, keys = _pixel_cache(how, jobs, border, shards)
    with _ONE_PASS, contextlib.ExitStack() as stack:
        user_threads = stack.enter_context(torch_threads_restored())
        torch.set_num_threads(1)
        bar = stack.enter_context(
            tqdm(total=sum(map(len, ranges)), unit="img", desc=label, disable=not how.progress, mininterval=0.5)
        )
        run = stack.enter_context(_Run(jobs, cache, how, transfer, sum(map(len, ranges)), turns))
        batches = stack.enter_context(Batches(crops, ranges, wanted, threads, empty, pixel_cache, keys))
        for number, batch in enumerate(batches):
            begun = time.perf_counter()
            run.submit(batch, needed[batch.rows.start // SHARD_ROWS])
            if number == 0 and not transfer.is_gpu:  # it ran on one of torch's threads
                spent = (time.perf_counter() - begun) / len(batch.rows)
                division = divide(cores(), user_threads, crops.seconds, spent)
                torch.set_num_threads(division.torch)
                batches.resize(how.decode_threads or division.decode)
                run.widen(division.batches if transfer.device.type == "cpu" else 1)
            bar.update(len(batch.rows))
            if len(run.failed) == len({job.name for job in jobs}):
                break
        run.end()
    return run.failed


class _Started(NamedTuple):
    """A batch on its way through one network; `again`: its images that are asked a second time."""

    job: EncoderJob
    rows: range
    features: PendingFeatures
    again: Asked | None


class _Run:
    """The networks of a pass, the batches in flight, and the thread that writes shards."""

    def __init__(
        self,
        jobs: Sequence[EncoderJob],
        cache: FeatureCache,
        how: Pass,
        transfer: DeviceTransfer,
        images: int,
        turns: threading.Semaphore,
    ) -> None:
        self.failed: dict[str, str] = {}
        self._cache, self._transfer, self._how, self._sample = cache, transfer, how, PassSample(images)
        self._networks = {id(job): Network(job.encoder, how.precision) for job in jobs}
        self._first: dict[int, tuple[EncoderJob, range, Asked, NDArray[np.float32]]] = {}
        self._unsteady: list[EncoderJob] = []
        self._rows = {id(job): GatheredRows(job.key.n) for job in jobs}
        self._pending: deque[list[_Started]] = deque()
        self._writing: deque[tuple[EncoderJob, Future[None]]] = deque()
        self._threads: ThreadPoolExecutor | None = None
        self._depth, self._turns = transfer.depth, turns
        self._open = contextlib.ExitStack()

    def __enter__(self) -> _Run:
        for network in self._networks.values():
            self._open.enter_context(network)
        self._writer = self._open.enter_context(ThreadPoolExecutor(1, thread_name_prefix="write"))
        return self

    def __exit__(self, kind: type[BaseException] | None, *about: object) -> None:
        """End the threads. Batches in flight when a pass breaks off are waited for and written as well."""
        try:
            if kind is not None and self._threads is not None:
                if not issubclass(kind, Exception):  # an interrupt: start nothing more
                    self._threads.shutdown(wait=False, cancel_futures=True)
                with contextlib.suppress(Exception):  # the first error is the one to report
                    self.drain(0, whole=True)
        finally:
            self._open.close()

    def widen(self, batches: int) -> None:
        """Run so many batches at once from now on, each in a thread, where every network is reentrant."""
        if batches > 1 and all(network.reentrant for network in self._networks.values()):
            threads = ThreadPoolExecutor(batches, thread_name_prefix="network", initializer=use_one_thread)
            self._threads, self._depth = self._open.enter_context(threads), batches

    def submit(self, batch: Batch, jobs: Sequence[EncoderJob]) -> None:
        """Start one batch on every network that needs it, and collect what has finished meanwhile."""
        on_device = {}
        started: list[_Started] = []
        sampled = self._sample.takes(len(batch.rows))
        for job in jobs:
            if job.name in self.failed:
                continue
            if job.geometry not in on_device:
                on_device[job.geometry] = self._transfer.send(batch.pixels[job.geometry])
            try:
                pixels = on_device[job.geometry]
                again = Asked.of(pixels) if sampled else None
                started.append(_Started(job, batch.rows, self._start(job, pixels), again))
            except BaseException as error:
                self._fail(job, batch.rows, error)
        self._pending.append(started)
        self.drain(self._depth)

    def _start(self, job: EncoderJob, pixels: torch.Tensor) -> PendingFeatures:
        """Start one batch on one network."""
        if self._threads is None:
            return self._transfer.fetch(self._embed(job, pixels))
        return self._threads.submit(self._in_turn, job, pixels)

    def _in_turn(self, job: EncoderJob, pixels: torch.Tensor) -> NDArray[np.float32]:
        with self._turns:
            return self._embed(job, pixels).numpy()

    def _embed(self, job: EncoderJob, pixels: torch.Tensor) -> torch.Tensor:
        features = self._networks[id(job)](pixels)
        if features.shape != (len(pixels), job.encoder.dim):
            wanted = (len(pixels), job.encoder.dim)
            raise ValueError(f"it gave numbers of shape {tuple(features.shape)}, wanted {wanted}")
        return features

    def drain(self, behind: int, whole: bool = False) -> None:
        """Collect features until at most `behind` batches are in flight; `whole`: wait for the disk too."""
        while self._pending and (len(self._pending) > behind or all(each.features.done() for each in self._pending[0])):
            for job, rows, features, again in self._pending.popleft():
                if job.name in self.failed:
                    continue
                try:
                    answers = features.result()
                    if again is not None and not self._steady(job, rows, again, answers):
                        continue
                    full = self._rows[id(job)].add(rows.start, answers)
                except BaseException as error:
                    self._fail(job, rows, error)
                    continue
                if full is not None:
                    self._writing.append((job, self._writer.submit(self._cache.write, job.key, *full)))
        while self._writing and (whole or self._writing[0][1].done()):
            job, written = self._writing.popleft()
            try:
                written.result()
            except IncompleteFeatures as error:
                self.failed.setdefault(job.name, str(error))

    def _steady(self, job: EncoderJob, rows: range, again: Asked, answers: NDArray[np.float32]) -> bool:
        """Ask some images of a batch again. False where the answers are no facts, and that was not allowed."""
        found = ask_again(self._networks[id(job)], again, answers, self._how.precision)
        self._first.setdefault(id(job), (job, rows, again, answers))
        if found is None:
            return True
        if self._how.allow_nondeterminism:
            self._cache.note(job.key, {"nondeterminism": found.as_json()})
            return True
        self._unsteady.append(job)
        self.failed[job.name] = (
            f"the network's answers to images {rows.start} to {rows.stop - 1} are no facts about them: {found}. Switch off "
            f"what makes them vary, or say --allow-nondeterminism, and the record holds how far they vary"
        )
        return False

    def end(self) -> None:
        """Wait for what is in flight, ask the first images once more, and drop every row of a network that varies."""
        self.drain(0, whole=True)
        for job, rows, again, answers in self._first.values():
            if job.name not in self.failed:
                try:
                    self._steady(job, rows, again, answers)
                except BaseException as error:
                    self._fail(job, rows, error)
        for job in self._unsteady:
            self._cache.discard(job.key)

    def _fail(self, job: EncoderJob, rows: range, error: BaseException) -> None:
        if isinstance(error, KeyboardInterrupt):
            raise error
        message = (str(error).strip().splitlines() or [""])[0]
        if not message or not isinstance(error, RuntimeError):  # of a KeyError the message is the key alone
            message = f"{type(error).__name__}: {message}".rstrip(": ")
        self.failed[job.name] = f"the network failed on images {rows.start} to {rows.stop - 1}: {message}"


def _pixel_cache(
    how: Pass, jobs: Sequence[EncoderJob], border: int, shards: Sequence[tuple[int, int]]
) -> tuple[PixelCache | None, dict[Geometry, PixelKey]]:
    """The cache of crops, if one was asked for and its missing shards fit on the disk; prints their size beforehand."""
    if how.pixel_cache is None:
        return None, {}
    cache, keys = PixelCache(how.pixel_cache), {}
    missing: dict[PixelKey, list[range]] = {}
    for job in jobs:
        if job.encoder.transform is None:  # a user's own transform gives floats, which are not cached
            key = PixelKey.of(job.key.source, job.key.n, job.encoder.pixels, border, how.path)
            keys[job.geometry] = key
            missing[key] = cache.missing(key, {shard_of(start, key.n) for start, _ in shards})
    if any(missing.values()):
        fits, sentence = cache.room_for(missing)
        print(sentence, file=sys.stderr)
        if not fits:  # complete crops are still read; none is written
            keys = {geometry: key for geometry, key in keys.items() if not missing[key]}
    return cache, keys
