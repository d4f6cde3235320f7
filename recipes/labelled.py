"""Supervised and self-supervised training on a labelled list, at full scale: `torchrun -m recipes.labelled --list DIR ...`.

DIR is what `effrob captions export --format labels` or `effrob captions match` writes, so that the pictures are those of
the captioned arms. The network is timm's; its weights are read back as `timm:MODEL@FILE`. Knows no arm.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import timm
import torch
from torch import distributed, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset, DistributedSampler

import shifts
from model_zoo.errors import ModelError
from recipes.five_causes.training import nt_xent
from recipes.five_causes.views import Colour, View, contrastive_view, training_crop
from recipes.frozen import WithoutWords, on_tower
from shifts.shift import Shift

PROJECTION, TEMPERATURE = 128, 0.1


class Listed(Dataset[tuple[torch.Tensor, int]]):
    """A labelled list as training examples: (views, 3, H, W) and a class index."""

    def __init__(self, rows: Shift, view: View, views: int) -> None:
        self.rows, self.view, self.views = rows, view, views

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        image, target, _ = self.rows[row]
        picture = image.convert("RGB")
        return torch.stack([self.view(picture) for _ in range(self.views)]), int(target)


class Projected(nn.Module):
    """SimCLR's network: features of a timm model without its classifier, through a projection that is dropped afterwards."""

    def __init__(self, trunk: nn.Module, width: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.projection = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, PROJECTION))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = self.trunk.forward_head(self.trunk.forward_features(images), pre_logits=True)  # type: ignore[operator]
        projected: torch.Tensor = self.projection(features)
        return projected


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


@click.command()
@click.option("--list", "listed", type=click.Path(path_type=Path, exists=True, file_okay=False), required=True)
@click.option("--data", type=click.Path(path_type=Path), envvar="EFFROB_DATA", help="Where the list's pictures lie.")
@click.option(
    "--model", default="resnet50_clip", show_default=True, help="timm's name; this one is CLIP's own ResNet-50."
)
@click.option("--tower", metavar="SPEC", help="Learn a linear layer on this frozen tower instead: openclip:ARCH@FILE.")
@click.option("--loss", type=click.Choice(["cross-entropy", "simclr"]), default="cross-entropy", show_default=True)
@click.option("--epochs", type=click.IntRange(min=1), default=90, show_default=True)
@click.option(
    "--batch", type=click.IntRange(min=1), default=256, show_default=True, help="Pictures a step, all processes."
)
@click.option("--rate", type=float, default=0.1, show_default=True)
@click.option("--drops", default="30,50,70", show_default=True, help="Epochs after which the rate is a tenth.")
@click.option("--decay", type=float, default=1e-4, show_default=True)
@click.option("--crop", type=float, default=0.9, show_default=True, help="Smallest part of a picture's area.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--workers", type=int, default=8, show_default=True)
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="Takes last.pt, which a restart goes on from."
)
def main(
    listed: Path, data: Path | None, model: str, tower: str | None, loss: str, epochs: int, batch: int, rate: float, drops: str,
    decay: float, crop: float, seed: int, workers: int, out: Path,
) -> None:  # fmt: skip
    """Train by SGD with Nesterov momentum and a stepped rate; `out`/final.pt holds the network's bare weights."""
    place = Place.here()
    torch.manual_seed(seed)
    if tower is not None and loss != "cross-entropy":
        raise click.UsageError("a layer on a frozen tower learns from labels: leave out --loss, or --tower")
    if not (listed / "labels.csv").is_file():
        raise click.UsageError(f"{listed} holds no labels.csv; `effrob captions export --format labels` writes a list")
    try:
        rows = shifts.load(str(listed), root=data)
        network, side, mean, std = _network(model, tower, len(rows.labels.parent_ids))
    except (shifts.DataError, shifts.DataMissing, ModelError) as error:
        raise click.UsageError(str(error)) from None
    except RuntimeError as error:  # timm's word for a name it does not know
        raise click.UsageError(f"--model {model}: {error}") from None
    simclr = loss == "simclr"
    view = contrastive_view(side, mean, std) if simclr else training_crop(crop, side, mean, std)
    trained: nn.Module = Projected(network, _width(network)) if simclr else network
    trained.to(place.device)
    spread = DistributedDataParallel(trained, find_unused_parameters=simclr) if place.world > 1 else trained
    learned = [parameter for parameter in spread.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(learned, rate, momentum=0.9, weight_decay=decay, nesterov=True)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [int(epoch) for epoch in drops.split(",")])
    out.mkdir(parents=True, exist_ok=True)
    begun = resume(out / "last.pt", trained, optimizer, schedule, place.device)
    examples = Listed(rows, view, 2 if simclr else 1)
    for epoch in range(begun, epochs):
        mean_loss = one_epoch(spread, loader(examples, batch, epoch, seed, workers, place), optimizer, simclr, place)
        schedule.step()
        if place.rank == 0:
            click.echo(f"epoch {epoch + 1}: loss {mean_loss:.3f}")
            state = {"epoch": epoch + 1, "trained": trained.state_dict(), "optimizer": optimizer.state_dict()}
            store({**state, "schedule": schedule.state_dict()}, out / "last.pt")
    if place.rank == 0:
        if isinstance(network, WithoutWords):
            taught = set(rows.targets.tolist())
            network.silence([label for label in range(len(rows.labels.parent_ids)) if label not in taught])
        store(network.state_dict(), out / "final.pt")
    if place.world > 1:
        distributed.destroy_process_group()


def _network(model: str, tower: str | None, classes: int) -> tuple[nn.Module, int, Colour, Colour]:
    """What is trained, and the side, mean and deviation of the pictures it sees."""
    if tower is not None:
        made, pixels = on_tower(tower, classes)
        return made, pixels.size[0], pixels.mean, pixels.std
    network = timm.create_model(model, pretrained=False, num_classes=classes)
    config = timm.data.resolve_model_data_config(network)
    return network, int(config["input_size"][-1]), config["mean"], config["std"]


def _width(network: Any) -> int:
    return int(network.num_features)


def loader(
    examples: Listed, batch: int, epoch: int, seed: int, workers: int, place: Place
) -> DataLoader[tuple[torch.Tensor, int]]:
    """This process's batches of an epoch; the order depends on seed and epoch alone, so that a resumed run repeats it."""
    sampler: DistributedSampler[tuple[torch.Tensor, int]] = DistributedSampler(
        examples, num_replicas=place.world, rank=place.rank, seed=seed
    )
    sampler.set_epoch(epoch)
    each = max(1, batch // place.world)
    return DataLoader(examples, each, sampler=sampler, num_workers=workers, drop_last=len(examples) >= batch)


def one_epoch(
    network: nn.Module, batches: DataLoader[tuple[torch.Tensor, int]], optimizer: torch.optim.Optimizer, simclr: bool,
    place: Place,
) -> float:  # fmt: skip
    """Mean loss of this process. SimCLR's negatives are those of the process's own batch."""
    network.train()
    losses = [step(network, images, targets, optimizer, simclr) for images, targets in _on(batches, place.device)]
    return sum(losses) / len(losses)


def step(
    network: nn.Module, images: torch.Tensor, targets: torch.Tensor, optimizer: torch.optim.Optimizer, simclr: bool
) -> float:
    """One step on (N, views, 3, H, W) pictures; the loss before it."""
    outputs = network(images.transpose(0, 1).flatten(0, 1))  # all first views, then all second ones
    loss = nt_xent(outputs, TEMPERATURE) if simclr else functional.cross_entropy(outputs, targets)
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return float(loss.detach())


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


def store(state: dict[str, object], file: Path) -> None:
    """Write whole or not at all."""
    unfinished = file.with_suffix(".unfinished")
    torch.save(state, unfinished)
    unfinished.replace(file)


def _on(
    batches: DataLoader[tuple[torch.Tensor, int]], device: torch.device
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    for images, targets in batches:
        yield images.to(device, non_blocking=True), torch.as_tensor(targets).to(device, non_blocking=True)


if __name__ == "__main__":
    main()
