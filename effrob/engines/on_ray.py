"""The Ray engine (extra `effrob[ray]`): one task a job on any number of machines, retried where a worker dies.

Features return through Ray's object store and are stored as each job ends, so the machines need the data sets but no
shared disk. `address` is a running cluster's (`auto` for the one this machine belongs to); without it, and without
RAY_ADDRESS, Ray starts here.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import Any

from tqdm import tqdm

from effrob.engines.engine import Job, Outcome, Work
from effrob.engines.ray_watch import BEAT, LEAVE, RayWatch, within
from effrob.errors import UsageProblem, describe_error

RETRIES = 3  # times a job is given to another worker after its worker died


class RayEngine:
    """Sends jobs to Ray tasks; gpus and cpus are what one job claims (fractions of a GPU are fine)."""

    leads = True

    def __init__(self, address: str | None = None, gpus: float = 0.0, cpus: float = 1.0, progress: bool = True) -> None:
        try:
            import ray
        except ImportError as error:
            raise UsageProblem("the engine ray needs the package ray: pip install 'effrob[ray]'") from error
        self.ray, self.gpus, self.cpus, self.progress = ray, gpus, cpus, progress
        if not ray.is_initialized():
            # "local": with None Ray waits for ever for a cluster that its files remember and that has ended.
            address = address or os.environ.get("RAY_ADDRESS") or "local"
            before = signal.getsignal(signal.SIGTERM)
            try:
                ray.init(address=address, log_to_driver=False, logging_level="ERROR", include_dashboard=False)
            except (ConnectionError, ValueError, RuntimeError) as error:
                raise UsageProblem(
                    f"no Ray cluster answers at {address!r} ({error}): start one with `ray start --head`"
                ) from error
            if before == signal.SIG_DFL:
                end_on_sigterm()  # in place of Ray's own handler, which prints a stack and aborts
        have = ray.cluster_resources()
        by_gpu = have.get("GPU", 0.0) / gpus if gpus else float("inf")
        self.workers = max(1, int(min(have.get("CPU", 1.0) / cpus, by_gpu)))
        self._lost = False

    def run(self, work: Work, jobs: Sequence[Job]) -> list[Outcome]:
        """Every job's outcome in the order given; each job's features are stored as soon as it ends."""
        ray = self.ray
        if self._lost:
            return [Outcome(job, "the Ray cluster was lost") for job in jobs]
        watch = RayWatch(ray, ray.get_runtime_context().gcs_address, self.cpus, self.gpus)
        task = ray.remote(num_cpus=self.cpus, num_gpus=self.gpus, max_retries=RETRIES)(_do)
        detached = ray.put(work.detached())
        waiting: dict[Any, int] = {task.remote(detached, job): number for number, job in enumerate(jobs)}
        ended: dict[int, Outcome] = {}
        with tqdm(total=len(jobs), unit="job", desc="ray", disable=not self.progress) as bar:
            while waiting:
                ready, _ = ray.wait(list(waiting), num_returns=1, timeout=BEAT)
                if not ready and (lost := watch.verdict()):
                    return self._give_up(jobs, ended, lost)
                if ready:
                    watch.ended()
                for reference in ready:
                    number = waiting.pop(reference)
                    try:
                        ended[number] = work.absorb(ray.get(reference))
                    except ray.exceptions.RayTaskError as error:  # the job ran and raised what no job should
                        ended[number] = Outcome(jobs[number], describe_error(error.cause or error))
                    except ray.exceptions.RayError as error:
                        why = (str(error).strip().splitlines() or ["a worker died"])[0]
                        ended[number] = Outcome(jobs[number], f"its workers died {RETRIES + 1} times ({why})")
                    bar.update()
        return [ended[number] for number in range(len(jobs))]

    def _give_up(self, jobs: Sequence[Job], ended: Mapping[int, Outcome], why: str) -> list[Outcome]:
        """Part with a cluster that is lost, and say so for each job that had not ended."""
        self._lost = True
        within(LEAVE, self.ray.shutdown)
        said = f"{why}; run this again when a cluster is there: what was computed is kept"
        return [ended.get(number, Outcome(job, said)) for number, job in enumerate(jobs)]


def end_on_sigterm() -> None:
    """Let SIGTERM end this process as an exit does, so that Ray ends its own in order; outside the main thread, nothing."""

    def ended(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, ended)


def _do(work: Any, job: Job) -> Outcome:
    outcome: Outcome = work(job)
    return outcome
