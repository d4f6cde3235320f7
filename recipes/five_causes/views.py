"""Random views of batches of pictures, whole batches at once, and the order in which pictures are seen.

`crops` is what open_clip's trainer does to a picture (RandomResizedCrop); `recoloured` adds SimCLR's mirror, changed
colours and grey (Chen et al. 2020). Pictures come as (N, 3, SIDE, SIDE) values in [0, 1] and leave as networks take them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch.nn import functional

from model_zoo.sources.from_pocket import MEAN, STD
from recipes.five_causes.tower import SIDE

ASPECT = math.log(4 / 3)  # torchvision's RandomResizedCrop, in either direction
STRENGTH = 0.4  # of changed brightness, contrast and saturation
GREY = 0.2  # share of pictures that lose their colour
_LIGHTNESS = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)


def crops(images: torch.Tensor, smallest: float, generator: torch.Generator) -> torch.Tensor:
    """A random part of each picture, at least `smallest` of its area, at SIDE pixels: (N, 3, SIDE, SIDE) in [0, 1]."""
    n = len(images)
    area = smallest + (1 - smallest) * torch.rand(n, generator=generator)
    ratio = torch.exp(ASPECT * (2 * torch.rand(n, generator=generator) - 1))
    wide, high = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
    x, y = ((2 * torch.rand(2, n, generator=generator) - 1) * (1 - torch.stack([wide, high]))).unbind()
    zero = torch.zeros(n)
    theta = torch.stack([torch.stack([wide, zero, x], 1), torch.stack([zero, high, y], 1)], 1)
    grid = functional.affine_grid(theta, [n, 3, SIDE, SIDE], align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)


def whole(images: torch.Tensor) -> torch.Tensor:
    """The whole of each picture at SIDE pixels."""
    return functional.interpolate(images, (SIDE, SIDE), mode="bicubic", antialias=True).clamp(0, 1)


def recoloured(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Half of them mirrored; brightness, contrast and saturation of each changed; some grey."""
    n = len(images)

    def some(share: float) -> torch.Tensor:
        return (torch.rand(n, generator=generator) < share).view(n, 1, 1, 1)

    def factor() -> torch.Tensor:
        return (1 + STRENGTH * (2 * torch.rand(n, generator=generator) - 1)).view(n, 1, 1, 1)

    images = torch.where(some(0.5), images.flip(3), images)
    images = images * factor()
    middle = (images * _LIGHTNESS).sum(1, keepdim=True).mean((2, 3), keepdim=True)
    images = middle + factor() * (images - middle)
    grey = (images * _LIGHTNESS).sum(1, keepdim=True)
    images = grey + torch.where(some(GREY), torch.zeros(1), factor()) * (images - grey)
    return images.clamp(0, 1)


def normalised(images: torch.Tensor) -> torch.Tensor:
    """As the pocket sets' networks are fed."""
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    return (images - mean) / std


def batches(n: int, batch: int, steps: int, generator: torch.Generator) -> Iterator[torch.Tensor]:
    """Rows of `steps` whole batches: every picture once, in an order drawn anew, then again."""
    left = torch.zeros(0, dtype=torch.long)
    for _ in range(steps):
        while len(left) < batch:
            left = torch.cat([left, torch.randperm(n, generator=generator)])
        yield left[:batch]
        left = left[batch:]
