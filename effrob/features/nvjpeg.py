"""The nvJPEG path, by choice: JPEGs decoded and resized on the GPU, a batch at a time.

nvJPEG is another decoder than libjpeg-turbo, and the resize is torch's in float32, so its pixels are some levels off in places:
features made so are filed apart, and a sample of answers is compared with the exact path's. What nvJPEG does not read, and
pictures and filters that the fast path declines, are made by the exact path.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Sequence

import torch
from PIL import Image
from torch.nn import functional

from effrob.errors import UsageProblem
from effrob.features.fast import frame
from effrob.features.libraries import ImageReadMode, decode_jpeg
from effrob.features.transforms import resized_size, window
from model_zoo.pixels import PixelSpec

LEVELS = 8  # by which a flat picture may differ at most, where a decoder works at all


def decode_batch(data: Sequence[bytes], border: int, device: torch.device) -> list[torch.Tensor | None]:
    """(3, H, W) uint8 on the device for each picture, without `border` pixels each side; None: the exact path must decide."""
    pictures: list[torch.Tensor | None] = [None] * len(data)
    taken = []
    for place, each in enumerate(data):
        header = frame(each)
        if header is not None and header[2] in (1, 3) and min(header[:2]) > 2 * border:
            taken.append(place)
    words = [torch.frombuffer(bytearray(data[place]), dtype=torch.uint8) for place in taken]
    for place, picture in zip(taken, _decoded(words, device), strict=True):
        if picture is not None:
            height, width = picture.shape[1:]
            pictures[place] = picture[:, border : height - border, border : width - border]
    return pictures


def _decoded(words: list[torch.Tensor], device: torch.device) -> list[torch.Tensor | None]:
    """Every picture by one call; one by one where that fails, for one broken picture fails a whole call."""
    if not words:
        return []
    try:
        return list(decode_jpeg(words, mode=ImageReadMode.RGB, device=device))
    except RuntimeError:
        if len(words) == 1:
            return [None]
        return [picture for each in words for picture in _decoded([each], device)]


def crop_on_device(picture: torch.Tensor, spec: PixelSpec, out: torch.Tensor) -> None:
    """Resize (3, H, W) uint8 where it lies and put its centre into `out`, (height, width, 3) uint8, padded where too small."""
    height, width = picture.shape[1:]
    wide, high = resized_size(width, height, spec)
    for size in (
        (height, wide),
        (high, wide),
    ):  # along the rows and then the columns, rounded in between as Pillow does
        if size != tuple(picture.shape[1:]):
            floats = functional.interpolate(picture[None].float(), size=size, mode=spec.interpolation, antialias=True)
            picture = floats[0].round_().clamp_(0, 255).to(torch.uint8)
    (rows, columns), inside = window(high, wide, spec)
    if inside is not None:
        out.fill_(spec.fill)
        out = out[inside]
    out.copy_(picture[:, rows, columns].permute(1, 2, 0))


@functools.cache
def check(device: torch.device) -> None:
    """Decode one picture. Raises UsageProblem where nvJPEG cannot be used on the device."""
    if device.type != "cuda":
        other = ", or say --device cuda" if torch.cuda.is_available() else ""
        raise UsageProblem(
            f"--pixels nvjpeg decodes on a GPU, and this run uses the {device.type}: leave --pixels out{other}"
        )
    reason = _fault(device)
    if reason is not None:
        raise UsageProblem(f"--pixels nvjpeg cannot be used here ({reason}): leave --pixels out, or say --pixels fast")


def _fault(device: torch.device) -> str | None:
    """Why a flat picture does not come back as it was; None where it does."""
    kept = io.BytesIO()
    Image.new("RGB", (64, 48), (200, 100, 50)).save(kept, "JPEG", quality=95)
    words = torch.frombuffer(bytearray(kept.getvalue()), dtype=torch.uint8)
    try:
        (picture,) = decode_jpeg([words], mode=ImageReadMode.RGB, device=device)
    except RuntimeError as error:
        return (str(error).strip().splitlines() or ["it raised RuntimeError"])[0]
    flat = torch.tensor([200, 100, 50], device=picture.device).view(3, 1, 1)
    apart = int((picture.int() - flat).abs().max()) if picture.shape == (3, 48, 64) else 255
    return None if apart <= LEVELS else f"a flat picture came back {apart} levels off"
