"""Cross-entropy on labelled pictures in memory: a plain seeded loop that fits on two cores."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from effrob.features.transforms import normalise
from model_zoo.pixels import PixelSpec
from recipes.pictures import Pictures


@dataclass(frozen=True)
class Plan:
    """How a classifier is trained: AdamW on a one-cycle rate, pictures shifted by up to an eighth and mirrored.

    per_class  pictures of each class that are used, the first ones; epochs over them
    """

    epochs: int
    per_class: int
    rate: float = 2e-3
    batch: int = 64
    decay: float = 0.02
    seed: int = 0


def train(network: nn.Module, data: Pictures, pixels: PixelSpec, plan: Plan) -> nn.Module:
    """Train in place; the same network, data and plan give the same weights in one environment."""
    data = data.first_of_each(plan.per_class)
    generator = torch.Generator().manual_seed(plan.seed)
    steps = plan.epochs * (len(data) // plan.batch)
    optimizer = torch.optim.AdamW(network.parameters(), lr=plan.rate, weight_decay=plan.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, plan.rate, total_steps=steps, pct_start=0.2)
    floats = normalise(data.images, pixels)
    network.train()
    for rows in _batches(len(data), plan, generator):
        batch = _disturbed(floats[rows], generator)
        loss = functional.cross_entropy(network(batch), data.labels[rows])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    return network.eval()


@torch.inference_mode()
def predict(
    network: nn.Module, data: Pictures, pixels: PixelSpec, asked: torch.Tensor | None = None, batch: int = 250
) -> torch.Tensor:
    """(N,) class indices: the best of all classes, or of those `asked` (K,)."""
    network.eval()
    chunks = []
    for images in data.images.split(batch):  # type: ignore[no-untyped-call]
        scores = network(normalise(images, pixels))
        chunks.append(scores.argmax(1) if asked is None else asked[scores[:, asked].argmax(1)])
    return torch.cat(chunks)


def accuracy(network: nn.Module, data: Pictures, pixels: PixelSpec) -> float:
    """Share of pictures whose class is named, in [0, 1]."""
    return float((predict(network, data, pixels) == data.labels).float().mean())


def _batches(n: int, plan: Plan, generator: torch.Generator) -> Iterator[torch.Tensor]:
    for _ in range(plan.epochs):
        order = torch.randperm(n, generator=generator)
        yield from order[: n // plan.batch * plan.batch].split(plan.batch)  # type: ignore[no-untyped-call]


def _disturbed(batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Each picture moved and, half the time, mirrored."""
    n, _, side, _ = batch.shape
    reach = side // 8
    padded = functional.pad(batch, (reach, reach, reach, reach), mode="replicate")
    offsets = torch.randint(0, 2 * reach + 1, (n, 2), generator=generator).tolist()
    moved = torch.stack([p[:, y : y + side, x : x + side] for p, (y, x) in zip(padded, offsets)])
    mirrored = torch.rand(n, generator=generator) < 0.5
    return torch.where(mirrored[:, None, None, None], moved.flip(3), moved)
