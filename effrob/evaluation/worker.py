"""What an engine runs: a job's names become images and networks, and one pass fills the feature cache.

A worker is made of plain data, so it can be sent to another process; what it loads it keeps for the next job there.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch

import model_zoo
import shifts
from effrob.engines.engine import Job, Outcome
from effrob.errors import EffrobError, describe_error
from effrob.evaluation.cost import Timed, Timings
from effrob.evaluation.plan import UNKNOWN
from effrob.evaluation.request import Request
from effrob.features.cache import FeatureCache, FeatureKey
from effrob.features.extract import EncoderJob, Pass, extract
from effrob.files import sweep, temporary, write_json
from effrob.heads.splits import no_features
from model_zoo.encoder import Encoder, Identity
from shifts.shift import ImageSource, Shift

UNREAD = "unread:"  # begins the digest of a source whose content was not read


@lru_cache(maxsize=64)
def load_shift(
    name: str, data: Path | None, protocol: str, partial: bool, limit: int | None, train_limit: int | None, pocket: Path
) -> Shift:
    """A shift as the request wants it; pocket sets are generated into `pocket` where the data folder lacks them."""
    allowed = partial or limit is not None
    shift = shifts.load(name, root=data, protocol=protocol, partial=allowed, generate_into=pocket)
    if name.endswith("-train"):
        return shift if train_limit is None else shift.limited_per_class(train_limit)
    return shift if limit is None else shift.limited(limit)


def shift_of(request: Request, name: str) -> Shift:
    """The shift `name` of this request; loaded once a process."""
    data, pocket = request.data, request.cache / "pocket"
    if name == request.train and not name.endswith("-train"):  # a labelled list: the limit of images is the other one
        shift = load_shift(name, data, request.protocol, request.partial, None, None, pocket)
        return shift if request.train_limit is None else shift.limited_per_class(request.train_limit)
    return load_shift(name, data, request.protocol, request.partial, request.limit, request.train_limit, pocket)


class Models:
    """Loaded models: those of one group stay for the jobs that follow, and for their text, until another group is wanted."""

    def __init__(self) -> None:
        self._group: tuple[str, ...] = ()
        self._loaded: dict[tuple[str, str], Encoder] = {}

    def make_room(self, models: tuple[str, ...]) -> None:
        """Let go of the loaded models where others are wanted now; where these are among them, they all stay."""
        if not set(models) <= set(self._group):
            self.cache_clear()
            self._group = models

    def __call__(self, spec: str, device: str) -> Encoder:
        """The model, loaded once while its group is wanted."""
        self.make_room((spec,))
        if (spec, device) not in self._loaded:
            self._loaded[spec, device] = model_zoo.load(spec, device)
        return self._loaded[spec, device]

    def cache_clear(self) -> None:
        """Let go of all."""
        self._group = ()
        self._loaded.clear()


load_encoder = Models()


def device_of(request: Request) -> str:
    """`cpu` or `cuda`, with `auto` resolved on the machine that runs."""
    if request.device not in ("auto", "cuda"):
        return request.device
    if request.device == "auto" and not torch.cuda.is_available():
        return "cpu"
    return f"cuda:{os.environ['LOCAL_RANK']}" if "LOCAL_RANK" in os.environ else "cuda"


def source_digest(source: ImageSource, cache: Path, read: bool = True) -> str:
    """The digest of a source's content, remembered in the cache under its names, sizes and modification times.

    Where it is not remembered the content is read; with `read` False it gets a name that no content has.
    """
    stat = source.stat()
    path = cache / "sources" / f"{stat}.json"
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["digest"])
    except (OSError, ValueError, KeyError, TypeError):
        if not read:
            return f"{UNREAD}{stat}"
        digest = source.digest()
        write_json(path, {"digest": digest, "images": len(source.ids)})
        return digest


def feature_key(request: Request, identity: Identity, shift: Shift, source: str) -> FeatureKey:
    """The key of one model's features on one shift's source, whose digest is `source`."""
    return FeatureKey(
        model=identity.digest,
        layer=identity.layer,
        pixels=identity.pixels.digest(),
        path=request.pixels,
        border=shift.border,
        source=source,
        n=len(shift.source.ids),
        precision=request.precision,
    )


@dataclass(frozen=True)
class Worker:
    """Runs one job of a request. Never raises for what can go wrong with data, models or disks: the outcome says it."""

    request: Request

    def __call__(self, job: Job) -> Outcome:
        request, cache = self.request, FeatureCache(self.request.cache)
        failures: dict[str, str] = {}
        try:
            shift = shift_of(request, job.source)
            source = source_digest(shift.source, request.cache)
            load_encoder.make_room(job.models)
            streams: dict[str, EncoderJob] = {}
            for spec in job.models:
                try:
                    encoder = load_encoder(spec, device_of(request))
                except (EffrobError, ValueError, LookupError, OSError, RuntimeError, ImportError) as error:
                    failures[spec] = describe_error(error)
                    continue
                if spec in job.learners and encoder.kind == "logits":
                    failures[spec] = no_features(spec)
                    continue
                key = feature_key(request, encoder.identity, shift, source)
                missing = [p for p in cache.missing(key) if job.start <= p.start and p.stop <= job.stop]
                cache.open(key, {"kind": encoder.kind, "dim": encoder.dim, "model": str(encoder.identity.spec)})
                if missing:
                    streams[spec] = EncoderJob(encoder, key, missing)
            if streams:
                how = Pass(
                    request.batch_size,
                    request.precision,
                    request.pixels,
                    progress=request.progress,
                    pixel_cache=request.pixel_cache,
                )
                label = (
                    f"{job.source} × {len(streams)} models"
                    if len(streams) > 1
                    else f"{job.source} × {next(iter(streams))}"
                )
                begun = time.monotonic()
                raised = extract(shift.source, shift.border, list(streams.values()), cache, how, label)
                if not raised:
                    self._note(streams, time.monotonic() - begun)
                failures |= {
                    s: raised[x.encoder.identity.digest]
                    for s, x in streams.items()
                    if x.encoder.identity.digest in raised
                }
        except (EffrobError, ValueError, LookupError, OSError, MemoryError) as error:
            return Outcome(job, describe_error(error))
        if failures:
            return Outcome(job, "; ".join(f"{spec}: {why}" for spec, why in failures.items()), tuple(failures))
        return Outcome(job)

    def _note(self, streams: dict[str, EncoderJob], seconds: float) -> None:
        """Keep what the pass took, for forecasts; each model's images weigh the same."""
        request = self.request
        each = seconds / max(1, sum(len(part) for stream in streams.values() for part in stream.missing))
        for spec, stream in streams.items():
            module = stream.encoder.module
            held = UNKNOWN if module is None else sum(p.numel() * p.element_size() for p in module.parameters())
            timed = Timed(each, stream.encoder.dim, held)
            Timings(request.cache).note(spec, device_of(request), request.pixels, timed)

    def detached(self) -> Callable[[Job], Outcome]:
        """The same work for a process without this one's disk."""
        return DetachedWorker(self.request)

    def absorb(self, outcome: Outcome) -> Outcome:
        """Write the shards a detached worker brought home into this cache."""
        cache = FeatureCache(self.request.cache)
        try:
            for key, meta, start, rows in outcome.cargo:
                if not cache.has(key):
                    cache.open(key, meta)
                    cache.write(key, start, rows)
        except (EffrobError, OSError) as error:
            return Outcome(outcome.job, describe_error(error), outcome.failed)
        return dataclasses.replace(outcome, cargo=())


@dataclass(frozen=True)
class DetachedWorker:
    """Runs one job in a scratch cache and carries the shards home; only digests of sources stay behind for the next job."""

    request: Request

    def __call__(self, job: Job) -> Outcome:
        scratch = Path(tempfile.gettempdir()) / f"effrob-detached-{os.getuid()}"
        scratch.mkdir(mode=0o700, exist_ok=True)
        sweep(scratch)
        own = temporary(scratch / "job")  # so that what a killed worker leaves is swept by the next one
        own.mkdir()
        try:
            for shared in ("sources", "pocket"):
                (scratch / shared).mkdir(exist_ok=True)
                (own / shared).symlink_to(scratch / shared)
            request = dataclasses.replace(self.request, cache=own, progress=False)
            outcome = Worker(request)(job)
            cache, cargo = FeatureCache(own), []
            for key, meta in cache.filed():
                cargo += [(key, meta, start, rows) for start, rows in cache.shards(key)]
        finally:
            shutil.rmtree(own, ignore_errors=True)
        return dataclasses.replace(outcome, cargo=tuple(cargo))
