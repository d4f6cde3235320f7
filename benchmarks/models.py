"""Small networks with random weights, saved so that effrob and its references load the same ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

import model_zoo
from model_zoo import PixelSpec
from model_zoo.encoder import Encoder

SMALL_CLIP: dict[str, Any] = {
    "embed_dim": 128,
    "vision_cfg": {"image_size": 224, "layers": 4, "width": 192, "head_width": 64, "patch_size": 32},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 128, "heads": 2, "layers": 2},
}
PIXELS = PixelSpec((224, 224), (256, 256), "shortest", "bicubic")
NETWORKS = {  # what an image loop is measured on: a timm name, and what it is called here
    "a small ViT": "vit_small_patch32_224",
    "a ResNet": "resnet18",
}


def small_clip(folder: Path) -> str:
    """Spec of the small CLIP; `folder` is also what open_clip calls `local-dir:`."""
    weights = folder / "open_clip_pytorch_model.bin"
    config = folder / "open_clip_config.json"
    if not weights.is_file():
        import open_clip

        folder.mkdir(parents=True, exist_ok=True)
        preprocess = {"mean": [0.48145466, 0.4578275, 0.40821073], "std": [0.26862954, 0.26130258, 0.27577711]}
        preprocess |= {"interpolation": "bicubic", "resize_mode": "shortest"}
        config.write_text(json.dumps({"model_cfg": SMALL_CLIP, "preprocess_cfg": preprocess}))
        torch.manual_seed(0)
        torch.save(open_clip.create_model(f"local-dir:{folder}", load_weights=False).state_dict(), weights)
    return f"openclip:{config}@{weights}"


def network(name: str) -> torch.nn.Module:
    """A timm network with random weights, the same each time."""
    import timm

    torch.manual_seed(0)
    module: torch.nn.Module = timm.create_model(name, pretrained=False)
    return module.eval().requires_grad_(False)


def encoder(name: str, pixels: PixelSpec = PIXELS) -> Encoder:
    """The same network as effrob loads it."""
    spec = f"benchmark-{name.replace('_', '-')}"
    model_zoo.register(spec, lambda: network(name), pixels=pixels, replace=True)
    return model_zoo.load(spec, "cpu")
