"""A CLIP's image tower held as it is, with a linear layer over classes on its embedding: a head without words.

It is learned by `recipes.labelled --tower`, from any list: a class without an image is one that is never said.
"""

from __future__ import annotations

import open_clip
import torch
from torch import nn

from model_zoo.errors import ModelError
from model_zoo.pixels import PixelSpec
from model_zoo.sources.from_openclip import provider
from model_zoo.spec import parse

IMAGENET = 1000
NEVER = -1e4  # the logit of a class that no image taught


class WithoutWords(nn.Sequential):
    """(tower, linear layer). The tower stays in evaluation mode and takes no gradient, whatever is asked for."""

    def __init__(self, tower: nn.Module, width: int, classes: int) -> None:
        super().__init__(tower.requires_grad_(False), nn.Linear(width, classes))
        self.train(False)

    def train(self, mode: bool = True) -> WithoutWords:
        super().train(mode)
        self[0].train(False)
        return self

    @torch.no_grad()
    def silence(self, classes: list[int]) -> None:
        """Classes that no image taught are said of no picture."""
        weight, bias = self[1].parameters()
        weight[classes] = 0
        bias[classes] = NEVER


def on_tower(spec: str, classes: int) -> tuple[WithoutWords, PixelSpec]:
    """An untrained layer on the tower of `openclip:ARCH@FILE`, and what the tower sees. ModelError where there is none."""
    asked = parse(spec)
    if asked.scheme != "openclip" or asked.weights is None:
        raise ModelError(f"a frozen tower is openclip:ARCH@FILE, with its weights; got {spec!r}")
    tower, pixels = provider.network(asked), provider.identify(asked).pixels
    with torch.inference_mode():
        width = tower.eval()(torch.zeros(1, 3, *pixels.size)).shape[1]
    return WithoutWords(tower, width, classes), pixels


def rn50() -> nn.Module:
    """CLIP's ResNet-50 under a layer over ImageNet, untrained: `effrob register NAME --loader recipes.frozen:rn50
    --checkpoint final.pt` fills it."""
    visual = open_clip.create_model("RN50").visual
    return WithoutWords(visual, visual.output_dim, IMAGENET)
