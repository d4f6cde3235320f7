"""A torch.nn.Module that gives logits, taken apart into features and a linear classifier; or read at a named layer.

Every split is checked on random pictures before it is trusted: a network whose last layer is not linear over its features
keeps its logits as features.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from model_zoo.encoder import Classifier, Encoder, Identity, Reference, may_be_noisy
from model_zoo.errors import ModelError
from model_zoo.sources.forward_pass import Embed, as_float, close, try_out, varied
from model_zoo.sources.from_layer import at_layer


def supervised(module: nn.Module, identity: Identity, device: torch.device) -> Encoder:
    """An encoder of a network with its own classifier, or at `identity.layer` where a registration named one.

    Its reference is the network's own forward pass. Raises ModelError for one that answers otherwise each time.
    """
    module = module.eval().requires_grad_(False).to(device)
    if identity.layer != "default":
        return at_layer(module, identity, device)
    try_out(module, identity.pixels, device, str(identity.asked))
    pictures = varied(identity.pixels, device)
    with torch.inference_mode():
        logits = module(pictures).float()
        again = module(pictures).float()
    if not logits.isfinite().all():
        raise ModelError(
            f"{identity.asked} gives numbers that are not finite: its weights are damaged, or --pixels are not its own"
        )
    if not close(again, logits):
        if may_be_noisy():
            return only_logits(module, identity, device, logits.shape[1])
        raise ModelError(
            f"{identity.asked} gives other logits for the same pictures the second time: dropout or other noise is active in "
            "evaluation (a functional dropout needs training=self.training); switch it off where the network is built"
        )
    last = last_linear(module, logits.shape[1])
    if last is not None:
        name, layer = last
        _replace(module, name, nn.Identity())
        try:
            head = head_over(layer, module, pictures, logits)
        except Exception:  # the module reads its last layer's attributes, or does more with its output: keep it whole
            head = None
        if head is not None:

            def whole(given: torch.Tensor) -> torch.Tensor:
                """The network as its author wrote it."""
                _replace(module, name, layer)
                try:
                    return as_float(module)(given)
                finally:
                    _replace(module, name, nn.Identity())

            reference = Reference("the network's own forward pass", outputs=whole)
            embed = normalised(module) if head.unit else module
            return penultimate(embed, head, identity, device, module, reference)
        _replace(module, name, layer)
    return only_logits(module, identity, device, logits.shape[1])


@dataclass(frozen=True)
class AffineHead:
    """Logits as weight (K, D) times features plus bias (K,), found to hold on varied pictures.

    unit  the features are made unit vectors first, as cosine classifiers do
    """

    weight: torch.Tensor
    bias: torch.Tensor | None
    unit: bool = False


def head_over(layer: nn.Module, embed: Embed, pictures: torch.Tensor, logits: torch.Tensor) -> AffineHead | None:
    """The classifier `logits` are of the features `embed` gives, as a linear map; None where it is none.

    Tried in turn: the layer's own weight and bias; what the layer does to unit vectors of the axes, affine or after making the
    features unit vectors; each with one factor and an offset a class that the network may apply after it.
    """
    with torch.inference_mode():
        features = embed(pictures).float()
        width = getattr(layer, "in_features", None)
        if features.ndim != 2 or (width is not None and features.shape[1] != width):
            return None
        for head in _affine(layer, features):
            unit = functional.normalize(features, dim=-1) if head.unit else features
            if close(functional.linear(unit, head.weight, head.bias), logits):
                return head
            scaled = _scaled(head, unit, logits)
            if scaled is not None:
                return scaled
    return None


def _affine(layer: nn.Module, features: torch.Tensor) -> Iterator[AffineHead]:
    weight, bias = getattr(layer, "weight", None), getattr(layer, "bias", None)
    if isinstance(weight, torch.Tensor) and weight.ndim == 2 and weight.shape[1] == features.shape[1]:
        yield AffineHead(weight.detach().float(), None if bias is None else bias.detach().float())
    axes = torch.eye(features.shape[1], device=features.device)
    there, opposite = layer(axes).float(), layer(-axes).float()
    offset = (there + opposite).mean(dim=0) / 2
    direction = ((there - opposite) / 2).T.contiguous()
    yield AffineHead(direction, offset)
    yield AffineHead(direction, offset, unit=True)


def _scaled(head: AffineHead, features: torch.Tensor, logits: torch.Tensor) -> AffineHead | None:
    """`head` with one factor and an offset a class fitted to the logits; None where a residual is left."""
    raw = functional.linear(features, head.weight)
    centred, wanted = raw - raw.mean(dim=0), logits - logits.mean(dim=0)
    energy = float((centred**2).sum())
    if energy <= 0:
        return None
    factor = float((centred * wanted).sum()) / energy
    offset = (logits - factor * raw).mean(dim=0)
    again = factor * raw + offset
    varies = float(wanted.abs().max())  # what differs from picture to picture must be explained, not only the mean
    if not close(again, logits) or float((again - logits).abs().max()) > 1e-3 * varies:
        return None
    return AffineHead(factor * head.weight, offset, head.unit)


def normalised(embed: Embed) -> Embed:
    """`embed` with each row made a unit vector."""
    return lambda pictures: functional.normalize(embed(pictures).float(), dim=-1)


def penultimate(
    embed: Embed,
    head: AffineHead,
    identity: Identity,
    device: torch.device,
    module: nn.Module,
    reference: Reference | None = None,
) -> Encoder:
    """An encoder whose features are what `head`, its own classifier, reads."""
    classes, dim = head.weight.shape
    classifier = Classifier(head.weight, head.bias, classes)
    return Encoder(
        identity,
        device,
        as_float(embed),
        "penultimate",
        dim,
        classifier=classifier,
        module=module,
        reference=reference,
    )


def only_logits(module: nn.Module, identity: Identity, device: torch.device, n_classes: int) -> Encoder:
    """An encoder whose features are its logits, for networks whose classifier is not one linear layer."""
    own = Classifier(None, None, n_classes)
    reference = Reference("the network's own forward pass", outputs=as_float(module))
    return Encoder(
        identity, device, as_float(module), "logits", n_classes, classifier=own, module=module, reference=reference
    )


def last_linear(module: nn.Module, n_classes: int) -> tuple[str, nn.Module] | None:
    """Name and layer of the last layer with that many outputs: an nn.Linear, or one that holds a weight (n_classes, D)."""
    matches = [
        (name, layer)
        for name, layer in module.named_modules()
        if name
        and all(child == "parametrizations" for child, _ in layer.named_children())
        and isinstance(getattr(layer, "weight", None), torch.Tensor)
        and layer.weight.ndim == 2
        and len(layer.weight) == n_classes
    ]
    return matches[-1] if matches else None


def _replace(module: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, attribute = name.rpartition(".")
    setattr(module.get_submodule(parent), attribute, layer)
