"""A library's own evaluation transform and our PixelSpec of it give the same floats, on pictures of awkward sizes.

The executor here is written from PixelSpec's docstring alone, with Pillow and numpy, so that a spec which needs anything
that its fields do not say cannot pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import open_clip
import pytest
import timm
import torch
import torchvision.models as zoo
from open_clip.pretrained import get_pretrained_cfg
from open_clip.transform import PreprocessCfg, image_transform_v2, merge_preprocess_dict
from PIL import Image
from timm.data import create_transform, resolve_data_config

from model_zoo import identify
from model_zoo.pixels import PixelSpec
from model_zoo.sources import from_openclip_config, from_timm, from_torchvision

SIZES = [(1, 500), (500, 1), (224, 224), (225, 223), (37, 41), (1024, 300), (3, 3)]
ORDINARY = [
    size for size in SIZES if min(size) > 1
]  # a side of one pixel can shrink to nothing where the aspect is kept


def picture(width: int, height: int) -> Image.Image:
    noise = np.random.default_rng(width * 1000 + height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(noise)


def executed(image: Image.Image, spec: PixelSpec) -> torch.Tensor:
    """`image` through `spec`: resize, pad, centre crop, to [0, 1], normalise."""
    width, height = image.size
    target_h, target_w = spec.resize
    if spec.mode == "squash":
        new_w, new_h = target_w, target_h
    elif spec.mode == "shortest" and target_h == target_w:
        short, long = sorted((width, height))
        new_long = int(target_h * long / short)
        new_w, new_h = (target_w, new_long) if width <= height else (new_long, target_h)
    else:
        ratios = (height / target_h, width / target_w)
        ratio = max(ratios) if spec.mode == "longest" else min(ratios)
        new_w, new_h = round(width / ratio), round(height / ratio)
    if (new_w, new_h) != (width, height):
        image = image.resize((new_w, new_h), Image.Resampling[spec.interpolation.upper()])
    array = np.asarray(image)
    size_h, size_w = spec.size
    short_h, short_w = max(size_h - new_h, 0), max(size_w - new_w, 0)
    sides = ((short_h // 2, (short_h + 1) // 2), (short_w // 2, (short_w + 1) // 2), (0, 0))
    array = np.pad(array, sides, constant_values=spec.fill)
    top, left = round((array.shape[0] - size_h) / 2), round((array.shape[1] - size_w) / 2)
    array = array[top : top + size_h, left : left + size_w]
    floats = torch.from_numpy(array.transpose(2, 0, 1).copy()).float() / 255
    return (floats - torch.tensor(spec.mean).view(3, 1, 1)) / torch.tensor(spec.std).view(3, 1, 1)


def agree(transform: Callable[[Image.Image], torch.Tensor], spec: PixelSpec, sizes: Iterable[tuple[int, int]]) -> None:
    for size in sizes:
        image = picture(*size)
        assert torch.equal(transform(image), executed(image, spec)), (size, spec)


def distinct(candidates: Iterable[tuple[str, PixelSpec]]) -> list[str]:
    """One name for every way of preparing pictures but its size: the first, with sizes under 300 first."""
    chosen: dict[tuple[object, ...], str] = {}
    for name, spec in sorted(candidates, key=lambda pair: pair[1].size):
        scale = round(spec.resize[0] / spec.size[0], 2)
        chosen.setdefault((spec.mode, spec.interpolation, spec.mean, spec.std, spec.fill, scale), name)
    return list(chosen.values())


def test_open_clip_published_weights() -> None:
    def spec(pair: tuple[str, str]) -> PixelSpec:
        return identify(f"openclip:{pair[0]}@{pair[1]}").pixels

    fitting = [(m, t) for m, t in open_clip.list_pretrained() if not get_pretrained_cfg(m, t).get("quick_gelu")]
    by_name = {f"{m}@{t}": (m, t) for m, t in fitting}
    chosen = distinct((name, spec(pair)) for name, pair in by_name.items())
    assert len(chosen) >= 5
    for name in chosen:
        model, tag = by_name[name]
        config = merge_preprocess_dict(PreprocessCfg(), get_pretrained_cfg(model, tag))
        config["size"] = open_clip.get_model_config(model)["vision_cfg"].get("image_size", 224)
        agree(
            image_transform_v2(PreprocessCfg(**config), is_train=False),
            spec((model, tag)),
            [(225, 223), (37, 41), (300, 100)],
        )


@pytest.mark.parametrize("size", [64, (224, 192), (64, 96)])
@pytest.mark.parametrize("mode", ["shortest", "squash", "longest"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("fill", [0, 127])
def test_every_setting_open_clip_has(size: Any, mode: str, interpolation: str, fill: int) -> None:
    config = PreprocessCfg(size=size, resize_mode=mode, interpolation=interpolation, fill_color=fill)
    spec = from_openclip_config.pixels_of(vars(config))
    agree(image_transform_v2(config, is_train=False), spec, SIZES if size == 64 and mode != "longest" else ORDINARY)


def test_timm_published_weights() -> None:
    configs = {name: timm.models.get_pretrained_cfg(name).to_dict() for name in timm.list_pretrained()}
    configs = {name: config for name, config in configs.items() if len(config["mean"]) == 3}
    chosen = distinct((name, from_timm.pixels_of(config)) for name, config in configs.items())
    small = [name for name in chosen if max(configs[name]["input_size"]) <= 400]
    modes = {from_timm.pixels_of(configs[name]).mode for name in small}
    assert modes == {"shortest", "squash", "longest"}
    for name in small:
        transform = create_transform(**resolve_data_config(pretrained_cfg=configs[name]), is_training=False)
        agree(transform, from_timm.pixels_of(configs[name]), [(225, 223), (37, 41), (300, 100)])


@pytest.mark.parametrize("mode", ["center", "squash", "border"])
@pytest.mark.parametrize("size", [(3, 64, 64), (3, 96, 128)])
@pytest.mark.parametrize("crop_pct", [0.875, 1.0, 1.15])
def test_every_crop_timm_has(mode: str, size: tuple[int, int, int], crop_pct: float) -> None:
    config = {"input_size": size, "crop_mode": mode, "crop_pct": crop_pct, "mean": (0.5,) * 3, "std": (0.5,) * 3}
    transform = create_transform(**resolve_data_config(pretrained_cfg=config), is_training=False)
    agree(
        transform,
        from_timm.pixels_of(config),
        SIZES if mode == "squash" or (mode == "center" and size[1] == 64) else ORDINARY,
    )


def test_timm_model_and_identity_agree() -> None:
    model = timm.create_model("test_vit.r160_in1k", pretrained=False)
    transform = create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
    agree(transform, identify("timm:test_vit.r160_in1k").pixels, ORDINARY)


def test_torchvision_published_weights() -> None:
    entries = {
        f"{name}@{entry.name}": entry for name in zoo.list_models(module=zoo) for entry in zoo.get_model_weights(name)
    }
    chosen = distinct((name, from_torchvision.pixels_of(entry.transforms())) for name, entry in entries.items())
    for name in chosen:
        sizes = (
            ORDINARY if entries[name].transforms().crop_size == [224] else [(37, 41)]
        )  # square, so the rest is the same
        agree(entries[name].transforms(), identify(f"torchvision:{name}").pixels, sizes)


def test_a_wrong_spec_does_not_agree() -> None:
    config = PreprocessCfg(size=224)
    wrong = PixelSpec((224, 224), (224, 224), interpolation="bilinear", mean=config.mean, std=config.std)  # type: ignore[arg-type]
    with pytest.raises(AssertionError):
        agree(image_transform_v2(config, is_train=False), wrong, [(37, 41)])
