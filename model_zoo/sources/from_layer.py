"""A network read at one of its layers, or at a pooling of its last tokens: features for a probe, without its classifier."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import nn

from model_zoo.encoder import Encoder, Identity, Reference
from model_zoo.errors import ModelError, suggest
from model_zoo.sources.forward_pass import as_float, try_out

POOLINGS = (
    "cls",
    "mean",
    "cls+mean",
)  # of a tower's last tokens: the class token, the mean of the others, both side by side
_CLASS_TOKENS = ("cls_token", "class_token", "class_embedding")


def at_layer(module: nn.Module, identity: Identity, device: torch.device) -> Encoder:
    """An encoder that takes the output of the layer `identity.layer`, pooled, as features. It has no classifier.

    Pooling: (N, D) as is; (N, T, D) its first token where the network has a class token, else the average over tokens;
    (N, C, H, W) and (N, H, W, C) averaged over the picture.
    """
    module = module.eval().requires_grad_(False).to(device)
    if identity.layer in POOLINGS:
        return at_tokens(module, identity, device)
    layers = dict(module.named_modules())
    layer = layers.get(identity.layer)
    if layer is None or not identity.layer:
        raise ModelError(
            f"{identity.asked} has no layer {identity.layer!r}{suggest(identity.layer, layers)}; "
            f"its outermost layers are {', '.join(name for name, _ in module.named_children())}"
        )
    has_class_token = any(hasattr(module, token) for token in _CLASS_TOKENS)
    seen: list[torch.Tensor] = []

    def embed(pictures: torch.Tensor) -> torch.Tensor:
        seen.clear()
        module(pictures)
        if len(seen) != 1:
            raise ModelError(
                f"the layer {identity.layer} of {identity.asked} runs {len(seen)} times a picture: name another"
            )
        return pooled(seen.pop(), has_class_token)

    def keep(_: nn.Module, __: tuple[object, ...], output: object) -> None:
        if not isinstance(output, torch.Tensor):
            raise ModelError(
                f"the layer {identity.layer} of {identity.asked} gives a {type(output).__name__}: name another"
            )
        seen.append(output)

    layer.register_forward_hook(keep)
    features = try_out(embed, identity.pixels, device, f"the layer {identity.layer} of {identity.asked}")
    reference = Reference("the network's own forward pass")
    dim = features.shape[1]
    return Encoder(identity, device, as_float(embed), "penultimate", dim, module=module, reference=reference)


def at_tokens(module: nn.Module, identity: Identity, device: torch.device) -> Encoder:
    """An encoder of a timm tower's last tokens under the pooling `identity.layer`, one of POOLINGS. It has no classifier.

    Tokens are (N, prefix + T, D), the class token first; registers and a distillation token take no part in the mean. Maps
    (N, H, W, D) have a mean alone.
    """
    wanted, tower = identity.layer, cast(Any, module)
    if not hasattr(tower, "forward_features"):
        raise ModelError(f"{identity.asked} gives no tokens to take {wanted} of: name one of its layers")
    prefix, class_token = int(getattr(tower, "num_prefix_tokens", 0)), getattr(tower, "cls_token", None) is not None
    if "cls" in wanted and not class_token:
        raise ModelError(f"{identity.asked} has no class token, so no features {wanted}: say mean")

    def embed(pictures: torch.Tensor) -> torch.Tensor:
        tokens: torch.Tensor = tower.forward_features(pictures)
        if tokens.ndim == 4:
            return pooled(tokens, False)
        if tokens.ndim != 3:
            raise ModelError(
                f"{identity.asked} gives features of shape {tuple(tokens.shape)}, not tokens: leave {wanted} out"
            )
        mean = tokens[:, prefix:].mean(dim=1)
        return {"cls": tokens[:, 0], "mean": mean, "cls+mean": torch.cat([tokens[:, 0], mean], dim=1)}[wanted]

    features = try_out(embed, identity.pixels, device, identity.asked)
    reference = Reference("the network's own forward pass")
    dim = features.shape[1]
    return Encoder(identity, device, as_float(embed), "penultimate", dim, module=module, reference=reference)


def pooled(output: torch.Tensor, has_class_token: bool) -> torch.Tensor:
    """A layer's output as (N, D); see `at_layer`. Raises ModelError for other shapes."""
    if output.ndim == 2:
        return output
    if output.ndim == 3:
        return output[:, 0] if has_class_token else output.mean(dim=1)
    if output.ndim == 4:
        _, a, b, c = output.shape
        channels_last = a == b != c  # maps are square; a network that is not told by this is read as channels first
        return output.mean(dim=(1, 2) if channels_last else (2, 3))
    raise ModelError(
        f"a layer's output of shape {tuple(output.shape)} cannot be pooled: name one that gives 2 to 4 dimensions"
    )
