"""The torchrun engine: every rank is started with the same command and takes each world-th job.

    torchrun --nproc-per-node 8 -m effrob eval ... --engine torchrun

Ranks share the cache's disk. There is one exchange before the jobs (rank 0's plan, so that all slice the same list) and one
after them; none in between, so a slow rank holds nobody up. Both go through torchrun's own key-value store, whatever the
networks run on: a process group would have to be connected anew after every restart, and no collective is needed. The other
ranks stay until rank 0 has written its records: torchrun starts nothing again on a node whose processes have ended.
"""

from __future__ import annotations

import functools
import os
import pickle
from collections.abc import Sequence
from datetime import timedelta

from effrob.engines.engine import Job, Outcome, Work
from effrob.engines.ranks import KEPT, Ranks
from effrob.errors import RunFailed, UsageProblem

CONNECT = timedelta(minutes=30)  # how long a rank tries to reach the store


class TorchrunEngine:
    """Slices the jobs by rank. Only rank 0 leads."""

    def __init__(self) -> None:
        rank, workers = os.environ.get("RANK", ""), os.environ.get("WORLD_SIZE", "")
        if not (rank.isdecimal() and workers.isdecimal() and int(rank) < int(workers)):
            raise UsageProblem(
                f"the engine torchrun is started by torchrun, which counts its processes (RANK here is {rank or 'not set'}, "
                f"WORLD_SIZE {workers or 'not set'}): torchrun --nproc-per-node 2 -m effrob eval ... --engine torchrun"
            )
        self.rank, self.workers = int(rank), int(workers)
        self.leads = self.rank == 0
        self._rounds = 0
        self._hosted = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
        if self._hosted:
            _ = self._ranks  # signs of life from here on, also while the weights are being fetched

    def run(self, work: Work, jobs: Sequence[Job]) -> list[Outcome]:
        """This rank's jobs are done here; the outcomes of all come back on rank 0, in the order of the jobs."""
        ranks, self._rounds = self._ranks, self._rounds + 1
        plan, done = f"{self._rounds}/plan", f"{self._rounds}/done"
        try:
            ranks.agree()
            if self.leads:
                ranks.set(plan, pickle.dumps(tuple(jobs)))
            every: tuple[Job, ...] = pickle.loads(ranks.wait(plan, 0))  # from our own rank 0
            mine = [(number, work(every[number])) for number in range(self.rank, len(every), self.workers)]
            ranks.set(f"{done}/{self.rank}", pickle.dumps(mine))
            if not self.leads:
                self._stay(ranks)
                return [outcome for _, outcome in mine]
            ended = [pair for rank in range(self.workers) for pair in pickle.loads(ranks.wait(f"{done}/{rank}", rank))]
        except RuntimeError as error:  # torch's DistError
            raise self._lost(error) from error
        return [outcome for _, outcome in sorted(ended, key=lambda pair: pair[0])]

    def _stay(self, ranks: Ranks) -> None:
        """Wait for rank 0 to end; where it holds the store itself, the store ends with it."""
        try:
            ranks.wait("over", 0)
        except RuntimeError:
            if self._hosted:
                raise

    @functools.cached_property
    def _ranks(self) -> Ranks:
        from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]

        try:
            store = TCPStore(
                os.environ.get("MASTER_ADDR", "localhost"),
                int(os.environ.get("MASTER_PORT", "29500")),
                self.workers,
                is_master=self.leads and not self._hosted,
                timeout=CONNECT,
                wait_for_workers=False,
            )
        except RuntimeError as error:
            raise self._lost(error) from error
        return Ranks(PrefixStore("effrob", store), self.rank, self.workers)

    def _lost(self, error: RuntimeError) -> RunFailed:
        return RunFailed(f"the ranks cannot reach one another ({(str(error).splitlines() or [''])[0][:200]}); {KEPT}")
