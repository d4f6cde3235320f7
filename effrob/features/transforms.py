"""Bytes to the uint8 crop a network sees, by a PixelSpec; and crops to normalised floats.

The exact path is Pillow's arithmetic and the reference transforms' rounding, so its pixels equal open_clip's, timm's and
torchvision's bit for bit. EXIF orientation is ignored, as it is by every published evaluation.
"""

from __future__ import annotations

import functools

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from effrob.errors import ImageBroken
from model_zoo.pixels import PixelSpec
from shifts.bounds.pictures import PictureRefused, open_picture, rgb

TALL = 8  # times its crop's height, from which a resized picture is made a few columns at a time
STRIP = 16  # columns

FILTERS = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "nearest": Image.Resampling.NEAREST,
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
    "hamming": Image.Resampling.HAMMING,
}

Crop = NDArray[np.uint8]


def decode(data: bytes, name: str, border: int = 0) -> Image.Image:
    """An encoded picture as RGB, with `border` pixels cut off each side.

    Raises ImageBroken naming `name` where the bytes are no whole picture, and for one that `open_picture` refuses.
    """
    try:
        with open_picture(data) as opened:
            image = rgb(opened)
    except PictureRefused as error:
        raise ImageBroken(f"{name} {error}") from error
    if border:
        if min(image.size) <= 2 * border:
            raise ImageBroken(f"{name} is {image.width}x{image.height}: too small to cut {border} pixels off each side")
        image = image.crop((border, border, image.width - border, image.height - border))
    return image


def resized_size(width: int, height: int, spec: PixelSpec) -> tuple[int, int]:
    """(width, height) after the resize, by the rounding of the transform each mode comes from."""
    if spec.mode == "none":
        return width, height
    if spec.mode == "squash":
        return spec.resize[1], spec.resize[0]
    if spec.mode == "shortest" and spec.resize[0] == spec.resize[1]:  # torchvision.transforms.Resize(int) truncates
        short = spec.resize[0]
        if width <= height:
            return short, int(short * height / width)
        return int(short * width / height), short
    by_height, by_width = height / spec.resize[0], width / spec.resize[1]  # timm and open_clip ResizeKeepRatio rounds
    ratio = max(by_height, by_width) if spec.mode == "longest" else min(by_height, by_width)
    return max(1, round(width / ratio)), max(1, round(height / ratio))  # the libraries fail on slivers, we keep a pixel


def exact_crop(image: Image.Image, spec: PixelSpec) -> Crop:
    """RGB picture -> (height, width, 3) uint8, resized, padded with `fill` where too small, and centre-cropped."""
    wide, high = resized_size(image.width, image.height, spec)
    kernel = FILTERS[spec.interpolation]
    (rows, columns), inside = window(high, wide, spec)
    if (wide, high) != image.size:
        if spec.mode == "shortest" and wide >= high and wide > spec.size[1] and kernel != Image.Resampling.NEAREST:
            # Pillow resizes a wide picture along its rows first, rounding to bytes in between: the columns that the crop
            # leaves out can go before the second pass. A tall one may be done the other way round, by version.
            image = image.resize((wide, image.height), kernel).crop((columns.start, 0, columns.stop, image.height))
            wide, columns = spec.size[1], slice(0, spec.size[1])
        if high > image.height and high > TALL * spec.size[0] and inside is None:
            return _enlarged(image, wide, high, columns, kernel)[rows]
        image = image.resize((wide, high), kernel)
    pixels: Crop = np.asarray(image)
    if inside is None:
        return pixels[rows, columns]
    padded = np.full((*spec.size, 3), spec.fill, dtype=np.uint8)
    padded[inside] = pixels[rows, columns]
    return padded


def _enlarged(image: Image.Image, wide: int, high: int, columns: slice, kernel: Image.Resampling) -> Crop:
    """`image.resize((wide, high))[:, columns]` of a tall picture that becomes taller, in the memory of a few columns.

    Pillow enlarges along the rows first, whatever its version, and then each column for itself.
    """
    narrow = image.resize((wide, image.height), kernel)
    strips = range(columns.start, columns.stop, STRIP)
    return np.concatenate(
        [
            np.asarray(
                narrow.crop((left, 0, min(left + STRIP, columns.stop), image.height)).resize(
                    (min(left + STRIP, columns.stop) - left, high), kernel
                )
            )
            for left in strips
        ],
        axis=1,
    )


def window(height: int, width: int, spec: PixelSpec) -> tuple[tuple[slice, slice], tuple[slice, slice] | None]:
    """The centre crop of a resized picture: its rows and columns there, and where they lie in the crop.

    The second is None where they fill it; offsets and padding are those of torchvision's CenterCrop, or transformers'.
    """
    floor = spec.offset == "floor"
    (rows, top), (columns, left) = _span(height, spec.size[0], floor), _span(width, spec.size[1], floor)
    whole = height >= spec.size[0] and width >= spec.size[1]
    return (rows, columns), None if whole else (top, left)


def _span(have: int, want: int, floor: bool = False) -> tuple[slice, slice]:
    """Along one side: what is taken of `have` pixels, and where it lies among `want`."""
    if have >= want:
        start = (have - want) // 2 if floor else round((have - want) / 2.0)
        return slice(start, start + want), slice(0, want)
    start = (want - have) // 2
    return slice(0, have), slice(start, start + have)


def normalise(batch: torch.Tensor, spec: PixelSpec, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """(B, H, W, 3) uint8 on any device -> (B, 3, H, W) of `dtype`, computed in float32.

    Divide by 255, subtract the mean, divide by the standard deviation: ToTensor's and Normalize's order, so the floats are
    theirs bit for bit (a folded multiply-add is off by 2.4e-7).
    """
    mean, std = _on_device(spec.mean, batch.device), _on_device(spec.std, batch.device)
    normalised = torch.empty((len(batch), 3, *batch.shape[1:3]), dtype=dtype, device=batch.device)
    step = 1 if batch.device.type == "cpu" else max(1, len(batch))  # a picture at a time stays in the processor's cache
    floats = None if dtype == torch.float32 else torch.empty_like(normalised[:step], dtype=torch.float32)
    for start in range(0, len(batch), step):
        part = normalised[start : start + step]
        computed = part if floats is None else floats
        computed.copy_(batch[start : start + step].permute(0, 3, 1, 2))
        computed.div_(255).sub_(mean).div_(std)
        if floats is not None:
            part.copy_(floats)
    return normalised


@functools.lru_cache(maxsize=256)
def _on_device(values: tuple[float, float, float], device: torch.device) -> torch.Tensor:
    """(1, 3, 1, 1) float32, copied once: a copy from the host's pageable memory waits for all that the device has to do."""
    with torch.inference_mode(False):
        return torch.tensor(values, dtype=torch.float32, device=device).view(1, 3, 1, 1)
