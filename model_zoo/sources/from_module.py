"""A torch.nn.Module that gives logits, taken apart into features and a linear classifier; or read at a named layer.

Every split is checked on random pictures before it is trusted: a network whose last layer is not linear over its features
keeps its logits as features. Knows nothing of where the module came from.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import nn

from model_zoo.encoder import Classifier, Encoder, Identity
from model_zoo.errors import ModelError, suggest
from model_zoo.pixels import PixelSpec

Embed = Callable[[torch.Tensor], torch.Tensor]

TOLERANCE = 1e-4  # of the largest logit: what float32 summation order may change
POOLINGS = (
    "cls",
    "mean",
    "cls+mean",
)  # of a tower's last tokens: the class token, the mean of the others, both side by side
_CLASS_TOKENS = ("cls_token", "class_token", "class_embedding")


def try_out(embed: Embed, pixels: PixelSpec, device: torch.device, what: str) -> torch.Tensor:
    """(2, D) float32: what `embed` makes of two random pictures. Raises ModelError where it cannot."""
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randn(2, 3, *pixels.size, generator=generator).to(device)
    try:
        with torch.inference_mode():
            output = embed(pictures)
    except ModelError:
        raise
    except Exception as error:  # a user's module may raise anything
        told = (str(error).splitlines() or [""])[0][:200]
        raise ModelError(
            f"{what} does not take pictures of {pixels.size[0]}x{pixels.size[1]} ({type(error).__name__}: {told}): "
            "register it with the --pixels it was trained for"
        ) from error
    if not isinstance(output, torch.Tensor) or output.ndim != 2 or len(output) != 2 or output.is_complex():
        kind = type(output).__name__
        shape = f"{output.dtype} of shape {tuple(output.shape)}" if isinstance(output, torch.Tensor) else f"a {kind}"
        raise ModelError(f"{what} gives {shape} for two pictures, wanted a tensor (2, classes) or (2, features)")
    return output.float()


def supervised(module: nn.Module, identity: Identity, device: torch.device) -> Encoder:
    """An encoder of a network with its own classifier, or at `identity.layer` where a registration named one."""
    module = module.eval().requires_grad_(False).to(device)
    if identity.layer != "default":
        return at_layer(module, identity, device)
    logits = try_out(module, identity.pixels, device, str(identity.asked))
    last = last_linear(module, logits.shape[1])
    if last is not None:
        name, linear = last
        _replace(module, name, nn.Identity())
        try:
            features = try_out(module, identity.pixels, device, str(identity.asked))
            if features.shape[1] == linear.in_features and linear_over(linear, features, logits):
                return penultimate(module, linear, identity, device, module)
        except ModelError:
            pass  # the module reads its last layer's attributes: keep it whole
        _replace(module, name, linear)
    return only_logits(module, identity, device, logits.shape[1])


def penultimate(
    embed: Embed, linear: nn.Linear, identity: Identity, device: torch.device, module: nn.Module
) -> Encoder:
    """An encoder whose features are what `linear`, its own classifier, reads."""
    classifier = Classifier(
        linear.weight.detach(), None if linear.bias is None else linear.bias.detach(), linear.out_features
    )
    dim = linear.in_features
    return Encoder(identity, device, _float(embed), "penultimate", dim, classifier=classifier, module=module)


def only_logits(module: nn.Module, identity: Identity, device: torch.device, n_classes: int) -> Encoder:
    """An encoder whose features are its logits, for networks whose classifier is not one linear layer."""
    own = Classifier(None, None, n_classes)
    return Encoder(identity, device, _float(module), "logits", n_classes, classifier=own, module=module)


def linear_over(linear: nn.Linear, features: torch.Tensor, logits: torch.Tensor) -> bool:
    """Whether `linear` of `features` is `logits`, to float32 rounding."""
    with torch.inference_mode():
        again = linear.to(features.device)(features.to(linear.weight.dtype))
    return again.shape == logits.shape and bool(
        (again - logits).abs().max() <= TOLERANCE * logits.abs().max().clamp(min=1)
    )


def last_linear(module: nn.Module, n_classes: int) -> tuple[str, nn.Linear] | None:
    """Name and layer of the last nn.Linear with that many outputs."""
    matches = [
        (name, layer)
        for name, layer in module.named_modules()
        if name and isinstance(layer, nn.Linear) and layer.out_features == n_classes
    ]
    return matches[-1] if matches else None


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
    return Encoder(identity, device, _float(embed), "penultimate", features.shape[1], module=module)


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
    return Encoder(identity, device, _float(embed), "penultimate", features.shape[1], module=module)


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


def _replace(module: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, attribute = name.rpartition(".")
    setattr(module.get_submodule(parent), attribute, layer)


def _float(embed: Embed) -> Embed:
    return lambda pictures: embed(pictures).float()
