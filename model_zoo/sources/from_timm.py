"""`timm:NAME[#FEATURES][@file]`, `timm:local-dir:FOLDER`, `timm:hf-hub:ORG/NAME`: any image network of timm.

NAME is an architecture, alone or with a tag (`resnet50.a1_in1k`); no tag: timm's default, named in the identity. FEATURES is
what a probe reads in place of timm's pre-logits: `cls`, `mean`, `cls+mean` of a tower's tokens, or a layer's name.
Preprocessing is what timm itself resolves for evaluation from the configuration of those weights.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import timm
import torch
from timm.data import create_transform, resolve_data_config
from timm.models import model_entrypoint
from torch import nn

from model_zoo.checkpoints.network import weights_from_network
from model_zoo.checkpoints.parts import read_weights
from model_zoo.checkpoints.state import fit_state, under_prefix
from model_zoo.encoder import Encoder, Identity, Reference
from model_zoo.errors import ModelError
from model_zoo.pixels import PixelSpec, Resize
from model_zoo.sources.forward_pass import try_out, varied
from model_zoo.sources.from_layer import POOLINGS, at_layer
from model_zoo.sources.from_module import head_over, penultimate, supervised
from model_zoo.sources.from_timm_choice import LOCAL, REMOTE, TimmChoice, choose, refuse_another_head
from model_zoo.spec import ModelSpec

_MODES: dict[str, Resize] = {"center": "shortest", "squash": "squash", "border": "longest"}


FEATURES = "#"


def _without_features(spec: ModelSpec) -> tuple[ModelSpec, str | None]:
    """A spec's model, and the features it names after the #, or None. Raises ModelError where nothing follows."""
    if spec.name.startswith(LOCAL) and Path(spec.name.removeprefix(LOCAL)).expanduser().is_dir():
        return spec, None  # a folder's name may hold the mark
    name, mark, layer = spec.name.partition(FEATURES)
    if mark and not layer:
        raise ModelError(f"nothing follows the {FEATURES} in {spec}: say {', '.join(POOLINGS)} or a layer's name")
    return ModelSpec(spec.scheme, name, spec.weights), layer or None


class TimmProvider:
    """The scheme `timm`."""

    def names(self) -> list[str]:
        return sorted({*timm.list_models(), *timm.list_pretrained()})

    def identify(self, spec: ModelSpec) -> Identity:
        asked, (spec, layer) = spec, _without_features(spec)
        chosen = choose(spec)
        config, notes = chosen.config, list(chosen.notes)
        tested = config.get("test_input_size")
        if tested and tuple(tested) != tuple(config["input_size"]):
            notes.append(
                f"pictures are of {config['input_size'][-1]} pixels, the training size; timm's own results use {tested[-1]}"
            )
        about: list[object] = ["timm", config["architecture"], chosen.n_classes, chosen.source]
        if chosen.arguments:
            about.append(dict(chosen.arguments))
        if layer is not None:
            notes.append(f"features are taken at {layer}, so its own classifier is left aside")
        return Identity(
            spec=ModelSpec("timm", chosen.name if layer is None else f"{chosen.name}{FEATURES}{layer}", spec.weights),
            asked=str(asked),
            digest=hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode()).hexdigest(),
            pixels=pixels_of(config, chosen.data),
            layer=layer or "default",
            n_classes=(chosen.n_classes or None) if layer is None else None,
            labels=chosen.labels if layer is None else None,
            notes=tuple(notes),
        )

    def network(self, spec: ModelSpec) -> nn.Module:
        """The module with its weights, on the CPU."""
        spec, _ = _without_features(spec)
        return _network(choose(spec), None)

    def load(self, spec: ModelSpec, device: torch.device, size: tuple[int, int] | None = None) -> Encoder:
        """`size`: the pictures' (height, width) in place of its own; positional embeddings are resized by timm."""
        identity = self.identify(spec)
        chosen = choose(_without_features(spec)[0])
        if size is not None and size == identity.pixels.size:
            size = None
        module = _network(chosen, size)
        data = {"input_size": (3, *size)} if size is not None else dict(chosen.data)
        settings = resolve_data_config(data, pretrained_cfg=chosen.config if chosen.file else None, model=module)
        if size is not None:
            identity = _resized(identity, size)
        encoder = encoder_of(module, identity, device)
        if encoder.reference is not None:
            transform = None if size is not None else create_transform(**settings, is_training=False)
            encoder.reference = Reference(f"timm {timm.__version__}", transform, encoder.reference.outputs)
        return encoder


def _resized(identity: Identity, size: tuple[int, int]) -> Identity:
    return replace(identity, pixels=replace(identity.pixels, size=size, resize=size))


def _network(chosen: TimmChoice, size: tuple[int, int] | None) -> nn.Module:
    name = f"timm:{chosen.name}"
    extra = dict(chosen.arguments)
    if size is not None:
        extra["img_size"] = size[0] if size[0] == size[1] else size
    if chosen.file is None:
        what, instead = f"the weights of {name}", f"fetch them elsewhere and give the file: {name}@FILE"
        with weights_from_network(what, instead, chosen.name.startswith(LOCAL)):
            try:
                module: nn.Module = timm.create_model(chosen.name, pretrained=True, **extra)
            except TypeError as error:
                raise ModelError(f"{name} takes pictures of any size and no img_size ({error})") from error
        if chosen.name.startswith((LOCAL, REMOTE)):
            refuse_another_head(chosen)
        return module
    try:
        module = timm.create_model(chosen.name, pretrained=False, num_classes=chosen.n_classes, **extra)
    except Exception as first:  # whatever an architecture makes of arguments that it does not know
        try:
            if not isinstance(first, TypeError) or extra.pop("img_size", None) is None:
                raise
            module = timm.create_model(chosen.name, pretrained=False, num_classes=chosen.n_classes, **extra)
        except Exception as error:
            settings = ", ".join(f"{key}={value!r}" for key, value in extra.items())
            raise ModelError(
                f"timm {timm.__version__} does not build {chosen.name} with {settings}, as the run of {chosen.file.path} had "
                f"it ({error}): bring the model by a function of your own with `effrob register`"
            ) from error
    path = chosen.file.path
    state = read_weights(chosen.file).state
    try:
        fit_state(module, state, path, name)
    except ModelError:
        converted = _converted(state, module, chosen, str(path))
        if converted is None:
            raise
        fit_state(module, converted, path, name)
    return module


def _converted(state: dict[str, Any], module: nn.Module, chosen: TimmChoice, path: str) -> dict[str, Any] | None:
    """A state dict of another project in timm's names, by timm's own filter for the architecture; None where it has none.

    The filter also resizes positional embeddings to the module's.
    """
    home = sys.modules.get(model_entrypoint(chosen.architecture).__module__)
    convert = getattr(home, "checkpoint_filter_fn", None)
    if convert is None:
        return None
    try:
        converted: dict[str, Any] = convert(under_prefix(dict(state), module.state_dict(), path), module)
    except Exception:  # a filter meets names it was not written for
        return None
    return converted


def encoder_of(module: Any, identity: Identity, device: torch.device) -> Encoder:
    """A timm network as an encoder: timm's own pre-logits as features where the classifier is linear over them."""
    module = module.eval().requires_grad_(False).to(device)
    if identity.layer != "default":
        return at_layer(module, identity, device)
    logits = try_out(module, identity.pixels, device, identity.asked)
    layer = module.get_classifier() if hasattr(module, "get_classifier") else None

    def embed(pictures: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = module.forward_head(module.forward_features(pictures), pre_logits=True)
        return features

    own = Reference("timm", outputs=module)
    if identity.n_classes is None:
        dim = logits.shape[1]
        return Encoder(
            identity,
            device,
            lambda pictures: module(pictures).float(),
            "penultimate",
            dim,
            module=module,
            reference=own,
        )
    if isinstance(layer, nn.Linear) and hasattr(module, "forward_head"):
        pictures = varied(identity.pixels, device)
        try:
            with torch.inference_mode():
                head = head_over(layer, embed, pictures, module(pictures).float())
        except Exception:  # its pre-logits are not one vector a picture
            head = None
        if head is not None and not head.unit:
            return penultimate(embed, head, identity, device, module, own)
    return supervised(module, identity, device)


def pixels_of(config: dict[str, Any], arguments: Mapping[str, Any] | None = None) -> PixelSpec:
    """The PixelSpec of timm's evaluation transform for a pretrained configuration (its training size, as timm's default).

    arguments  those of a training run, which go before the configuration
    """
    data = resolve_data_config(dict(arguments or {}), pretrained_cfg=config)
    size = tuple(data["input_size"][-2:])
    mode = data["crop_mode"]
    levels = {round(255 * mean) for mean in data["mean"]}
    if mode not in _MODES or (mode == "border" and len(levels) > 1):
        raise ModelError(
            f"timm prepares pictures in a way that is not known here: crop_mode={mode}, mean={data['mean']}"
        )
    if data["interpolation"] not in ("bicubic", "bilinear", "nearest", "lanczos", "box", "hamming"):
        raise ModelError(
            f"timm's configuration names an interpolation that is not known here: {data['interpolation']!r}"
        )
    return PixelSpec(
        size=(size[0], size[1]),
        resize=(math.floor(size[0] / data["crop_pct"]), math.floor(size[1] / data["crop_pct"])),
        mode=_MODES[mode],
        interpolation=data["interpolation"],
        mean=tuple(data["mean"]),
        std=tuple(data["std"]),
        fill=levels.pop() if mode == "border" else 0,
    )


provider = TimmProvider()
