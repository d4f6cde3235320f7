"""What the probes of a plan will cost, before it is run: by the features in the cache, or by made-up ones of their shape.

Reads a few blocks of cached features and writes nothing; loads no weights.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from effrob.evaluation.cost import WIDTH
from effrob.evaluation.needs import timed
from effrob.evaluation.tasks import EvalTask, ResolvedRequest
from effrob.evaluation.worker import device_of, feature_key, refuse_missing_gpu
from effrob.features.cache import FeatureCache
from effrob.heads.forecast import ProbeForecast, forecast_by_sample, sample_rows
from effrob.heads.probe import Probe, fits
from effrob.heads.shared import classifier_path


@dataclass(frozen=True)
class PlannedProbe:
    """One classifier that a plan will fit.

    cached  timed on the model's own features; else on made-up ones
    width   `cache`, `timings` of an earlier pass, or `unknown`: then a usual number of features was taken
    """

    model: str
    head: str
    train: str
    cost: ProbeForecast
    cached: bool
    width: str

    def as_json(self) -> dict[str, Any]:
        named = {"model": self.model, "head": self.head, "train": self.train}
        return {**named, **asdict(self.cost), "cached": self.cached, "width": self.width}

    def _by(self) -> str:
        if self.cached:
            return "timed on its features in the cache"
        guess = f"; how many features a picture has is not known before the first pass, and {WIDTH} is a guess"
        return "timed on made-up features of that shape" + (guess if self.width == "unknown" else "")


def told(probes: Sequence[PlannedProbe]) -> list[str]:
    """A sentence a probe; those of one cost share theirs."""
    groups: dict[tuple[str, ProbeForecast, str], list[str]] = {}
    for probe in probes:
        groups.setdefault((probe.head, probe.cost, probe._by()), []).append(probe.model)
    lines = []
    for (head, cost, by), models in groups.items():
        each = "" if len(models) == 1 else f" and {len(models) - 1} more, each"
        lines.append(f"{head} of {models[0]}{each}: {cost}; {by}")
    return lines


def planned_probes(resolved: ResolvedRequest, tasks: Sequence[EvalTask], cache: FeatureCache) -> list[PlannedProbe]:
    """Every linear probe that `tasks` lack, each once; other heads learn in seconds and are not forecast."""
    planned: dict[str, PlannedProbe] = {}
    for task in tasks:
        if task.train is None or not task.head.name.startswith("linear-probe"):
            continue
        path = classifier_path(cache.root, task.asked)
        head = task.head.make()
        if isinstance(head, Probe) and str(path) not in planned and not path.is_file():
            planned[str(path)] = _planned(resolved, task, head, cache)
    return list(planned.values())


def _planned(resolved: ResolvedRequest, task: EvalTask, head: Probe, cache: FeatureCache) -> PlannedProbe:
    train, request, device = task.train, resolved.request, device_of(resolved.request)
    refuse_missing_gpu(device)
    assert train is not None
    key = feature_key(request, task.identity, train, resolved.data.source(train))
    rows = sample_rows(len(train.rows), device)
    kept = cache.peek(key, train.rows[:rows])
    known = timed(request, task.identity.asked)
    classes = len(train.labels.parent_ids)
    width = kept.shape[1] if kept is not None else WIDTH if known is None else known.width
    about = classes, head.strengths, device, fits(len(train.rows), width)
    if kept is None:
        cost = _of_shape(len(train.rows), width, *about)
    else:
        cost = forecast_by_sample(kept, train.targets, *about)
    by = "cache" if kept is not None else "unknown" if known is None else "timings"
    return PlannedProbe(task.identity.asked, task.head.name, train.name, cost, kept is not None, by)


@functools.lru_cache(maxsize=64)
def _of_shape(n: int, width: int, classes: int, strengths: int, device: str, resident: bool) -> ProbeForecast:
    """By made-up features; models of one shape are timed once."""
    few = np.random.default_rng(0).standard_normal((sample_rows(n, device), width), dtype=np.float32)
    return forecast_by_sample(few, np.arange(n) % classes, classes, strengths, device, resident)
