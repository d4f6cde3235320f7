"""The image tower every arm shares: three convolutions read out flat, known to timm by name so that open_clip can build it.

Importing this module is what makes the name known. The tower takes pictures of SIDE pixels; classifiers put one linear
layer on the same trunk that a contrastive model projects from.
"""

from __future__ import annotations

from typing import Any

import torch
from timm.models import register_model
from torch import nn

from model_zoo.sources.from_pocket import N_CLASSES, pixels_of

NAME = "pocket_stride_tower"
SIDE = 32
PIXELS = pixels_of(SIDE)
CHANNELS = (16, 32, 64)
WIDTH = CHANNELS[-1] * (SIDE // 8) ** 2  # features of the trunk
EMBEDDING = 64
CONTEXT = 16  # tokens of a text; the captions and prompts are shorter


class StrideTower(nn.Module):
    """(N, 3, SIDE, SIDE) -> (N, WIDTH); the few attributes that open_clip asks of a timm model are here too."""

    num_features = WIDTH
    default_cfg: dict[str, Any] = {}  # noqa: RUF012 - timm's name for it, on every model

    def __init__(self) -> None:
        super().__init__()
        one, two, three = CHANNELS
        self.layers = nn.Sequential(
            *(nn.Conv2d(3, one, 4, stride=2, padding=1, bias=False), nn.BatchNorm2d(one), nn.ReLU()),
            *(nn.Conv2d(one, two, 3, padding=1, bias=False), nn.BatchNorm2d(two), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(two, three, 3, padding=1, bias=False), nn.BatchNorm2d(three), nn.ReLU(), nn.MaxPool2d(2)),
            nn.Flatten(),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.layers(images)
        return features

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """There is none to take off."""


@register_model  # type: ignore[untyped-decorator]
def pocket_stride_tower(pretrained: bool = False, **ignored: object) -> StrideTower:
    """timm's way to make it; there are no published weights."""
    if pretrained:
        raise ValueError(f"{NAME} has no published weights")
    return StrideTower()


def clip_config() -> dict[str, Any]:
    """open_clip's configuration of a contrastive model with this tower and a small causal text tower."""
    vision = {"timm_model_name": NAME, "timm_pool": "", "timm_proj": "linear", "image_size": SIDE}
    text = {"context_length": CONTEXT, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
    return {"embed_dim": EMBEDDING, "vision_cfg": vision, "text_cfg": text}


def classifier() -> nn.Sequential:
    """Untrained: the trunk and one linear layer over the classes."""
    return nn.Sequential(StrideTower(), nn.Linear(WIDTH, N_CLASSES))
