"""What is tested: any image model as pixels in, features out. Names are loaded on first use; importing this loads no torch.

identity = model_zoo.identify("openclip:ViT-B-32")      # cheap: no weights
encoder = model_zoo.load("torchvision:resnet50", "cuda")
model_zoo.register("my-net", loader, pixels=model_zoo.PixelSpec(...))
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from model_zoo.check import check_encoder
    from model_zoo.encoder import Classifier, Encoder, Identity, Provider, TextTower
    from model_zoo.errors import ModelError, UnknownModel
    from model_zoo.mixtures.specs import expand
    from model_zoo.offered import is_offered
    from model_zoo.pixels import PixelSpec, parse_pixels
    from model_zoo.providers import schemes
    from model_zoo.published import PublishedAccuracy
    from model_zoo.published import published as published_rows
    from model_zoo.registered import register
    from model_zoo.registration import Registration
    from model_zoo.registry import identify, load, names, save_registration
    from model_zoo.spec import ModelSpec, parse

_HOME = {
    "check": ("check_encoder",),
    "encoder": ("Classifier", "Encoder", "Identity", "Provider", "TextTower"),
    "errors": ("ModelError", "UnknownModel"),
    "mixtures.specs": ("expand",),
    "offered": ("is_offered",),
    "pixels": ("PixelSpec", "parse_pixels"),
    "published": ("PublishedAccuracy", "published_rows"),
    "providers": ("schemes",),
    "registered": ("register",),
    "registration": ("Registration",),
    "registry": ("identify", "load", "names", "save_registration"),
    "spec": ("ModelSpec", "parse"),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}
_RENAMED = {"published_rows": "published"}  # `model_zoo.published` is the module

__all__ = [
    "Classifier",
    "Encoder",
    "Identity",
    "ModelError",
    "ModelSpec",
    "PixelSpec",
    "Provider",
    "PublishedAccuracy",
    "Registration",
    "TextTower",
    "UnknownModel",
    "check_encoder",
    "expand",
    "identify",
    "is_offered",
    "load",
    "names",
    "parse",
    "parse_pixels",
    "published_rows",
    "register",
    "save_registration",
    "schemes",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'model_zoo' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"model_zoo.{_MODULE_OF[name]}"), _RENAMED.get(name, name))
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
