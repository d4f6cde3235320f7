"""The torchrun engine: every rank is started with the same command and takes each world-th job.

    torchrun --nproc-per-node 8 -m effrob eval ... --engine torchrun

Ranks share the cache's disk. There is one exchange before the jobs (rank 0's plan, so that all slice the same list) and one
after them; none in between, so a slow rank holds nobody up. Objects travel by gloo whatever the networks run on.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import timedelta

from effrob.engines.engine import Job, Outcome, Work
from effrob.errors import RunFailed, UsageProblem

PATIENCE = timedelta(days=7)  # how long a rank that is done waits for the others


class TorchrunEngine:
    """Slices the jobs by rank. Only rank 0 leads."""

    def __init__(self) -> None:
        if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
            raise UsageProblem(
                "the engine torchrun is started by torchrun: torchrun --nproc-per-node 2 -m effrob eval ... --engine torchrun"
            )
        self.rank, self.workers = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        self.leads = self.rank == 0

    def run(self, work: Work, jobs: Sequence[Job]) -> list[Outcome]:
        """This rank's jobs are done here; the outcomes of all come back on every rank, in the order of the jobs."""
        import torch.distributed as dist

        if not dist.is_initialized():
            try:
                dist.init_process_group("gloo", timeout=PATIENCE)
            except RuntimeError as error:
                raise RunFailed(
                    f"the ranks cannot reach one another ({(str(error).splitlines() or [''])[0][:200]}); run this again, "
                    "with --max-restarts for torchrun to do so: what was computed is kept"
                ) from error
        shared: list[Sequence[Job]] = [tuple(jobs)]
        dist.broadcast_object_list(shared, src=0)
        every = shared[0]
        mine = [(number, work(every[number])) for number in range(self.rank, len(every), self.workers)]
        gathered: list[list[tuple[int, Outcome]]] = [[] for _ in range(self.workers)]
        dist.all_gather_object(gathered, mine)
        dist.destroy_process_group()
        return [
            outcome for _, outcome in sorted((pair for rank in gathered for pair in rank), key=lambda pair: pair[0])
        ]
