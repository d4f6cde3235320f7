"""What an engine runs: a job names a set and models; one pass over the images fills the feature cache.

A worker holds plain data, so it can be sent to another process; what it loads stays in that process for the next job.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

import model_zoo
from effrob.engines.engine import Job, Outcome
from effrob.errors import EffrobError, UsageProblem, describe_error, stops_one_thing
from effrob.evaluation.content import checked, source_digest
from effrob.evaluation.cost import Timed, Timings
from effrob.evaluation.data import load_set
from effrob.evaluation.plan import UNKNOWN
from effrob.evaluation.precision_effect import sample_key, sampled_rows, whole_key
from effrob.evaluation.request import Request
from effrob.features import nvjpeg
from effrob.features.cache import FeatureCache, FeatureKey
from effrob.features.extract import EncoderJob, Pass, extract
from effrob.files import own_scratch, sweep, temporary
from effrob.heads.splits import no_features
from model_zoo.encoder import Encoder, Identity, noise_allowed
from shifts.shift import Shift


class EncoderPool(threading.local):
    """The models that this thread holds: those of one group stay for its jobs and for their text, until another is wanted."""

    def __init__(self) -> None:
        self._group: tuple[str, ...] = ()
        self._loaded: dict[tuple[str, str], Encoder] = {}

    def make_room(self, models: tuple[str, ...]) -> None:
        """Drop the loaded models, unless all of `models` belong to their group."""
        if not set(models) <= set(self._group):
            self.clear()
            self._group = models

    def keep_only(self, digests: Mapping[str, str]) -> None:
        """Drop every model that is not of this digest by now: its name was given to another, or its weights changed."""
        self._loaded = {
            key: encoder for key, encoder in self._loaded.items() if digests.get(key[0]) == encoder.identity.digest
        }

    def load(self, spec: str, device: str, allow_nondeterminism: bool = False) -> Encoder:
        """The model, loaded once while its group is held."""
        self.make_room((spec,))
        if (spec, device) not in self._loaded:
            with noise_allowed(allow_nondeterminism):
                self._loaded[spec, device] = model_zoo.load(spec, device)
        return self._loaded[spec, device]

    def clear(self) -> None:
        """Drop all models."""
        self._group = ()
        self._loaded.clear()


ENCODERS = EncoderPool()


def device_of(request: Request) -> str:
    """`cpu` or `cuda`, with `auto` resolved on the machine that runs."""
    if request.device not in ("auto", "cuda"):
        return request.device
    if request.device == "auto" and not torch.cuda.is_available():
        return "cpu"
    return f"cuda:{os.environ['LOCAL_RANK']}" if "LOCAL_RANK" in os.environ else "cuda"


def refuse_missing_gpu(device: str) -> None:
    """Raises UsageProblem for a GPU that torch does not see on this machine."""
    if device.startswith("cuda") and (torch.device(device).index or 0) >= torch.cuda.device_count():
        seen = torch.cuda.device_count()
        raise UsageProblem(
            f"this run is to use {device}, and torch sees {seen or 'no'} GPU{'s' if seen > 1 else ''} here: leave --device "
            "out, or start fewer processes"
        )


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
            if request.pixels == "nvjpeg":
                nvjpeg.check(torch.device(device_of(request)))
            shift = load_set(request, job.source)
            wanted = self._encoder_jobs(job, shift, cache, failures)
            if wanted:
                how = Pass(
                    request.batch_size,
                    request.precision,
                    request.pixels,
                    progress=request.progress,
                    pixel_cache=request.pixel_cache,
                    allow_nondeterminism=request.allow_nondeterminism,
                )
                label = f"{job.source} × {f'{len(wanted)} models' if len(wanted) > 1 else next(iter(wanted))}"
                self._sample(job, shift, wanted, cache, how)
                begun = time.monotonic()
                source = checked(shift.source, next(iter(wanted.values())).key.source, request.cache)
                raised = extract(source, shift.border, list(wanted.values()), cache, how, label)
                if not raised:
                    self._note(wanted, time.monotonic() - begun)
                failures |= {spec: raised[each.name] for spec, each in wanted.items() if each.name in raised}
        except BaseException as error:
            return Outcome(job, stops_one_thing(error))
        if failures:
            return Outcome(job, "; ".join(f"{spec}: {why}" for spec, why in failures.items()), tuple(failures))
        return Outcome(job)

    def _encoder_jobs(
        self, job: Job, shift: Shift, cache: FeatureCache, failures: dict[str, str]
    ) -> dict[str, EncoderJob]:
        """The job's models that lack rows of it, loaded; why one cannot be used goes into `failures`."""
        source = source_digest(shift.source, self.request.cache)
        ENCODERS.make_room(job.models)
        wanted: dict[str, EncoderJob] = {}
        for spec in job.models:
            try:
                encoder = ENCODERS.load(spec, device_of(self.request), self.request.allow_nondeterminism)
            except BaseException as error:
                failures[spec] = stops_one_thing(error)
                continue
            if spec in job.learners and encoder.kind == "logits":
                failures[spec] = no_features(spec)
                continue
            key = feature_key(self.request, encoder.identity, shift, source)
            missing = [part for part in cache.missing(key) if job.start <= part.start and part.stop <= job.stop]
            cache.open(key, {"kind": encoder.kind, "dim": encoder.dim, "model": str(encoder.identity.spec)})
            if missing:
                wanted[spec] = EncoderJob(encoder, key, missing)
        return wanted

    def _sample(self, job: Job, shift: Shift, wanted: dict[str, EncoderJob], cache: FeatureCache, how: Pass) -> None:
        """Some images in float32 beforehand, for each model that will run otherwise; of a set's jobs, the first does it."""
        wholes: list[EncoderJob] = []
        for each in wanted.values():
            key = sample_key(each.key)
            if key is not None and job.start == 0 and not cache.has(whole_key(each.key)) and cache.missing(key):
                cache.open(key, cache.meta(each.key) | {"sample_of": each.key.source})
                wholes.append(dataclasses.replace(each, key=key, missing=cache.missing(key)))
        if wholes:
            few = shift.source.select(sampled_rows(len(shift.source.ids)))
            plain = dataclasses.replace(how, precision="fp32", path="exact", pixel_cache=None)
            raised = extract(few, shift.border, wholes, cache, plain, f"{job.source}, some images in float32")
            for spec, each in wanted.items():
                if each.name in raised:
                    print(f"{spec} on {job.source} is not compared with float32: {raised[each.name]}", file=sys.stderr)

    def _note(self, wanted: dict[str, EncoderJob], seconds: float) -> None:
        """Keep what the pass took, for forecasts; every image of every model counts the same."""
        request = self.request
        each = seconds / max(1, sum(len(part) for job in wanted.values() for part in job.missing))
        for spec, job in wanted.items():
            module = job.encoder.module
            size = UNKNOWN if module is None else sum(p.numel() * p.element_size() for p in module.parameters())
            timed = Timed(each, job.encoder.dim, size)
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
        scratch = own_scratch("effrob-detached")
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
