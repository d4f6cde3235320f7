"""The fast path takes plain JPEGs, gives what Pillow gives but for a level, and leaves everything else to Pillow."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from effrob.errors import ImageBroken
from effrob.features.fast import decode_fast
from effrob.features.loader import Crops
from effrob.features.transforms import decode, exact_crop
from model_zoo import PixelSpec
from model_zoo.encoder import Encoder, Identity
from model_zoo.spec import parse

SPEC = PixelSpec((64, 64), (72, 72))


def photograph(width: int = 150, height: int = 110, seed: int = 0) -> Image.Image:
    """A smooth picture: what a camera gives, not noise."""
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)).resize((width, height), Image.BICUBIC)


def stored(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


class One:
    """One picture as an image source."""

    ids = ("n01440764/a.JPEG",)

    def __init__(self, data: bytes) -> None:
        self.data = data

    def read(self, row: int) -> bytes:
        return self.data


def crop(data: bytes, spec: PixelSpec = SPEC, path: str = "fast", border: int = 0) -> np.ndarray:
    nothing = Encoder(Identity(parse("timm:none"), "", "", spec), torch.device("cpu"), lambda batch: batch, "logits", 1)
    slot = torch.zeros((*spec.size, 3), dtype=torch.uint8)
    Crops(One(data), border, path, [nothing]).fill(0, {spec.geometry(): slot})
    return slot.numpy()


ROTATED = Image.Exif()
ROTATED[0x0112] = 6
OTHERS = {
    "png": stored(photograph(), "PNG"),
    "palette png": stored(photograph().quantize(16), "PNG"),
    "16-bit png": stored(Image.fromarray(np.linspace(0, 65535, 9900).astype(np.uint16).reshape(90, 110)), "PNG"),
    "cmyk jpeg": stored(photograph().convert("CMYK"), "JPEG"),
    "webp": stored(photograph(), "WEBP"),
    "tall jpeg": stored(photograph(80, 400), "JPEG"),
}


@pytest.mark.parametrize("what", OTHERS)
def test_what_it_does_not_take_is_the_exact_path(what: str) -> None:
    data = OTHERS[what]
    assert np.array_equal(crop(data), exact_crop(decode(data, "x"), SPEC))
    assert decode_fast(data) is None or what == "tall jpeg"


@pytest.mark.parametrize("mode", ["shortest", "squash", "longest", "none"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear", "lanczos"])
def test_every_mode_is_within_a_level_of_the_exact_path(mode: str, interpolation: str) -> None:
    spec = PixelSpec((64, 60), (72, 72), mode, interpolation, fill=7)
    for options in ({}, {"progressive": True}, {"subsampling": 0}, {"exif": ROTATED}):
        data = stored(photograph(seed=len(options)), "JPEG", quality=92, **options)
        fast, exact = crop(data, spec).astype(int), exact_crop(decode(data, "x"), spec).astype(int)
        assert np.abs(fast - exact).max() <= 1
        assert (fast != exact).mean() < 0.01
        if mode == "none" or interpolation == "lanczos":
            assert np.array_equal(fast, exact)


def test_grey_and_bordered_jpegs_are_taken() -> None:
    grey = stored(photograph().convert("L"), "JPEG")
    assert decode_fast(grey) is not None
    assert np.array_equal(decode_fast(grey).numpy(), np.asarray(decode(grey, "x")))
    plain = stored(photograph(), "JPEG")
    assert np.array_equal(decode_fast(plain, 2).numpy(), np.asarray(decode(plain, "x", 2)))


@pytest.mark.parametrize("length", [0, 3, 200, 1500])
def test_a_broken_jpeg_is_a_sentence_with_its_name(length: int) -> None:
    with pytest.raises(ImageBroken, match=r"n01440764/a\.JPEG cannot be decoded"):
        crop(stored(photograph(), "JPEG")[:length])
