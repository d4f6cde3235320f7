"""`torchvision:NAME[@weights-or-file]`: classification networks of torchvision, with its published weights or a file.

No weights given: the entry torchvision calls DEFAULT, named in the identity. Preprocessing is that entry's own; a file
gets the default entry's, and a note says so.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torchvision.models as zoo
from torch import nn

from model_zoo.encoder import Encoder, Identity
from model_zoo.errors import ModelError, UnknownModel, suggest
from model_zoo.pixels import PixelSpec
from model_zoo.sources.from_checkpoint import State, file_digest, fit_state, read_state, weights_from_network
from model_zoo.sources.from_module import supervised
from model_zoo.spec import ModelSpec

_INCEPTIONS = (
    "googlenet",
    "inception_v3",
)  # they carry auxiliary heads, and rescale their input where weights are published
_OLD_DENSENET = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\.\w+)$")  # torchvision renames these too


@dataclass(frozen=True)
class _Chosen:
    """A network with one set of weights: an entry of torchvision, and the file that stands in for it, if one was given."""

    name: str
    entry: Any
    file: Path | None


class TorchvisionProvider:
    """The scheme `torchvision`."""

    def names(self) -> list[str]:
        return list(zoo.list_models(module=zoo))

    def identify(self, spec: ModelSpec) -> Identity:
        chosen = self._choose(spec)
        weights = str(spec.weights) if chosen.file else chosen.entry.name
        source = file_digest(chosen.file) if chosen.file else chosen.entry.url
        about = json.dumps(["torchvision", chosen.name, self._arguments(chosen), source])
        notes: tuple[str, ...] = ()
        if chosen.file:
            notes = (
                f"pictures are prepared as for torchvision's {chosen.entry}; another preparation needs `effrob register`",
            )
        elif spec.weights is None:
            notes = (f"no weights were named: torchvision's default for {chosen.name}, {weights}, is taken",)
        return Identity(
            spec=ModelSpec("torchvision", chosen.name, weights),
            asked=str(spec),
            digest=hashlib.sha256(about.encode()).hexdigest(),
            pixels=pixels_of(chosen.entry.transforms()),
            n_classes=len(chosen.entry.meta["categories"] or ()) or None,
            notes=notes,
        )

    def network(self, spec: ModelSpec) -> nn.Module:
        """The module with its weights, on the CPU."""
        chosen = self._choose(spec)
        name = f"torchvision:{chosen.name}"
        if chosen.file:
            state, source = read_state(chosen.file), str(chosen.file)
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
        return supervised(self.network(spec), identity, device)

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
        file = Path(spec.weights).expanduser()
        if file.is_file():
            return _Chosen(spec.name, table.DEFAULT, file)
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
            arguments["aux_logits"] = any(key.startswith(("aux1.", "AuxLogits.")) for key in state)
        module: nn.Module = zoo.get_model(chosen.name, weights=None, **arguments)
        return module


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
