"""Missing features -> jobs. A pure function: nothing is read or loaded, so that `--dry-run` costs nothing.

Models that lack features of the same source share one decoding pass, as many as memory holds.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from effrob.engines.engine import Job

GROUP = 32  # models held together at most
WEIGHTS = 4 << 30  # bytes of weights held together at most, if more than one model is
UNKNOWN = 600 << 20  # bytes of a model's weights where nothing tells: a ViT-L's half, a ViT-B's double


@dataclass(frozen=True)
class Need:
    """A model lacks these rows of a source. `size` is how many images the source holds, `weights` the model's bytes.

    learns  the rows train a head, and no task is scored on them
    """

    model: str
    source: str
    size: int
    missing: tuple[range, ...]
    weights: int = UNKNOWN
    learns: bool = False

    @property
    def rows(self) -> int:
        return sum(len(part) for part in self.missing)


@dataclass(frozen=True)
class Plan:
    """Jobs, and what they amount to: images decoded, and forward passes.

    Jobs of one group of models stand together, so that a model is loaded once whatever the number of sources; `groups` says
    how many jobs each group has.
    """

    jobs: tuple[Job, ...]
    decodes: int
    forwards: int
    groups: tuple[int, ...] = ()

    def waves(self) -> list[tuple[Job, ...]]:
        """The jobs, one tuple a group of models."""
        ends = list(itertools.accumulate(self.groups))
        return [self.jobs[end - size : end] for size, end in zip(self.groups, ends, strict=True)]


def plan(needs: Iterable[Need], group: int = GROUP, weights: int = WEIGHTS, chunk: int | None = None) -> Plan:
    """Form groups of models, and one job a group and source; `chunk` rows a job where an engine spreads them.

    group and weights  models, and bytes of their weights, that are held together at most
    The order is that of the needs, so a plan is the same wherever it is made. Rows nobody lacks are in no job of a chunk.
    """
    waiting = [need for need in needs if need.rows]
    jobs: list[Job] = []
    sizes: list[int] = []
    decodes = forwards = 0
    for models in _groups(waiting, group, weights):
        before = len(jobs)
        by_source: dict[str, list[Need]] = {}
        for need in waiting:
            if need.model in models:
                by_source.setdefault(need.source, []).append(need)
        for source, some in by_source.items():
            parts = sorted({(part.start, part.stop) for need in some for part in need.missing})
            decodes += sum(stop - start for start, stop in parts)
            forwards += sum(need.rows for need in some)
            names = tuple(need.model for need in some)
            learners = tuple(need.model for need in some if need.learns)
            first, last = parts[0][0], parts[-1][1]
            step = chunk or (last - first)
            for start in range(first - first % step if chunk else first, last, step):
                stop = min(start + step, last)
                if any(a < stop and b > start for a, b in parts):
                    jobs.append(Job(source, names, max(start, first), stop, learners))
        sizes.append(len(jobs) - before)
    return Plan(tuple(jobs), decodes, forwards, tuple(sizes))


def _groups(needs: Sequence[Need], most: int, weights: int) -> list[set[str]]:
    """Models in the order of the needs, in groups within both limits; a model larger than `weights` is alone."""
    held: dict[str, int] = {}
    for need in needs:
        held.setdefault(need.model, need.weights)
    groups: list[set[str]] = []
    room = 0
    for model, size in held.items():
        if not groups or size > room or len(groups[-1]) == most:
            groups.append(set())
            room = weights
        groups[-1].add(model)
        room -= size
    return groups
