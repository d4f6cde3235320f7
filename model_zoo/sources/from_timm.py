"""`timm:NAME[#FEATURES][@file]`: any image network of timm, with its published weights or a file.

NAME is an architecture, alone or with a tag (`resnet50.a1_in1k`); no tag: timm's default, named in the identity. FEATURES is
what a probe reads in place of timm's pre-logits: `cls`, `mean`, `cls+mean` of a tower's tokens, or a layer's name.
Preprocessing is what timm itself resolves for evaluation from the configuration of those weights.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import timm
import torch
from timm.data import resolve_data_config
from timm.models import get_pretrained_cfg, split_model_name_tag
from torch import nn

from model_zoo.encoder import Encoder, Identity
from model_zoo.errors import ModelError, UnknownModel, listed, suggest
from model_zoo.pixels import PixelSpec, Resize
from model_zoo.sources.from_checkpoint import (
    existing,
    file_digest,
    fit_state,
    read_shapes,
    read_state,
    weights_from_network,
)
from model_zoo.sources.from_module import POOLINGS, at_layer, linear_over, only_logits, penultimate, try_out
from model_zoo.spec import ModelSpec

_MODES: dict[str, Resize] = {"center": "shortest", "squash": "squash", "border": "longest"}


FEATURES = "#"


def _without_features(spec: ModelSpec) -> tuple[ModelSpec, str | None]:
    """A spec's model, and the features it names after the #, or None. Raises ModelError where nothing follows."""
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
        config = self._config(spec)
        full = config["architecture"] + (f".{config['tag']}" if config.get("tag") else "")
        n_classes = int(config.get("num_classes", 0))
        notes: list[str] = []
        source: object = {key: config.get(key) for key in ("url", "hf_hub_id", "hf_hub_filename", "file")}
        if spec.weights is not None:
            path = existing(
                spec.weights, f"timm:{spec.name} takes the path of a weights file after the @ (a tag follows a dot)"
            )
            source, n_classes = file_digest(path), self._classes(config, path) or n_classes
            notes.append(f"pictures are prepared as for timm's {full}; another preparation needs `effrob register`")
        elif full != spec.name:
            notes.append(f"no tag was named: timm's default, {full}, is taken")
        tested = config.get("test_input_size")
        if tested and tuple(tested) != tuple(config["input_size"]):
            notes.append(
                f"pictures are of {config['input_size'][-1]} pixels, the training size; timm's own results use {tested[-1]}"
            )
        about = json.dumps(["timm", config["architecture"], n_classes, source], sort_keys=True)
        if layer is not None:
            notes.append(f"features are taken at {layer}, so its own classifier is left aside")
        return Identity(
            spec=ModelSpec("timm", full if layer is None else f"{full}{FEATURES}{layer}", spec.weights),
            asked=str(asked),
            digest=hashlib.sha256(about.encode()).hexdigest(),
            pixels=pixels_of(config),
            layer=layer or "default",
            n_classes=(n_classes or None) if layer is None else None,
            notes=tuple(notes),
        )

    def network(self, spec: ModelSpec) -> nn.Module:
        """The module with its weights, on the CPU."""
        spec, _ = _without_features(spec)
        identity = self.identify(spec)
        name = f"timm:{identity.spec.name}"
        if spec.weights is None:
            with weights_from_network(f"the weights of {name}", f"fetch them elsewhere and give the file: {name}@FILE"):
                module: nn.Module = timm.create_model(identity.spec.name, pretrained=True)
            return module
        module = timm.create_model(identity.spec.name, pretrained=False, num_classes=identity.n_classes or 0)
        path = Path(spec.weights).expanduser()
        fit_state(module, read_state(path), path, name)
        return module

    def load(self, spec: ModelSpec, device: torch.device) -> Encoder:
        identity = self.identify(spec)
        return encoder_of(self.network(spec), identity, device)

    def _config(self, spec: ModelSpec) -> dict[str, Any]:
        """timm's configuration of a name's weights. Raises UnknownModel for a name or tag timm lacks."""
        architecture, tag = split_model_name_tag(spec.name)
        if not timm.is_model(architecture):
            raise UnknownModel(
                f"timm has no model {spec.name!r}{suggest(spec.name, self.names())}; `effrob models` lists them"
            )
        try:
            config_of_weights = get_pretrained_cfg(spec.name)
        except RuntimeError:
            tags = [name.partition(".")[2] for name in timm.list_pretrained(f"{architecture}.*")]
            raise UnknownModel(
                f"timm:{architecture} has no weights tagged {tag!r}{suggest(tag, tags)}; its tags are {listed(tags)}"
            ) from None
        config = dict(config_of_weights.to_dict()) if config_of_weights is not None else {}
        config.setdefault("architecture", architecture)
        config.setdefault("num_classes", 1000)
        config.setdefault("input_size", (3, 224, 224))
        if spec.weights is None and not (config_of_weights is not None and config_of_weights.has_weights):
            raise ModelError(f"timm publishes no weights for {spec.name}: give a file, timm:{spec.name}@FILE")
        return config

    @staticmethod
    def _classes(config: dict[str, Any], path: Path) -> int | None:
        """How many classes a file's classifier has, by its shape; None where the file has no such layer."""
        classifier = config.get("classifier")
        names = [classifier] if isinstance(classifier, str) else list(classifier or ())
        shapes = read_shapes(path)
        return next((shapes[f"{name}.weight"][0] for name in names if shapes.get(f"{name}.weight")), None)


def encoder_of(module: Any, identity: Identity, device: torch.device) -> Encoder:
    """A timm network as an encoder: timm's own pre-logits as features where the classifier is linear over them."""
    module = module.eval().requires_grad_(False).to(device)
    if identity.layer != "default":
        return at_layer(module, identity, device)
    logits = try_out(module, identity.pixels, device, identity.asked)
    linear = module.get_classifier() if hasattr(module, "get_classifier") else None

    def embed(pictures: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = module.forward_head(module.forward_features(pictures), pre_logits=True)
        return features

    if identity.n_classes is None:
        dim = logits.shape[1]
        return Encoder(identity, device, lambda pictures: module(pictures).float(), "penultimate", dim, module=module)
    if isinstance(linear, nn.Linear) and hasattr(module, "forward_head"):
        try:
            features = try_out(embed, identity.pixels, device, identity.asked)
        except ModelError:
            features = logits[:, :0]  # its pre-logits are not one vector a picture
        if features.shape[1] == linear.in_features and linear_over(linear, features, logits):
            return penultimate(embed, linear, identity, device, module)
    return only_logits(module, identity, device, logits.shape[1])


def pixels_of(config: dict[str, Any]) -> PixelSpec:
    """The PixelSpec of timm's evaluation transform for a pretrained configuration (its training size, as timm's default)."""
    data = resolve_data_config(pretrained_cfg=config)
    size = tuple(data["input_size"][-2:])
    mode = data["crop_mode"]
    levels = {round(255 * mean) for mean in data["mean"]}
    if mode not in _MODES or (mode == "border" and len(levels) > 1):
        raise ModelError(
            f"timm prepares pictures in a way that is not known here: crop_mode={mode}, mean={data['mean']}"
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
