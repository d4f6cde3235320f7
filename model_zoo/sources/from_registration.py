"""Registered names as models: a record, or a function registered in this process, turned into an identity and an encoder.

`NAME@FILE` is the registered model with another checkpoint. Other providers are reached by their scheme alone.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from model_zoo.checkpoints.parts import is_weights_file, weights_file
from model_zoo.encoder import Encoder, Identity
from model_zoo.errors import ModelError, UnknownModel
from model_zoo.pixels import PixelSpec, parse_pixels
from model_zoo.providers import provider as provider_of
from model_zoo.registered import LiveModel, registered, registered_names
from model_zoo.registration import Registration
from model_zoo.sources import from_callable
from model_zoo.sources.forward_pass import try_out
from model_zoo.sources.from_layer import at_layer
from model_zoo.sources.from_module import supervised
from model_zoo.spec import ModelSpec, parse

RESIZES = ("openclip", "timm", "transformers")  # schemes whose libraries resize positional embeddings
_LAYER_NOTE = "features are taken at the layer {}, so its own classifier or text tower is left aside"


class RegisteredProvider:
    """The models that `register` made, asked for by name alone."""

    def names(self) -> list[str]:
        return registered_names()

    def identify(self, spec: ModelSpec) -> Identity:
        return identity_of(registered(spec.name), spec)

    def load(self, spec: ModelSpec, device: torch.device) -> Encoder:
        return encoder_of(registered(spec.name), spec, device)


def encoder_of(model: LiveModel | Registration, spec: ModelSpec, device: torch.device) -> Encoder:
    """The loaded model of a record or of a function of this process, whether or not it is kept by name.

    Where `--pixels` asks for another size than its library's, positional embeddings are resized by the library.
    """
    identity = identity_of(model, spec)
    loader = _loader(model, spec)
    if loader is not None:
        return supervised(from_callable.module_of(loader, identity.pixels, model.features), identity, device)
    assert isinstance(model, Registration)
    under = _under(model, spec)
    provider: Any = provider_of(under.scheme)
    if identity.layer != "default":
        return at_layer(_network(provider, under), identity, device)
    own = provider.identify(under).pixels
    if identity.pixels.size != own.size and under.scheme in RESIZES:
        encoder: Encoder = provider.load(under, device, size=identity.pixels.size)
    else:
        encoder = provider.load(under, device)
    if identity.pixels.size != own.size:
        try_out(encoder.embed, identity.pixels, device, identity.asked)
    if identity.pixels == own:
        return replace(encoder, identity=identity)
    reference = encoder.reference and replace(
        encoder.reference, prepare=None
    )  # the user's pixels are not the library's
    return replace(encoder, identity=identity, reference=reference, transform=None)


def identity_of(model: LiveModel | Registration, spec: ModelSpec) -> Identity:
    """The identity of a registered model; `spec.weights` stands in for its checkpoint where given.

    Raises ModelError and UnknownModel where the record no longer holds: a checkpoint that moved, a loader that fails.
    """
    layer = model.features or "default"
    aside = (_LAYER_NOTE.format(layer),) if model.features else ()
    loader = _loader(model, spec)
    if loader is not None:
        pixels = model.pixels if isinstance(model.pixels, PixelSpec) else parse_pixels(str(model.pixels))
        built = from_callable.identity_of(loader, pixels, model.features)
        return Identity(
            spec,
            str(spec),
            built.digest,
            pixels,
            layer,
            n_classes=built.n_outputs or None,
            notes=(*aside, *built.notes),
        )
    assert isinstance(model, Registration)
    under = _under(model, spec)
    base = provider_of(under.scheme).identify(under)
    return replace(
        base,
        spec=spec,
        asked=str(spec),
        pixels=_pixels(model.pixels, base.pixels),
        layer=layer,
        has_text=base.has_text and not model.features,
        n_classes=None if model.features else base.n_classes,
        notes=(f"registered as {base.spec}", *base.notes, *aside),
    )


def _pixels(given: str | None, own: PixelSpec) -> PixelSpec:
    """The library's pixels with what `--pixels` changes; where the library's own steps have no such keys, all must be said."""
    if not given:
        return own
    return parse_pixels(given, None if own.opaque is not None else own)


def _loader(model: LiveModel | Registration, spec: ModelSpec) -> from_callable.Loader | None:
    """The loader a registered model is made by, or None where it shares a library's architecture."""
    if isinstance(model, LiveModel):
        if spec.weights is not None:
            raise ModelError(
                f"{spec.name} was registered as a function of this process and takes no weights: write {spec.name}"
            )
        return from_callable.live(model.name, model.loader)
    if model.loader is None:
        return None
    checkpoint = spec.weights or model.checkpoint
    path = weights_file(checkpoint, f"{model.name} is registered with a checkpoint") if checkpoint else None
    return from_callable.find(model.loader, model.root, path)


def _under(model: Registration, spec: ModelSpec) -> ModelSpec:
    """The library's spec a record stands for: its architecture with the record's checkpoint."""
    base = ModelSpec("openclip", model.arch) if model.arch is not None else parse(str(model.like))
    checkpoint = spec.weights or model.checkpoint
    if checkpoint is None:
        return base
    if not is_weights_file(checkpoint):
        raise UnknownModel(
            f"the checkpoint {checkpoint} of {model.name} is not there: register it again with --checkpoint FILE --replace"
        )
    return replace(base, weights=str(Path(checkpoint).expanduser()))


def network_of(spec: ModelSpec) -> nn.Module:
    """The bare network of a registered model with its weights, on the CPU."""
    model = registered(spec.name)
    loader = _loader(model, spec)
    if loader is not None:
        return from_callable.module_of(loader, identity_of(model, spec).pixels, model.features)
    assert isinstance(model, Registration)
    under = _under(model, spec)
    return _network(provider_of(under.scheme), under)


def _network(provider: Any, spec: ModelSpec) -> nn.Module:
    """The bare network of a provider that offers one."""
    if not hasattr(provider, "network"):
        raise ModelError(f"features cannot be taken at a layer of {spec.scheme} models: leave --features out")
    network: nn.Module = provider.network(spec)
    return network


provider = RegisteredProvider()
