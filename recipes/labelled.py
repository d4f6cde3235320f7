"""Supervised training on a labelled list, at full scale: `torchrun -m recipes.labelled --list DIR ...`.

DIR is what `effrob captions export --format labels` or `effrob captions match` writes, so that the pictures are those of
the captioned arms. The network is timm's, new or begun from weights; its own are read back as `timm:MODEL@FILE`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import torch
from open_clip.transform import image_transform
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

import shifts
from model_zoo.errors import ModelError
from recipes.beginnings import Colour, begun
from recipes.frozen import WithoutWords, on_tower
from recipes.processes import Batch, Place, keep, loader, resume, store
from shifts.shift import Shift


class Listed(Dataset[Batch]):
    """A labelled list as training examples: (3, H, W), cropped as open_clip's trainer crops, and a class index."""

    def __init__(self, rows: Shift, side: int, mean: Colour, std: Colour, smallest: float) -> None:
        self.rows = rows
        self.crop: Any = image_transform(side, is_train=True, mean=mean, std=std, aug_cfg={"scale": (smallest, 1.0)})

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, Any]:
        image, target, _ = self.rows[row]
        return self.crop(image.convert("RGB")), int(target)


@click.command()
@click.option("--list", "listed", type=click.Path(path_type=Path, exists=True, file_okay=False), required=True)
@click.option("--data", type=click.Path(path_type=Path), envvar="EFFROB_DATA", help="Where the list's pictures lie.")
@click.option(
    "--model", default="resnet50_clip", show_default=True, help="timm's name; this one is CLIP's own ResNet-50."
)
@click.option("--init", type=click.Path(path_type=Path, exists=True, dir_okay=False),
              help="Begin from these weights of the same network, all but its last layer.")  # fmt: skip
@click.option("--tower", metavar="SPEC", help="Learn a linear layer on this frozen tower instead: openclip:ARCH@FILE.")
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
    listed: Path, data: Path | None, model: str, init: Path | None, tower: str | None, epochs: int, batch: int, rate: float,
    drops: str, decay: float, crop: float, seed: int, workers: int, out: Path,
) -> None:  # fmt: skip
    """Train by SGD with Nesterov momentum and a stepped rate; `out`/final.pt holds the network's bare weights."""
    if tower is not None and init is not None:
        raise click.UsageError("a frozen tower has its weights already: leave out --init, or --tower")
    if not (listed / "labels.csv").is_file():
        raise click.UsageError(f"{listed} holds no labels.csv; `effrob captions export --format labels` writes a list")
    torch.manual_seed(seed)
    try:
        rows = shifts.load(str(listed), root=data)
        network, side, mean, std = _network(model, init, tower, len(rows.labels.parent_ids))
    except (shifts.DataError, shifts.DataMissing, ModelError) as error:
        raise click.UsageError(str(error)) from None
    place = Place.here()
    spread = place.spread(network, every_parameter=True)
    learned = [parameter for parameter in spread.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(learned, rate, momentum=0.9, weight_decay=decay, nesterov=True)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [int(epoch) for epoch in drops.split(",")])
    out.mkdir(parents=True, exist_ok=True)
    done = resume(out / "last.pt", network, optimizer, schedule, place.device)
    examples = Listed(rows, side, mean, std, crop)
    for epoch in range(done, epochs):
        mean_loss = one_epoch(spread, loader(examples, batch, epoch, seed, workers, place), optimizer, place)
        schedule.step()
        if place.rank == 0:
            click.echo(f"epoch {epoch + 1}: loss {mean_loss:.3f}")
            keep(out / "last.pt", epoch + 1, network, optimizer, schedule)
    if place.rank == 0:
        if isinstance(network, WithoutWords):
            taught = set(rows.targets.tolist())
            network.silence([label for label in range(len(rows.labels.parent_ids)) if label not in taught])
        store(network.state_dict(), out / "final.pt")
    place.leave()


def _network(model: str, init: Path | None, tower: str | None, classes: int) -> tuple[nn.Module, int, Colour, Colour]:
    """What is trained, and the side, mean and deviation of the pictures it sees."""
    if tower is None:
        return begun(model, classes, init)
    made, pixels = on_tower(tower, classes)
    return made, pixels.size[0], pixels.mean, pixels.std


def one_epoch(network: nn.Module, batches: DataLoader[Batch], optimizer: torch.optim.Optimizer, place: Place) -> float:
    """Mean loss of this process."""
    network.train()
    losses = []
    for images, targets in batches:
        outputs = network(images.to(place.device, non_blocking=True))
        loss = functional.cross_entropy(outputs, torch.as_tensor(targets).to(place.device, non_blocking=True))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(float(loss.detach()))
    return sum(losses) / len(losses)


if __name__ == "__main__":
    main()
