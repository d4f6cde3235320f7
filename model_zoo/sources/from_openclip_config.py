"""What open_clip's configurations say of a model: its pixels, and a user's own config file.

Builds no model and reads no weights.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import open_clip
from open_clip.pretrained import get_pretrained_cfg
from open_clip.transform import PreprocessCfg, merge_preprocess_dict

from model_zoo.errors import ModelError, UnknownModel
from model_zoo.pixels import PixelSpec
from shifts.bounds.files import read_json


def preprocess_of_file(arch: str, tags: list[str]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What a file's pictures go through: what all published weights of the architecture agree on, else open_clip's default."""
    default = asdict(PreprocessCfg())
    published = [merge_preprocess_dict(PreprocessCfg(), get_pretrained_cfg(arch, tag)) for tag in tags]
    ours = {key: value for key, value in default.items() if key != "size"}
    agreed = [{key: value for key, value in each.items() if key != "size"} for each in published]
    if agreed and all(each == agreed[0] for each in agreed) and pixels_of(published[0]) != pixels_of(default):
        return published[0], (
            f"pictures are prepared as for the published weights of {arch}, not by open_clip's default for files",
        )
    if any(each != ours for each in agreed):
        return default, (
            f"published weights of {arch} differ in how pictures are prepared; open_clip's default is taken",
        )
    return default, ()


def pixels_of(preprocess: dict[str, Any]) -> PixelSpec:
    """open_clip's preprocessing configuration as a PixelSpec."""
    unknown = set(preprocess) - set(asdict(PreprocessCfg()))
    if unknown:
        raise ModelError(
            f"open_clip's preprocess_cfg has no key {min(unknown)!r}: it would be left out; take it out of the file"
        )
    size = preprocess["size"]
    height, width = (size[0], size[-1]) if isinstance(size, (list, tuple)) else (size, size)
    mode, fill = preprocess["resize_mode"], preprocess.get("fill_color", 0)
    for key, value, known in (
        ("mode", preprocess.get("mode", "RGB"), ("RGB",)),
        ("resize_mode", mode, ("shortest", "longest", "squash")),
        ("interpolation", preprocess["interpolation"], ("bicubic", "bilinear", "random")),
    ):
        if value not in known:
            raise ModelError(f"open_clip's preprocess_cfg takes {key} as one of {', '.join(known)}; got {value!r}")
    if not isinstance(fill, int):
        raise ModelError(f"a fill_color of {fill!r} is not known here: one grey level from 0 to 255 is")
    mean, std = (
        value if isinstance(value, (list, tuple)) else (value,) * 3 for value in (preprocess["mean"], preprocess["std"])
    )
    for key, value in (("mean", mean), ("std", std)):
        numbers = len(value) == 3 and all(isinstance(v, int | float) and not isinstance(v, bool) for v in value)
        if not numbers or (key == "std" and min(value) <= 0):
            raise ModelError(f"open_clip's preprocess_cfg takes {key} as one number or three; got {preprocess[key]!r}")
    # open_clip knows two filters, and takes bicubic for a picture that is not square whatever was configured
    bilinear = preprocess["interpolation"] == "bilinear" and (mode != "shortest" or height == width)
    return PixelSpec(
        size=(height, width),
        resize=(height, width),
        mode=mode,
        interpolation="bilinear" if bilinear else "bicubic",
        mean=tuple(float(value) for value in mean),  # type: ignore[arg-type]
        std=tuple(float(value) for value in std),  # type: ignore[arg-type]
        fill=fill if mode == "longest" else 0,
    )


def user_config(path: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """(name in open_clip's registry, configuration, preprocessing) of a config file.

    It is registered under its stem and digest, so that no file can take the place of a built-in architecture.
    """
    try:
        content = read_json(Path(path))
        config = content.get("model_cfg", content)
        if not all(key in config for key in ("embed_dim", "vision_cfg", "text_cfg")):
            raise ModelError(f"{path} is no model config of open_clip: wanted embed_dim, vision_cfg and text_cfg in it")
        beside = content.get("preprocess_cfg") or {}
        preprocess = {
            **merge_preprocess_dict(PreprocessCfg(), beside),
            **{key: value for key, value in beside.items() if value is not None},
        }
    except FileNotFoundError:
        raise UnknownModel(
            f"there is no model config {path}: give an architecture of open_clip or the path of a JSON file"
        ) from None
    except (OSError, AttributeError, TypeError, ValueError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(
            f"the model config {path} cannot be read ({error}): wanted JSON in open_clip's format"
        ) from error
    return registered(Path(path).stem, config), config, preprocess


def registered(stem: str, config: dict[str, Any]) -> str:
    """The name under which open_clip knows `config` in this process: `stem` and the configuration's digest."""
    text = json.dumps(config, sort_keys=True)
    name = f"{stem}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    if name not in open_clip.list_models():
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / f"{name}.json"
            copy.write_text(text, encoding="utf-8")
            open_clip.add_model_config(copy)
    return name


def weights_in(folder: Path) -> Path:
    """The weights file of a folder with open_clip_config.json, by open_clip's own preference of names.

    Raises UnknownModel where there is none, ModelError where there are several and none has a preferred name.
    """
    held = sorted(file for pattern in ("*.safetensors", "*.bin", "*.pth", "*.pt") for file in folder.glob(pattern))
    preferred = [
        f"{stem}.{suffix}"
        for stem in ("open_clip_model", "open_clip_pytorch_model", "model", "pytorch_model")
        for suffix in ("safetensors", "bin", "pth")
    ]
    for name in preferred:
        if folder / name in held:
            return folder / name
    if not held:
        raise UnknownModel(
            f"the folder {folder} holds no weights: wanted open_clip_model.safetensors beside its configuration"
        )
    if len(held) > 1:
        raise ModelError(
            f"the folder {folder} holds several weights files, {', '.join(file.name for file in held[:3])}: "
            f"name one, as openclip:{folder}/open_clip_config.json@{held[0]}"
        )
    return held[0]
