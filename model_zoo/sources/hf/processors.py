"""An image processor of transformers as pixels: a PixelSpec where its steps are the generic ones, else the processor itself.

A processor with a step of its own (a second normalisation, blue first, a resize by a ratio) is called as it is, so that no
key of its configuration can be left out. One that makes pictures of no fixed size, or more than pixels, is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import transformers
from PIL import Image

from model_zoo.errors import ModelError
from model_zoo.pixels import PixelSpec

Prepare = Callable[[object], torch.Tensor]

_STEPS = (  # methods whose generic form PixelSpec describes; a class that overrides one has a step of its own
    "preprocess",
    "_preprocess",
    "_preprocess_image_like_inputs",
    "_prepare_image_like_inputs",
    "process_image",
    "resize",
    "center_crop",
    "rescale",
    "normalize",
    "rescale_and_normalize",
    "_fuse_mean_std_and_rescale_factor",
    "_standardize_kwargs",
    "_further_process_kwargs",
    "_validate_preprocess_kwargs",
    "pad",
    "__call__",
)
_READ = {  # keys that `_generic` reads, and keys that name the processor or do nothing to an RGB picture
    *("do_resize", "size", "resample", "do_center_crop", "crop_size", "do_rescale", "rescale_factor", "do_normalize"),
    *("image_mean", "image_std", "do_convert_rgb", "do_pad", "default_to_square"),
    *("image_processor_type", "feature_extractor_type", "processor_class", "data_format", "input_data_format"),
    *("return_tensors", "device", "disable_grouping", "image_seq_length", "_processor_class", "backend"),
}
_INERT: tuple[object, ...] = (None, False, [], {})
SIZES = ((97, 64), (64, 131), (120, 120))  # (width, height) of blank pictures that show what comes out


def pixels_of(processor: Any, what: str) -> tuple[PixelSpec, Prepare | None]:
    """The pixels of a processor, and the processor as a function where they are opaque.

    Raises ModelError for one that makes pictures of no fixed size, or of more than three channels, or more than pixels.
    """
    prepare = caller(processor)
    shape = _shape(processor, prepare, what)
    generic = _generic(processor, shape) if _is_generic(processor) else None
    if generic is not None:
        return generic, None
    about = [type(processor).__name__, processor.to_dict(), transformers.__version__]
    digest = hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode()).hexdigest()
    zero, one = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    return PixelSpec(size=shape, resize=shape, mode="none", mean=zero, std=one, opaque=digest), prepare


def caller(processor: Any) -> Prepare:
    """RGB picture -> (3, H, W) float32, by the processor as transformers calls it."""

    def prepare(picture: object) -> torch.Tensor:
        pixels: torch.Tensor = processor(images=[picture], return_tensors="pt")["pixel_values"]
        return pixels[0].float()

    return prepare


def _shape(processor: Any, prepare: Prepare, what: str) -> tuple[int, int]:
    """(height, width) of every picture that comes out."""
    name = type(processor).__name__
    shapes = set()
    try:
        for size in SIZES:
            picture = Image.fromarray(np.zeros((size[1], size[0], 3), dtype=np.uint8))
            outputs = processor(images=[picture], return_tensors="pt")
            more = set(outputs) - {"pixel_values"}
            if "pixel_values" not in outputs or more:
                raise ModelError(
                    f"{what}: its image processor ({name}) makes {', '.join(sorted(outputs))} and not pixel_values alone, "
                    "so its pictures are no tensors of one size: a model with a fixed resolution can be evaluated"
                )
            shapes.add(tuple(prepare(picture).shape))
    except ModelError:
        raise
    except Exception as error:  # a configuration can be anything
        message = (str(error).splitlines() or [""])[0][:200]
        raise ModelError(
            f"{what}: its image processor ({name}) fails on a picture ({type(error).__name__}: {message}): "
            "mend its preprocessor_config.json"
        ) from error
    if len(shapes) > 1:
        shown = " and ".join("x".join(map(str, shape)) for shape in sorted(shapes)[:2])
        raise ModelError(
            f"{what}: its image processor ({name}) makes pictures of no fixed size ({shown}, from pictures of other "
            "sides): set size and crop_size in its preprocessor_config.json, or register a loader with --pixels"
        )
    shape = shapes.pop()
    if len(shape) != 3 or shape[0] != 3:
        raise ModelError(
            f"{what}: its image processor ({name}) makes {'x'.join(map(str, shape))}, wanted 3 x height x width"
        )
    return int(shape[1]), int(shape[2])


def _is_generic(processor: Any) -> bool:
    """Whether every step is the one that all processors of transformers share."""
    try:
        from transformers.image_processing_backends import TorchvisionBackend
    except ImportError:  # before transformers 5 each class wrote its own steps down
        return False
    if not isinstance(processor, TorchvisionBackend):
        return False
    kind = type(processor)
    return all(getattr(kind, step, None) is getattr(TorchvisionBackend, step, None) for step in _STEPS)


def _generic(processor: Any, shape: tuple[int, int]) -> PixelSpec | None:
    """The settings of a generic processor as a PixelSpec; None where a key or a value has no counterpart."""
    settings = processor.to_dict()
    unread = {key for key, value in settings.items() if key not in _READ and value not in _INERT}
    size, crop = dict(settings.get("size") or {}), dict(settings.get("crop_size") or {})
    cropped = bool(settings.get("do_center_crop"))
    plain = settings.get("do_resize") and settings.get("do_rescale") and not settings.get("do_pad")
    if unread or not plain or abs(float(settings.get("rescale_factor") or 0) * 255 - 1) > 1e-6:
        return None
    sides = {key for key, value in size.items() if value}
    if sides == {"height", "width"}:
        resize, mode = (int(size["height"]), int(size["width"])), "squash"
    elif sides == {"shortest_edge"} and cropped:
        resize, mode = (int(size["shortest_edge"]),) * 2, "shortest"
    else:
        return None
    final = (int(crop.get("height") or 0), int(crop.get("width") or 0)) if cropped else resize
    if final != shape or (cropped and min(resize) < max(final)):
        return None  # padding where the picture is smaller is the processor's own
    try:
        resample = Image.Resampling(int(settings["resample"])).name.lower()
    except (KeyError, TypeError, ValueError):
        return None
    if resample not in ("bicubic", "bilinear"):
        return None  # torchvision's other filters differ from Pillow's
    mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    if settings.get("do_normalize"):
        given = (settings.get("image_mean"), settings.get("image_std"))
        if not all(isinstance(each, (list, tuple)) and len(each) == 3 for each in given):
            return None
        mean, std = tuple(map(float, given[0])), tuple(map(float, given[1]))  # type: ignore[assignment]
        if min(std) <= 0:
            return None
    return PixelSpec(
        size=final,
        resize=resize,
        mode="squash" if mode == "squash" else "shortest",
        interpolation="bicubic" if resample == "bicubic" else "bilinear",
        mean=mean,
        std=std,
        offset="floor" if cropped else "round",
    )
