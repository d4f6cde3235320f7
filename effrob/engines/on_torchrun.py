"""The torchrun engine: every rank is started with the same command and takes each world-th job.

    torchrun --nproc-per-node 8 -m effrob eval ... --engine torchrun

Ranks share the cache's disk. There is one exchange before the jobs (rank 0's plan, so that all slice the same list) and one
after them; none in between, so a slow rank holds nobody up. Both go through torchrun's own key-value store, whatever the
networks run on: a process group would have to be connected anew after every restart, and no collective is needed.
"""

from __future__ import annotations

import functools
import os
import pickle
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from effrob.engines.engine import Job, Outcome, Work
from effrob.errors import RunFailed, UsageProblem

PATIENCE = timedelta(days=7)  # how long a rank that is done waits for the others; torchrun ends all where one dies


class TorchrunEngine:
    """Slices the jobs by rank. Only rank 0 leads."""

    def __init__(self) -> None:
        if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
            raise UsageProblem(
                "the engine torchrun is started by torchrun: torchrun --nproc-per-node 2 -m effrob eval ... --engine torchrun"
            )
        self.rank, self.workers = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        self.leads = self.rank == 0
        self._rounds = 0

    def run(self, work: Work, jobs: Sequence[Job]) -> list[Outcome]:
        """This rank's jobs are done here; the outcomes of all come back on rank 0, in the order of the jobs."""
        store, self._rounds = self._store, self._rounds + 1
        plan, done = f"{self._rounds}/plan", f"{self._rounds}/done"
        try:
            if self.leads:
                store.set(plan, pickle.dumps(tuple(jobs)))
            every: tuple[Job, ...] = pickle.loads(store.get(plan))  # from our own rank 0
            mine = [(number, work(every[number])) for number in range(self.rank, len(every), self.workers)]
            store.set(f"{done}/{self.rank}", pickle.dumps(mine))
            if not self.leads:
                return [outcome for _, outcome in mine]
            ended = [pair for rank in range(self.workers) for pair in pickle.loads(store.get(f"{done}/{rank}"))]
        except RuntimeError as error:  # torch's DistError
            raise self._lost(error) from error
        return [outcome for _, outcome in sorted(ended, key=lambda pair: pair[0])]

    @functools.cached_property
    def _store(self) -> Any:
        """The store every rank sees; what an earlier attempt of a restarted run left in it lies under another prefix."""
        from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]

        hosted = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
        try:
            store = TCPStore(
                os.environ.get("MASTER_ADDR", "localhost"),
                int(os.environ.get("MASTER_PORT", "29500")),
                self.workers,
                is_master=self.leads and not hosted,
                timeout=PATIENCE,
            )
        except RuntimeError as error:
            raise self._lost(error) from error
        return PrefixStore(f"effrob/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)

    def _lost(self, error: RuntimeError) -> RunFailed:
        return RunFailed(
            f"the ranks cannot reach one another ({(str(error).splitlines() or [''])[0][:200]}); run this again, "
            "with --max-restarts for torchrun to do so: what was computed is kept"
        )
