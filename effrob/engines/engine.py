"""The seam where jobs run: one method. An engine knows nothing of images, models or features; it is handed a function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Job:
    """One pass over rows [start, stop) of one source by some models; small, picklable, the same on every machine.

    source  the shift whose images are read; models  resolved specs that share the decode
    """

    source: str
    models: tuple[str, ...]
    start: int
    stop: int


@dataclass(frozen=True)
class Outcome:
    """How a job ended: `error` is None, or a sentence; `failed` names the models it concerns (all where empty)."""

    job: Job
    error: str | None = None
    failed: tuple[str, ...] = ()


Work = Callable[[Job], Outcome]


class Engine(Protocol):
    """Runs every job once and says how each ended, in the order given. A failed job does not stop the others."""

    def run(self, work: Work, jobs: Sequence[Job]) -> list[Outcome]: ...
