"""What was asked -> jobs. Pure: needs in, jobs out, nothing read or loaded, so that `--dry-run` costs nothing.

Work is shared: models that lack features of the same source go through one decode, a few at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from effrob.engines.engine import Job

GROUP = 4  # models held in memory together; one decode feeds them all


@dataclass(frozen=True)
class Need:
    """A model lacks these rows of a source. `size` is how many images the source holds."""

    model: str
    source: str
    size: int
    missing: tuple[range, ...]

    @property
    def rows(self) -> int:
        return sum(len(part) for part in self.missing)


@dataclass(frozen=True)
class Plan:
    """Jobs, and what they amount to: images decoded, forward passes, bytes of features to be written."""

    jobs: tuple[Job, ...]
    decodes: int
    forwards: int


def plan(needs: Iterable[Need], group: int = GROUP, chunk: int | None = None) -> Plan:
    """Group needs by source into jobs of at most `group` models; `chunk` rows a job where an engine spreads them.

    The order is that of the needs, so a plan is the same wherever it is made.
    """
    by_source: dict[str, list[Need]] = {}
    for need in needs:
        if need.rows:
            by_source.setdefault(need.source, []).append(need)
    jobs: list[Job] = []
    decodes = forwards = 0
    for source, waiting in by_source.items():
        for some in _groups(waiting, group):
            models = tuple(need.model for need in some)
            parts = sorted({(part.start, part.stop) for need in some for part in need.missing})
            decodes += sum(stop - start for start, stop in parts)
            forwards += sum(need.rows for need in some)
            first, last = parts[0][0], parts[-1][1]
            step = chunk or (last - first)
            jobs += [Job(source, models, start, min(start + step, last)) for start in range(first, last, step)]
    return Plan(tuple(jobs), decodes, forwards)


def _groups(needs: Sequence[Need], size: int) -> Iterable[Sequence[Need]]:
    return (needs[start : start + size] for start in range(0, len(needs), size))
