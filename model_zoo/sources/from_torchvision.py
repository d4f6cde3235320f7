"""`torchvision:NAME[@weights-or-file]`: classification networks of torchvision, with its published weights or a file.

No weights given: the entry torchvision calls DEFAULT, named in the identity. Preprocessing is that entry's own; a file
gets the default entry's, and a note says so.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

import torch
import torchvision
import torchvision.models as zoo
from torch import nn

from model_zoo.checkpoints.network import weights_from_network
from model_zoo.checkpoints.parts import (
    State,
    Weights,
    WeightsFile,
    is_weights_file,
    outline,
    read_weights,
    weights_digest,
    weights_file,
)
from model_zoo.checkpoints.state import fit_state
from model_zoo.encoder import Encoder, Identity, Reference
from model_zoo.errors import ModelError, UnknownModel, suggest
from model_zoo.pixels import PixelSpec
from model_zoo.sources.from_module import supervised
from model_zoo.spec import ModelSpec

_INCEPTIONS = (
    "googlenet",
    "inception_v3",
)  # they carry auxiliary heads, and rescale their input where weights are published
_AUXILIARY = re.compile(r"(^|\.)(aux1|AuxLogits)\.")
_OLD_DENSENET = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\.\w+)$")  # torchvision renames these too


@dataclass(frozen=True)
class _Chosen:
    """A network with one set of weights: an entry of torchvision, and the file that stands in for it, if one was given."""

    name: str
    entry: Any
    file: WeightsFile | None


class TorchvisionProvider:
    """The scheme `torchvision`."""

    def names(self) -> list[str]:
        return list(zoo.list_models(module=zoo))

    def identify(self, spec: ModelSpec) -> Identity:
        chosen = self._choose(spec)
        weights = str(spec.weights) if chosen.file else chosen.entry.name
        source, about_file = chosen.entry.url, Weights({})
        if chosen.file:
            about_file = outline(chosen.file)[1]
            source = weights_digest(chosen.file, about_file)
        about = json.dumps(["torchvision", chosen.name, self._arguments(chosen), source])
        notes: tuple[str, ...] = ()
        pixels = pixels_of(chosen.entry.transforms())
        if chosen.file:
            pixels, note = _of_run(chosen, about_file, pixels)
            notes = (*about_file.notes, note)
        elif spec.weights is None:
            notes = (f"no weights were named: torchvision's default for {chosen.name}, {weights}, is taken",)
        return Identity(
            spec=ModelSpec("torchvision", chosen.name, weights),
            asked=str(spec),
            digest=hashlib.sha256(about.encode()).hexdigest(),
            pixels=pixels,
            n_classes=len(chosen.entry.meta["categories"] or ()) or None,
            notes=notes,
        )

    def network(self, spec: ModelSpec) -> nn.Module:
        """The module with its weights, on the CPU."""
        chosen = self._choose(spec)
        name = f"torchvision:{chosen.name}"
        if chosen.file:
            state, source = read_weights(chosen.file).state, str(chosen.file.path)
        else:
            source = f"the weights {chosen.entry.name} of {name}"
            with weights_from_network(source, f"fetch them elsewhere and give the file: {name}@FILE"):
                state = chosen.entry.get_state_dict(progress=False, check_hash=True, weights_only=True)
        state = {_OLD_DENSENET.sub(r"\1\2", key): value for key, value in state.items()}
        module = self._build(chosen, state)
        fit_state(module, state, source, name)
        return module

    def load(self, spec: ModelSpec, device: torch.device) -> Encoder:
        identity = self.identify(spec)
        if identity.n_classes is None:
            raise ModelError(
                f"the weights {identity.spec} hold no trained classifier: "
                f"register them with --like {identity.spec} --features LAYER"
            )
        encoder = supervised(self.network(spec), identity, device)
        if encoder.reference is not None:
            chosen = self._choose(spec)
            same = identity.pixels == pixels_of(chosen.entry.transforms())
            transform = chosen.entry.transforms() if same else None
            encoder.reference = Reference(
                f"torchvision {torchvision.__version__}", transform, encoder.reference.outputs
            )
        return encoder

    def _choose(self, spec: ModelSpec) -> _Chosen:
        known = self.names()
        if spec.name not in known:
            raise UnknownModel(
                f"torchvision has no classifier {spec.name!r}{suggest(spec.name, known)}; `effrob models` lists them"
            )
        table = zoo.get_model_weights(spec.name)
        if spec.weights is None:
            return _Chosen(spec.name, table.DEFAULT, None)
        tags = [entry.name for entry in table]
        if spec.weights in (*tags, "DEFAULT"):
            return _Chosen(spec.name, table[spec.weights], None)
        if is_weights_file(spec.weights):
            return _Chosen(spec.name, table.DEFAULT, weights_file(spec.weights, f"torchvision:{spec.name}"))
        raise UnknownModel(
            f"{spec.weights!r} is neither a file nor weights of torchvision:{spec.name}{suggest(spec.weights, tags)}; "
            f"those are {', '.join(tags)}"
        )

    @staticmethod
    def _arguments(chosen: _Chosen) -> dict[str, Any]:
        """What torchvision's builders set by themselves when they are given published weights."""
        size = chosen.entry.meta["min_size"]
        if chosen.name in _INCEPTIONS:
            return {"transform_input": True, "init_weights": False}
        if chosen.name.startswith("vit_"):
            return {"image_size": size[0]}
        if chosen.name.startswith("maxvit"):
            return {"input_size": tuple(size)}
        return {}

    def _build(self, chosen: _Chosen, state: State) -> nn.Module:
        arguments = self._arguments(chosen)
        if chosen.name in _INCEPTIONS:
            arguments["aux_logits"] = any(_AUXILIARY.search(key) for key in state)
        module: nn.Module = zoo.get_model(chosen.name, weights=None, **arguments)
        return module


def _of_run(chosen: _Chosen, weights: Weights, default: PixelSpec) -> tuple[PixelSpec, str]:
    """The pixels of a file, and a note: the evaluation sizes that torchvision's training script stored, else the default's.

    Raises ModelError where the script stored another model's name.
    """
    arguments = weights.about.get("args")
    if not isinstance(arguments, dict) or "val_crop_size" not in arguments:
        return (
            default,
            f"pictures are prepared as for torchvision's {chosen.entry}; another preparation needs `effrob register`",
        )
    if arguments.get("model") not in (None, chosen.name):
        raise ModelError(
            f"the checkpoint says it is of {arguments['model']}, not {chosen.name}: write torchvision:{arguments['model']}"
        )
    resize, crop = int(arguments.get("val_resize_size", 256)), int(arguments["val_crop_size"])
    filter_ = str(arguments.get("interpolation", "bilinear"))
    if filter_ not in ("bilinear", "bicubic", "nearest"):
        raise ModelError(f"the checkpoint's arguments name an interpolation that is not known here: {filter_!r}")
    pixels = PixelSpec((crop, crop), (resize, resize), interpolation=filter_)  # type: ignore[arg-type]
    return (
        pixels,
        f"pictures are prepared by the arguments in the checkpoint: val_resize_size {resize}, val_crop_size {crop}, {filter_}",
    )


def pixels_of(preset: Any) -> PixelSpec:
    """torchvision's ImageClassification preset as a PixelSpec."""
    if type(preset).__name__ != "ImageClassification" or len(preset.resize_size) != 1 or not preset.antialias:
        raise ModelError(f"torchvision prepares pictures in a way that is not known here: {preset}")
    (resize,), crop = preset.resize_size, preset.crop_size
    return PixelSpec(
        size=(crop[0], crop[-1]),
        resize=(resize, resize),
        interpolation=preset.interpolation.value,
        mean=tuple(preset.mean),
        std=tuple(preset.std),
    )


provider = TorchvisionProvider()
