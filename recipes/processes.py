"""What trainings at full scale share: the processes that torchrun started, their batches, and a state to go on from."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset, DistributedSampler

Batch = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Place:
    """This process among those that torchrun started; alone without it."""

    rank: int
    world: int
    device: torch.device

    @staticmethod
    def here() -> Place:
        """Joins the group where torchrun says there is one."""
        world, local = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("LOCAL_RANK", "0"))
        cuda = torch.cuda.is_available()
        if world > 1:
            distributed.init_process_group("nccl" if cuda else "gloo")
        device = torch.device(f"cuda:{local}" if cuda else "cpu")
        return Place(int(os.environ.get("RANK", "0")), world, device)

    def spread(self, network: nn.Module, every_parameter: bool) -> nn.Module:
        """The network on this process's device, its gradients averaged over all; some parameters may go unused."""
        network.to(self.device)
        if self.world == 1:
            return network
        return DistributedDataParallel(network, find_unused_parameters=not every_parameter)

    def leave(self) -> None:
        """Out of the group."""
        if self.world > 1:
            distributed.destroy_process_group()


def loader(
    examples: Dataset[Batch], batch: int, epoch: int, seed: int, workers: int, place: Place
) -> DataLoader[Batch]:
    """This process's batches of an epoch; the order depends on seed and epoch alone, so that a resumed run repeats it."""
    sampler: DistributedSampler[Batch] = DistributedSampler(
        examples, num_replicas=place.world, rank=place.rank, seed=seed
    )
    sampler.set_epoch(epoch)
    each = max(1, batch // place.world)
    return DataLoader(examples, each, sampler=sampler, num_workers=workers, drop_last=len(sampler) >= each)


def resume(
    file: Path, trained: nn.Module, optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler, device: torch.device,
) -> int:  # fmt: skip
    """Take up the last whole epoch; the number of epochs done."""
    if not file.is_file():
        return 0
    state = torch.load(file, map_location=device, weights_only=True)
    trained.load_state_dict(state["trained"])
    optimizer.load_state_dict(state["optimizer"])
    schedule.load_state_dict(state["schedule"])
    return int(state["epoch"])


def keep(
    file: Path, epochs: int, trained: nn.Module, optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> None:  # fmt: skip
    """Write what `resume` takes up."""
    state = {"epoch": epochs, "trained": trained.state_dict(), "optimizer": optimizer.state_dict()}
    store({**state, "schedule": schedule.state_dict()}, file)


def store(state: dict[str, Any], file: Path) -> None:
    """Write whole or not at all."""
    unfinished = file.with_suffix(".unfinished")
    torch.save(state, unfinished)
    unfinished.replace(file)
