"""`transformers:ID[@revision]`, `transformers:FOLDER[#POOLING]`: image models of transformers, from the hub or from a folder.

Classifiers with their own head, CLIP-like models with both towers, and backbones as features for heads that learn (POOLING:
`cls`, `mean`, `cls+mean` of the last tokens). Preprocessing is the model's own image processor: read as data where its steps
are generic, and executed with Pillow's arithmetic; else called as it is. No code of a repository is run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn
from transformers import AutoConfig, AutoImageProcessor

from model_zoo.checkpoints.files import file_digest
from model_zoo.checkpoints.network import weights_from_network
from model_zoo.encoder import Encoder, Identity, Reference
from model_zoo.errors import ModelError, UnknownModel
from model_zoo.sources.forward_pass import try_out
from model_zoo.sources.from_layer import POOLINGS, at_layer
from model_zoo.sources.from_module import supervised
from model_zoo.sources.hf.adapters import ADAPTER, base_of, check_head_is_labelled, head_of
from model_zoo.sources.hf.labels import labels_of
from model_zoo.sources.hf.networks import (
    Backbone,
    Logits,
    Role,
    embeds_of,
    network_of,
    positions,
    role_of,
    vector_of,
)
from model_zoo.sources.hf.processors import Prepare, caller, pixels_of
from model_zoo.sources.hf.texts import HfText, about_prompts, pooled
from model_zoo.spec import ModelSpec
from shifts.bounds.files import read_json

_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
_TOKENS = ("tokenizer*", "vocab*", "merges*", "spiece*", "*.model", "special_tokens_map.json", "added_tokens.json")
_NO_WEIGHTS = (
    "adapter_",
    "training_args",
    "optimizer",
    "scheduler",
    "random_states",
)  # beside weights, by their trainers
POOLING = "#"
LEVEL = "pictures are prepared as Pillow and torchvision do it; transformers' own may differ by a level or two"


@dataclass(frozen=True)
class _Described:
    """A model's place, configuration, processor and role. `place` is what from_pretrained takes."""

    place: str
    revision: str | None
    folder: Path
    local: bool
    pooling: str
    config: Any
    processor: Any
    role: Role
    source: object


class TransformersProvider:
    """The scheme `transformers`."""

    def names(self) -> list[str]:
        return []  # the hub holds the names

    def identify(self, spec: ModelSpec) -> Identity:
        model = self._describe(spec)
        pixels, prepare = pixels_of(model.processor, str(spec))
        about: list[object] = ["transformers", model.config.to_dict(), model.source]
        if model.role != "classifier" and model.local:  # the hub's commit covers them
            about += [
                model.role,
                *(file_digest(f) for p in _TOKENS for f in sorted(model.folder.glob(p)) if f.is_file()),
            ]
        kind, towers = type(model.processor).__name__, model.role == "towers"
        notes = [LEVEL if prepare is None else f"pictures are prepared by the model's own {kind}, which is slower"]
        if model.local:
            notes += [*_beside(model.folder), *(about_prompts(model.folder, model.config) if towers else [])]
        labels = None
        if model.role == "classifier":
            labels, label_notes = labels_of(model.config, str(spec))
            notes += label_notes
        elif model.role == "backbone":
            where = "its default pooling" if model.pooling == "default" else model.pooling
            notes.append(f"it has no head of its own: features ({where}) are for heads that learn")
        return Identity(
            spec=spec,
            asked=str(spec),
            digest=hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode()).hexdigest(),
            pixels=pixels,
            layer=model.pooling,
            has_text=towers,
            n_classes=int(model.config.num_labels) if model.role == "classifier" else None,
            labels=labels,
            notes=tuple(notes),
        )

    def network(self, spec: ModelSpec) -> nn.Module:
        """The module, giving logits or features, with its weights, on the CPU."""
        model = self._describe(spec)
        network = network_of(model.place, model.revision, model.config, model.role, str(spec))
        if model.role == "classifier":
            return Logits(network)
        return Backbone(network if model.role == "backbone" else _vision(network), model.pooling)

    def load(self, spec: ModelSpec, device: torch.device, size: tuple[int, int] | None = None) -> Encoder:
        """`size`: the pictures' (height, width) in place of its own; the library interpolates its positions."""
        model, identity = self._describe(spec), self.identify(spec)
        _, prepare = pixels_of(model.processor, str(spec))
        if size is not None and size != identity.pixels.size:
            identity = replace(identity, pixels=replace(identity.pixels, size=size, resize=size, opaque=None))
            prepare = None
        else:
            size = None
        network = network_of(model.place, model.revision, model.config, model.role, str(spec))
        network = network.eval().requires_grad_(False).to(device)
        if model.role == "towers":
            encoder = _towers(network, model, identity, device, size is not None)
        elif model.role == "classifier":
            encoder = supervised(Logits(network, size is not None), identity, device)
        else:
            encoder = _backbone(Backbone(network, model.pooling, size is not None), identity, device)
        reference = encoder.reference
        if reference is not None:
            own: Prepare = caller(model.processor)
            reference = replace(
                reference,
                library=_library(model.processor),
                prepare=own if size is None else None,
                resized=prepare is None,
            )
        return replace(encoder, transform=prepare, reference=reference)

    def _describe(self, spec: ModelSpec) -> _Described:
        folder, pooling, local = _folder(spec)
        place, revision = (str(folder), None) if local else (spec.name.partition(POOLING)[0], folder.name)
        base = base_of(folder) if local else None
        configured = place
        if base is not None and not (folder / "config.json").is_file():
            configured = base
        at_hand = Path(configured).is_dir()  # an adapter's base may be one of the hub
        with weights_from_network(f"the configuration of {spec}", "give a folder with config.json", at_hand):
            config = AutoConfig.from_pretrained(configured, revision=revision, trust_remote_code=False)
        processor = _processor(place, revision, folder, base, local, spec)
        if local:
            files = sorted({file for pattern in _WEIGHTS for file in folder.glob(pattern)})
            if not files:
                raise UnknownModel(
                    f"the folder {folder} holds no weights: wanted model.safetensors, as save_pretrained writes"
                )
            source: object = [file_digest(file) for file in files]
            if (folder / ADAPTER).is_file():
                under = Path(base) if base is not None else folder
                more = sorted(file for pattern in _WEIGHTS for file in under.glob(pattern)) if under.is_dir() else []
                source = [source, file_digest(folder / ADAPTER), base, [file_digest(file) for file in more]]
        else:
            source = [place, folder.name]  # a snapshot's folder is named by its commit
        role = role_of(config, str(spec))
        head = head_of(folder) if local and role == "classifier" else None
        if head not in (None, config.num_labels):
            config.num_labels = head  # an adapter brings its own head
        if local and role == "classifier":
            check_head_is_labelled(folder, config, str(spec))
        if pooling != "default" and role != "backbone":
            raise ModelError(
                f"{spec} has a head of its own, and takes no {POOLING}{pooling}: leave it out, or register it with --features"
            )
        return _Described(place, revision, folder, local, pooling, config, processor, role, source)


def _folder(spec: ModelSpec) -> tuple[Path, str, bool]:
    """Where config.json lies, the pooling that was named, and whether that is a folder of the user's or the hub's snapshot."""
    local, pooling = Path(spec.name).expanduser(), "default"
    name, mark, rest = spec.name.rpartition(POOLING)
    if not local.is_dir() and mark:
        if rest not in POOLINGS:
            raise ModelError(f"after the {POOLING} of {spec} stands one of {', '.join(POOLINGS)}; got {rest!r}")
        local, pooling = Path(name).expanduser(), rest
    if local.is_dir():
        if spec.weights is not None:
            raise ModelError(f"a folder has no revisions: write transformers:{spec.name}")
        return local, pooling, True
    if local.is_absolute() or spec.name.startswith("."):
        raise UnknownModel(
            f"there is no folder {spec.name}: give an ID of the hub or a folder that save_pretrained wrote"
        )
    from huggingface_hub import hf_hub_download

    with weights_from_network(
        f"the configuration of {spec}", "give a folder that save_pretrained wrote: transformers:FOLDER"
    ):
        path = hf_hub_download(str(local), "config.json", revision=spec.weights)
        return Path(path).parent, pooling, False


def _beside(folder: Path) -> list[str]:
    """A note where a folder holds other weights beside those that from_pretrained takes."""
    order = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
    taken = next((name for name in order if (folder / name).is_file()), None)
    if taken is None:
        return []
    shards: set[str] = set()
    if taken.endswith(".json"):
        shards = set(read_json(folder / taken).get("weight_map", {}).values())
    found = {file.name for pattern in ("*.safetensors", "*.bin") for file in folder.glob(pattern)}
    others = sorted(name for name in found - shards - {taken} if not name.startswith(_NO_WEIGHTS))
    if not others:
        return []
    return [f"its folder also holds {', '.join(others[:3])}: the weights taken are those of {taken}"]


def _processor(place: str, revision: str | None, folder: Path, base: str | None, local: bool, spec: ModelSpec) -> Any:
    """The image processor beside a model, or that of an adapter's base. Raises ModelError where there is none."""
    files = ("preprocessor_config.json", "processor_config.json", "image_processor_config.json")
    if local and not any((folder / name).is_file() for name in files):
        if base is None:
            raise ModelError(
                f"the folder {folder} holds no preprocessor_config.json, so nothing says how pictures are prepared: save the "
                f"image processor there, with AutoImageProcessor.from_pretrained(BASE).save_pretrained({str(folder)!r})"
            )
        place = base
    instead = "give a folder with preprocessor_config.json"
    with weights_from_network(f"the image processor of {spec}", instead, Path(place).is_dir()):
        return AutoImageProcessor.from_pretrained(place, revision=revision, trust_remote_code=False)


def _library(processor: Any) -> str:
    return f"transformers {transformers.__version__} ({type(processor).__name__})"


def _vision(network: Any) -> Any:
    """The image tower of a model with two, for features at a layer."""
    return getattr(network, "vision_model", network)


def _towers(network: Any, model: _Described, identity: Identity, device: torch.device, resized: bool) -> Encoder:
    """Both towers: image vectors, and a text tower in the same space."""

    def embed(pictures: torch.Tensor) -> torch.Tensor:
        return pooled(network.get_image_features(pixel_values=pictures, **positions(network, resized))).float()

    text = HfText(network, model.place, model.revision, identity.digest, device)

    def texts(prompts: Sequence[str]) -> torch.Tensor:
        given = {key: value.to(device) for key, value in text.inputs(prompts).items()}
        return pooled(network.get_text_features(**given))

    def outputs(pictures: torch.Tensor) -> torch.Tensor:
        try:
            return embeds_of(network, text, pictures, resized)
        except ModelError:  # no tokenizer: the text tower's own proof says so
            return embed(pictures)

    dim = try_out(embed, identity.pixels, device, identity.asked).shape[1]
    vision = nn.ModuleList([part for name, part in network.named_children() if "text" not in name])
    reference = Reference("transformers", outputs=outputs, texts=texts)
    return Encoder(identity, device, embed, "image-embedding", dim, text=text, module=vision, reference=reference)


def _backbone(module: Backbone, identity: Identity, device: torch.device) -> Encoder:
    if identity.layer not in ("default", *POOLINGS):
        return at_layer(module, identity, device)
    dim = try_out(module, identity.pixels, device, identity.asked).shape[1]

    def outputs(pictures: torch.Tensor) -> torch.Tensor:
        return vector_of(module.model, module.outputs(pictures), module.pooling)

    reference = Reference("transformers", outputs=outputs)
    return Encoder(
        identity, device, lambda p: module(p).float(), "penultimate", dim, module=module, reference=reference
    )


provider = TransformersProvider()
