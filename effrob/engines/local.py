"""The local engine: one job after another, in this process, which keeps its loaded models between jobs."""

from __future__ import annotations

from collections.abc import Sequence

from effrob.engines.engine import Job, Outcome, Work


class LocalEngine:
    """Runs jobs in this process, one after another."""

    workers = 1
    leads = True

    def run(self, work: Work, jobs: Sequence[Job]) -> list[Outcome]:
        return [work(job) for job in jobs]
