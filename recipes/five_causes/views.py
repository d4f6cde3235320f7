"""Pictures held decoded, and the random views networks are trained on: open_clip's own training crops, and SimCLR's.

Every method without captions reads its crops from the transform that the contrastive trainer builds, so that only the
loss differs between them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from open_clip.transform import image_transform
from PIL import Image
from torchvision import transforms

from model_zoo.sources.from_pocket import MEAN, STD
from recipes.five_causes.tower import SIDE

Colour = tuple[float, float, float]
View = Callable[[Image.Image], torch.Tensor]


def training_crop(smallest: float, side: int = SIDE, mean: Colour = MEAN, std: Colour = STD) -> View:
    """What open_clip's trainer does to a picture: a random crop of at least `smallest` of its area."""
    made: Any = image_transform(side, is_train=True, mean=mean, std=std, aug_cfg={"scale": (smallest, 1.0)})
    view: View = made
    return view


def contrastive_view(side: int = SIDE, mean: Colour = MEAN, std: Colour = STD) -> View:
    """SimCLR's: a harder crop, mirrored, its colours changed, sometimes grey."""
    colour = transforms.ColorJitter(0.4, 0.4, 0.4, 0.1)
    steps = [
        transforms.RandomResizedCrop(side, scale=(0.3, 1.0), interpolation=transforms.InterpolationMode.BICUBIC),
        transforms.RandomHorizontalFlip(),
        transforms.RandomApply([colour], p=0.8),
        transforms.RandomGrayscale(p=0.2),
        transforms.ToTensor(),
        transforms.Normalize(mean, std),
    ]
    view: View = transforms.Compose(steps)
    return view


def decoded(paths: Sequence[Path]) -> list[Image.Image]:
    """The pictures in memory: a few kilobytes each."""
    pictures = []
    for path in paths:
        with Image.open(path) as image:
            pictures.append(image.convert("RGB"))
    return pictures


def batches(n: int, batch: int, epochs: int, generator: torch.Generator) -> Iterator[list[int]]:
    """Rows of every whole batch of every epoch, shuffled anew each time."""
    for _ in range(epochs):
        order = torch.randperm(n, generator=generator).tolist()
        yield from (order[start : start + batch] for start in range(0, n - batch + 1, batch))
