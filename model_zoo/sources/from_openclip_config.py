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
    size = preprocess["size"]
    height, width = (size[0], size[-1]) if isinstance(size, (list, tuple)) else (size, size)
    mode = preprocess["resize_mode"]
    # open_clip knows two filters, and takes bicubic for a picture that is not square whatever was configured
    bilinear = preprocess["interpolation"] == "bilinear" and (mode != "shortest" or height == width)
    return PixelSpec(
        size=(height, width),
        resize=(height, width),
        mode=mode,
        interpolation="bilinear" if bilinear else "bicubic",
        mean=tuple(preprocess["mean"]),
        std=tuple(preprocess["std"]),
        fill=int(preprocess.get("fill_color", 0)) if mode == "longest" else 0,
    )


def activation_of_run(checkpoint: Path) -> bool | None:
    """Whether a checkpoint was trained with QuickGELU, by the params.txt that open_clip's trainer writes; None without one."""
    log = checkpoint.resolve().parent.parent / "params.txt"
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    params = dict(line.split(": ", 1) for line in lines if ": " in line)
    if params.get("force_quick_gelu") == "True":
        return True
    trained = open_clip.get_model_config(params["model"].replace("/", "-")) if "model" in params else None
    return bool(trained.get("quick_gelu", False)) if trained else None


def user_config(path: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """(name in open_clip's registry, configuration, preprocessing) of a config file.

    It is registered under its stem and digest, so that no file can take the place of a built-in architecture.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        config = content.get("model_cfg", content)
        if not all(key in config for key in ("embed_dim", "vision_cfg", "text_cfg")):
            raise ModelError(f"{path} is no model config of open_clip: wanted embed_dim, vision_cfg and text_cfg in it")
        preprocess = merge_preprocess_dict(PreprocessCfg(), content.get("preprocess_cfg", {}))
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
    text = json.dumps(config, sort_keys=True)
    name = f"{Path(path).stem}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    if name not in open_clip.list_models():
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / f"{name}.json"
            copy.write_text(text, encoding="utf-8")
            open_clip.add_model_config(copy)
    return name, config, preprocess
