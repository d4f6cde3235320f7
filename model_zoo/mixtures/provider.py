"""`mix:A,B@ALPHA` and `mix:A,B,C`: networks of one architecture with interpolated or averaged weights.

WiSE-FT (Wortsman et al. 2022, arXiv:2109.01903) interpolates a fine-tuned model with the one it came from; a model soup
(Wortsman et al. 2022, arXiv:2203.05482) averages several. Buffers such as batch norm's running statistics are mixed as
weights are, which for batch norm is an approximation.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from model_zoo.encoder import Encoder, Identity
from model_zoo.errors import ModelError
from model_zoo.mixtures.specs import mixture
from model_zoo.providers import provider as provider_of
from model_zoo.sources.from_module import supervised
from model_zoo.sources.from_registration import network_of
from model_zoo.sources.from_registration import provider as registered
from model_zoo.spec import MIXTURE, ModelSpec, parse


class MixtureProvider:
    """The scheme `mix`."""

    def names(self) -> list[str]:
        """None: what is mixed is named."""
        return []

    def identify(self, spec: ModelSpec) -> Identity:
        """The first part's identity under a digest of all parts and shares. Raises ModelError where parts differ in kind."""
        mixed = mixture(spec.name)
        parts: list[Identity] = [_provider(part).identify(parse(part)) for part in mixed.parts]
        first = parts[0]
        for name, part in zip(mixed.parts, parts):
            for what in ("pixels", "layer", "has_text", "n_classes"):
                if getattr(part, what) != getattr(first, what):
                    raise ModelError(
                        f"{mixed.parts[0]} and {name} differ in {what.replace('_', ' ')} and cannot be mixed"
                    )
        if first.layer != "default":
            raise ModelError(f"{mixed.parts[0]} takes features at a layer: mixtures are of whole networks")
        about = [MIXTURE, [part.digest for part in parts], list(mixed.shares)]
        notes = tuple(dict.fromkeys(note for part in parts for note in part.notes))
        digest = hashlib.sha256(json.dumps(about).encode()).hexdigest()
        return replace(first, spec=spec, asked=str(spec), digest=digest, notes=notes)

    def load(self, spec: ModelSpec, device: torch.device) -> Encoder:
        """The mixture. Raises ModelError where the parts are not of one architecture."""
        mixed, identity, cpu = mixture(spec.name), self.identify(spec), torch.device("cpu")
        if not identity.has_text:
            module = whole(mixed.parts[0])
            _mix(module, (whole(part) for part in mixed.parts[1:]), mixed.parts, mixed.shares)
            return supervised(module, identity, device)
        encoder: Encoder = _provider(mixed.parts[0]).load(parse(mixed.parts[0]), device)
        others = (_towers(_provider(part).load(parse(part), cpu), part) for part in mixed.parts[1:])
        model = _towers(encoder, mixed.parts[0])
        _mix(model, others, mixed.parts, mixed.shares)
        text: Any = encoder.text
        text.digest = identity.digest
        scale = getattr(model, "logit_scale", None)
        text.logit_scale = None if scale is None else float(scale.detach().double().exp().reshape(-1)[0])
        return replace(encoder, identity=identity, reference=None)


def whole(part: str) -> nn.Module:
    """A supervised network with its classifier, on the CPU."""
    spec = parse(part)
    if not spec.scheme:
        return network_of(spec)
    provider: Any = provider_of(spec.scheme)
    if not hasattr(provider, "network"):
        raise ModelError(f"{spec.scheme} models give no bare network, and cannot be mixed")
    module: nn.Module = provider.network(spec)
    return module


def _provider(part: str) -> Any:
    spec = parse(part)
    return provider_of(spec.scheme) if spec.scheme else registered


def _towers(encoder: Encoder, part: str) -> nn.Module:
    """The module that holds both towers of a loaded model."""
    model = getattr(encoder.text, "_model", None)
    if not isinstance(model, nn.Module):
        raise ModelError(f"{part} does not show its two towers as one module, and cannot be mixed")
    return model


def _mix(module: nn.Module, others: Any, parts: tuple[str, ...], shares: tuple[float, ...]) -> None:
    """Replace a module's floating-point tensors by the weighted mean of all parts', in float64; one part at a time is held."""
    state = module.state_dict()
    sums = {name: tensor.double().cpu() * shares[0] for name, tensor in state.items() if tensor.is_floating_point()}
    for name, share, other in zip(parts[1:], shares[1:], others):
        theirs = other.state_dict()
        apart = sorted(set(state) ^ set(theirs)) or [key for key in state if state[key].shape != theirs[key].shape]
        if apart:
            raise ModelError(
                f"{parts[0]} and {name} are not of one architecture, {apart[0]} first: they cannot be mixed"
            )
        for key in sums:
            sums[key] += theirs[key].double().cpu() * share
    with torch.no_grad():
        for key, total in sums.items():
            state[key].copy_(total.to(state[key].dtype))


provider = MixtureProvider()
