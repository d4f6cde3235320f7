"""`transformers:ID[@revision]`: image classifiers of transformers, from the hub or from a folder that `save_pretrained` wrote.

Preprocessing is the model's own image processor, read as data and executed with Pillow's arithmetic; transformers resizes
tensors, which may differ by a level or two, and rounds the offset of a centre crop down, which may move it by a pixel.
No code of a repository is run.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn
from transformers import AutoConfig, AutoImageProcessor, AutoModelForImageClassification

from model_zoo.checkpoints.files import file_digest
from model_zoo.checkpoints.network import weights_from_network
from model_zoo.encoder import Encoder, Identity
from model_zoo.errors import ModelError, UnknownModel
from model_zoo.pixels import PixelSpec
from model_zoo.sources.from_module import supervised
from model_zoo.spec import ModelSpec

_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")


class _Logits(nn.Module):
    """A classifier of transformers as a module that gives its logits alone."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.model(pixel_values=pictures).logits
        return logits


class TransformersProvider:
    """The scheme `transformers`."""

    def names(self) -> list[str]:
        return []  # the hub holds the names

    def identify(self, spec: ModelSpec) -> Identity:
        folder = self._folder(spec)
        config, processor = self._described(spec, folder)
        if Path(spec.name).expanduser().is_dir():
            files = sorted({file for pattern in _WEIGHTS for file in folder.glob(pattern)})
            if not files:
                raise UnknownModel(
                    f"the folder {spec.name} holds no weights: wanted model.safetensors, as save_pretrained writes"
                )
            source = [file_digest(file) for file in files]
        else:
            source = [spec.name, folder.name]  # a snapshot's folder is named by its commit
        about = json.dumps(["transformers", config.to_dict(), source], sort_keys=True, default=str)
        return Identity(
            spec=spec,
            asked=str(spec),
            digest=hashlib.sha256(about.encode()).hexdigest(),
            pixels=pixels_of(processor.to_dict(), str(spec)),
            n_classes=int(config.num_labels),
            notes=(
                "pictures are prepared as Pillow and torchvision do it; transformers' own may differ by a level and a pixel",
            ),
        )

    def network(self, spec: ModelSpec) -> nn.Module:
        """The module, giving logits, with its weights, on the CPU."""
        folder = self._folder(spec)
        place, revision = (str(folder), None) if Path(spec.name).expanduser().is_dir() else (spec.name, folder.name)
        with weights_from_network(
            f"the weights of {spec}", "give a folder that save_pretrained wrote: transformers:FOLDER"
        ):
            model, told = AutoModelForImageClassification.from_pretrained(
                place, revision=revision, output_loading_info=True, dtype=torch.float32
            )
        if told["missing_keys"]:
            missing = ", ".join(sorted(told["missing_keys"])[:3])
            raise ModelError(
                f"{spec} is no trained classifier: its weights lack {missing}; name one that is fine-tuned"
            )
        return _Logits(model)

    def load(self, spec: ModelSpec, device: torch.device) -> Encoder:
        return supervised(self.network(spec), self.identify(spec), device)

    @staticmethod
    def _folder(spec: ModelSpec) -> Path:
        """Where config.json lies: the folder named, or the hub's snapshot in the cache."""
        local = Path(spec.name).expanduser()
        if local.is_dir():
            if spec.weights is not None:
                raise ModelError(f"a folder has no revisions: write transformers:{spec.name}")
            return local
        if local.is_absolute() or spec.name.startswith("."):
            raise UnknownModel(
                f"there is no folder {spec.name}: give an ID of the hub or a folder that save_pretrained wrote"
            )
        from huggingface_hub import hf_hub_download

        with weights_from_network(
            f"the configuration of {spec}", "give a folder that save_pretrained wrote: transformers:FOLDER"
        ):
            return Path(hf_hub_download(spec.name, "config.json", revision=spec.weights)).parent

    @staticmethod
    def _described(spec: ModelSpec, folder: Path) -> tuple[Any, Any]:
        place, revision = (str(folder), None) if Path(spec.name).expanduser().is_dir() else (spec.name, folder.name)
        with weights_from_network(
            f"the configuration of {spec}", "give a folder with config.json and preprocessor_config.json"
        ):
            return (
                AutoConfig.from_pretrained(place, revision=revision),
                AutoImageProcessor.from_pretrained(place, revision=revision),
            )


def pixels_of(processor: dict[str, Any], what: str) -> PixelSpec:
    """An image processor's settings as a PixelSpec. Raises ModelError for steps that have no counterpart here."""
    size, crop = dict(processor.get("size") or {}), dict(processor.get("crop_size") or {})
    cropped = bool(processor.get("do_center_crop")) and bool(crop)
    plain = processor.get("do_resize") and processor.get("do_rescale") and not processor.get("do_pad")
    if not plain or abs(processor.get("rescale_factor", 0) * 255 - 1) > 1e-6:
        raise ModelError(f"{what} prepares pictures in a way that is not known here: register a loader with --pixels")
    final = (int(crop["height"]), int(crop["width"])) if cropped else None
    if {"height", "width"} <= size.keys():
        target, mode = (int(size["height"]), int(size["width"])), "squash"
    elif "shortest_edge" in size and processor.get("crop_pct"):  # ConvNeXt: large pictures are squashed, others cropped
        edge = int(size["shortest_edge"])
        scaled, mode = (edge, "squash") if edge >= 384 else (int(edge / processor["crop_pct"]), "shortest")
        target, final = (scaled, scaled), (edge, edge)
    elif "shortest_edge" in size and cropped:
        target, mode = (int(size["shortest_edge"]),) * 2, "shortest"
    else:
        raise ModelError(f"{what} makes pictures of no fixed size ({size}): register a loader with --pixels")
    normal = processor.get("do_normalize")
    return PixelSpec(
        size=final or target,
        resize=target,
        mode="squash" if mode == "squash" else "shortest",
        interpolation=Image.Resampling(processor.get("resample", 2)).name.lower(),  # type: ignore[arg-type]
        mean=tuple(processor["image_mean"]) if normal else (0.0, 0.0, 0.0),
        std=tuple(processor["image_std"]) if normal else (1.0, 1.0, 1.0),
    )


provider = TransformersProvider()
