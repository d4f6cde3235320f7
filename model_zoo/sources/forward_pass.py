"""A forward pass on made-up pictures: whether a network takes its pixels, and pictures that tell one function from another."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from model_zoo.errors import ModelError
from model_zoo.pixels import PixelSpec

Embed = Callable[[torch.Tensor], torch.Tensor]

DTYPES = re.compile(r"dtype|scalar type|should be the same|\b(?:Double|Half|BFloat16|double|half)\b")
TOLERANCE = 1e-4  # of the largest logit: what float32 summation order may change


def try_out(embed: Embed, pixels: PixelSpec, device: torch.device, what: str) -> torch.Tensor:
    """(2, D) float32: what `embed` makes of two random pictures. Raises ModelError where it cannot."""
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randn(2, 3, *pixels.size, generator=generator, dtype=torch.float32).to(device)
    try:
        with torch.inference_mode():
            output = embed(pictures)
    except ModelError:
        raise
    except Exception as error:  # a user's module may raise anything
        message = (str(error).splitlines() or [""])[0][:200]
        if DTYPES.search(str(error)):
            raise ModelError(
                f"{what} does not take pictures in float32 ({type(error).__name__}: {message}): its weights, or what its "
                "forward pass makes, have another dtype; call .float() on the module, and leave .double() and .half() out of it"
            ) from error
        raise ModelError(
            f"{what} does not take pictures of {pixels.size[0]}x{pixels.size[1]} ({type(error).__name__}: {message}): "
            "register it with the --pixels it was trained for"
        ) from error
    if not isinstance(output, torch.Tensor) or output.ndim != 2 or len(output) != 2 or output.is_complex():
        kind = type(output).__name__
        shape = f"{output.dtype} of shape {tuple(output.shape)}" if isinstance(output, torch.Tensor) else f"a {kind}"
        raise ModelError(f"{what} gives {shape} for two pictures, wanted a tensor (2, classes) or (2, features)")
    return output.float()


def takes(module: nn.Module, pixels: PixelSpec) -> bool:
    """Whether a module takes pictures in float32 on the device that it is on."""
    device = next((tensor.device for tensor in module.parameters()), torch.device("cpu"))
    with contextlib.suppress(ModelError):
        try_out(module, pixels, device, "it")
        return True
    return False


def in_float32(module: nn.Module, pixels: PixelSpec) -> nn.Module:
    """A module that does not take float32 pictures, its weights being of another dtype, with its weights in float32."""
    other = any(tensor.is_floating_point() and tensor.dtype != torch.float32 for tensor in module.parameters())
    return module.float() if other and not takes(module, pixels) else module


def varied(pixels: PixelSpec, device: torch.device, n: int = 6) -> torch.Tensor:
    """(n, 3, H, W): smooth and noisy pictures of several contrasts, whose features differ in length and direction."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(n, 3, 5, 5, generator=generator, dtype=torch.float32)
    smooth = functional.interpolate(coarse, size=pixels.size, mode="bilinear")
    noise = torch.randn(n, 3, *pixels.size, generator=generator, dtype=torch.float32)
    contrast = torch.linspace(0.3, 1.5, n, dtype=torch.float32).view(n, 1, 1, 1)
    return (contrast * smooth + contrast.flip(0) / 3 * noise).to(device)


def close(ours: torch.Tensor, theirs: torch.Tensor) -> bool:
    """Whether two tensors agree to float32 rounding."""
    return ours.shape == theirs.shape and bool(
        (ours - theirs).abs().max() <= TOLERANCE * theirs.abs().max().clamp(min=1e-3)
    )


def as_float(embed: Embed) -> Embed:
    return lambda pictures: embed(pictures).float()
