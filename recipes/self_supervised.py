"""SimCLR (Chen et al. 2020) on any listed images, at full scale: `torchrun -m recipes.self_supervised --images SOURCE ...`.

SOURCE is what `effrob captions match` reads, an open_clip CSV or WebDataset shards, or a labelled list; texts and labels are
not looked at. Views are torchvision's, the loss with its negatives of all processes is pytorch-metric-learning's, the
network is timm's. Its weights are what `recipes.labelled --init` begins from.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import torch
from pytorch_metric_learning.losses import NTXentLoss
from pytorch_metric_learning.utils.distributed import DistributedLossWrapper
from timm.optim import create_optimizer_v2
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

import shifts
from effrob.features.transforms import decode
from model_zoo.errors import ModelError
from recipes.beginnings import Colour, begun, features
from recipes.processes import Batch, Place, keep, loader, resume, store
from shifts.captions.sources import captioned
from shifts.storage.tree import Tree

PROJECTION, TEMPERATURE = 128, 0.1
STRENGTH = 0.5  # of the changes of colour, as on ImageNet there


def contrastive_view(side: int, mean: Colour, std: Colour, smallest: float = 0.08) -> transforms.Compose:
    """A crop of any size, mirrored, its colours changed, sometimes grey, sometimes blurred."""
    s, kernel = STRENGTH, side // 20 * 2 + 1  # about a tenth of the side, and odd
    steps = [
        transforms.RandomResizedCrop(side, scale=(smallest, 1.0), interpolation=transforms.InterpolationMode.BICUBIC),
        transforms.RandomHorizontalFlip(),
        transforms.RandomApply([transforms.ColorJitter(0.8 * s, 0.8 * s, 0.8 * s, 0.2 * s)], p=0.8),
        transforms.RandomGrayscale(p=0.2),
        transforms.RandomApply([transforms.GaussianBlur(kernel, (0.1, 2.0))], p=0.5),
        transforms.ToTensor(),
        transforms.Normalize(mean, std),
    ]
    return transforms.Compose(steps)


class Viewed(Dataset[Batch]):
    """Images as pairs of views: (2, 3, H, W) and the image's number."""

    def __init__(self, tree: Tree, paths: Sequence[str], view: transforms.Compose) -> None:
        self.tree, self.paths, self.view = tree, paths, view

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, Any]:
        picture = decode(self.tree.read(self.paths[row]), self.paths[row])
        return torch.stack([self.view(picture) for _ in range(2)]), row


class Projected(nn.Module):
    """SimCLR's network: features of a timm model, through a projection that is dropped afterwards."""

    def __init__(self, trunk: nn.Module, width: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.projection = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, PROJECTION))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        projected: torch.Tensor = self.projection(features(self.trunk, images))
        return projected


@click.command()
@click.option(
    "--images", "source", required=True, help="A CSV of filepath and title, WebDataset shards, or a labelled list."
)
@click.option("--data", type=click.Path(path_type=Path), envvar="EFFROB_DATA", help="Where a list's pictures lie.")
@click.option(
    "--model", default="resnet50_clip", show_default=True, help="timm's name; this one is CLIP's own ResNet-50."
)
@click.option("--init", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Begin from these weights.")
@click.option("--classes", type=click.IntRange(min=1), default=1000, show_default=True,
              help="Of the untrained last layer that the weights are stored with.")  # fmt: skip
@click.option("--epochs", type=click.IntRange(min=1), default=100, show_default=True)
@click.option(
    "--batch", type=click.IntRange(min=2), default=4096, show_default=True, help="Pictures a step, all processes."
)
@click.option(
    "--rate", type=float, default=0.3, show_default=True, help="For 256 pictures a step; grows with the batch."
)
@click.option("--warmup", type=click.IntRange(min=0), default=10, show_default=True, help="Epochs of rising rate.")
@click.option("--decay", type=float, default=1e-6, show_default=True)
@click.option("--crop", type=float, default=0.08, show_default=True, help="Smallest part of a picture's area.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--workers", type=int, default=8, show_default=True)
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="Takes last.pt, which a restart goes on from."
)
def main(
    source: str, data: Path | None, model: str, init: Path | None, classes: int, epochs: int, batch: int, rate: float,
    warmup: int, decay: float, crop: float, seed: int, workers: int, out: Path,
) -> None:  # fmt: skip
    """Train by LARS on a warmed-up cosine rate; `out`/final.pt holds the network's weights without the projection."""
    torch.manual_seed(seed)
    try:
        tree, paths = images_of(source, data)
        network, side, mean, std = begun(model, classes, init)
    except (shifts.DataError, shifts.DataMissing, ModelError) as error:
        raise click.UsageError(str(error)) from None
    place = Place.here()
    trained = Projected(network, int(network.head_hidden_size))  # type: ignore[arg-type]
    spread = place.spread(trained, every_parameter=False)  # the last layer takes no part
    optimizer = create_optimizer_v2(trained, "lars", lr=rate * batch / 256, weight_decay=decay, momentum=0.9)
    rising = torch.optim.lr_scheduler.LinearLR(optimizer, 1 / max(1, warmup), total_iters=max(1, warmup))
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, epochs - warmup))
    schedule = torch.optim.lr_scheduler.SequentialLR(optimizer, [rising, falling], [warmup])
    out.mkdir(parents=True, exist_ok=True)
    done = resume(out / "last.pt", trained, optimizer, schedule, place.device)
    examples = Viewed(tree, paths, contrastive_view(side, mean, std, crop))
    loss = contrastive_loss(place)
    for epoch in range(done, epochs):
        mean_loss = one_epoch(spread, loader(examples, batch, epoch, seed, workers, place), optimizer, loss, place)
        schedule.step()
        if place.rank == 0:
            click.echo(f"epoch {epoch + 1}: loss {mean_loss:.3f}")
            keep(out / "last.pt", epoch + 1, trained, optimizer, schedule)
    if place.rank == 0:
        store(network.state_dict(), out / "final.pt")
    place.leave()


def images_of(source: str, data: Path | None) -> tuple[Tree, list[str]]:
    """The tree that holds a source's images, and their paths in it, each once."""
    if (Path(source) / "labels.csv").is_file():
        rows = shifts.load(source, root=data)
        return rows.source.tree, sorted(set(rows.ids))  # type: ignore[attr-defined]
    found = captioned(source, data)
    if "shards" in found.images_in:
        return found.tree, list(found.tree.paths)
    return found.tree, list(dict.fromkeys(path for path, _ in found.rows))


def contrastive_loss(place: Place) -> nn.Module:
    """NT-Xent: over (2n, D) and their images' numbers, the other view of an image against all others of every process."""
    loss: nn.Module = NTXentLoss(temperature=TEMPERATURE)
    return loss if place.world == 1 else DistributedLossWrapper(loss)


def one_epoch(
    network: nn.Module, batches: DataLoader[Batch], optimizer: torch.optim.Optimizer, loss: nn.Module, place: Place
) -> float:
    """Mean loss of this process."""
    network.train()
    losses = []
    for images, numbers in batches:
        both = (
            images.to(place.device, non_blocking=True).transpose(0, 1).flatten(0, 1)
        )  # all first views, then all second
        found = loss(network(both), torch.as_tensor(numbers).repeat(2).to(place.device))
        optimizer.zero_grad()
        found.backward()
        optimizer.step()
        losses.append(float(found.detach()))
    return sum(losses) / len(losses)


if __name__ == "__main__":
    main()
