"""The interface of engines: one method that runs jobs. What a job does is passed in as a `Work`.

A `Work` is picklable. Where the workers share the caller's disk it writes its results itself; where they do not, its
`detached` form returns them in the outcome, and `absorb` stores them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True)
class Job:
    """One pass over rows [start, stop) of one source by some models; small, picklable, the same on every machine.

    source    the shift whose images are read;  models  resolved specs that share the decode
    learners  those of them that use its features only to train a head
    """

    source: str
    models: tuple[str, ...]
    start: int
    stop: int
    learners: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.source} rows {self.start} to {self.stop - 1}"


@dataclass(frozen=True)
class Outcome:
    """How a job ended: `error` is None, or a sentence; `failed` names the models it concerns (all where empty).

    cargo  the results of a detached worker, for `absorb` only
    """

    job: Job
    error: str | None = None
    failed: tuple[str, ...] = ()
    cargo: tuple[Any, ...] = field(default=(), repr=False)


class Work(Protocol):
    """What is done for a job, in this process or another. Never raises for what can go wrong with data, models or disks."""

    def __call__(self, job: Job) -> Outcome: ...

    def detached(self) -> Callable[[Job], Outcome]:
        """A picklable form for a worker without the caller's disk: its outcomes carry cargo."""

    def absorb(self, outcome: Outcome) -> Outcome:
        """Store a detached outcome's cargo, and return the outcome without it."""


class Engine(Protocol):
    """Runs every job once and says how each ended, in the order given. A failed job does not stop the others.

    workers  how many run at once; leads: False in a process that only helps and must not write records
    """

    workers: int
    leads: bool

    def run(self, work: Work, jobs: Sequence[Job]) -> list[Outcome]: ...
