"""Decoding and cropping: equal to the libraries' own transforms bit for bit, and right where Pillow alone is not."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from open_clip.transform import image_transform
from PIL import Image
from timm.data.transforms_factory import transforms_imagenet_eval
from torchvision.transforms import functional as reference
from torchvision.transforms._presets import ImageClassification
from torchvision.transforms.functional import InterpolationMode

from effrob.errors import ImageBroken
from effrob.features.transforms import decode, exact_crop, normalise
from model_zoo.pixels import PixelSpec

AWKWARD = [
    (1, 500),
    (500, 1),
    (224, 224),
    (225, 223),
    (37, 41),
    (1024, 300),
    (3, 3),
    (640, 480),
    (333, 500),
    (700, 257),
]
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def ours(image: Image.Image, spec: PixelSpec) -> torch.Tensor:
    return normalise(torch.from_numpy(exact_crop(image, spec).copy())[None], spec)[0]


@pytest.mark.parametrize("size", AWKWARD)
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("mode", ["shortest", "squash", "longest"])
def test_crops_equal_open_clips_transform(size: tuple[int, int], interpolation: str, mode: str) -> None:
    if mode == "longest" and max(size) > 128 * min(size):
        pytest.skip("open_clip itself fails where the short side would round to no pixel")
    image = picture(*size)
    transform = image_transform(
        64, is_train=False, mean=MEAN, std=STD, resize_mode=mode, interpolation=interpolation, fill_color=3
    )
    spec = PixelSpec((64, 64), (64, 64), mode, interpolation, MEAN, STD, fill=3)
    assert torch.equal(ours(image, spec), transform(image))


@pytest.mark.parametrize("size", AWKWARD)
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_crops_equal_torchvisions_preset(size: tuple[int, int], interpolation: str) -> None:
    preset = ImageClassification(crop_size=224, resize_size=232, interpolation=InterpolationMode(interpolation))
    spec = PixelSpec((224, 224), (232, 232), "shortest", interpolation, MEAN, STD)
    image = picture(*size)
    assert torch.equal(ours(image, spec), preset(image))


@pytest.mark.parametrize("size", AWKWARD)
@pytest.mark.parametrize("mode", ["center", "squash"])
def test_crops_equal_timms_transform(size: tuple[int, int], mode: str) -> None:
    transform = transforms_imagenet_eval(96, crop_pct=0.9, crop_mode=mode, interpolation="bicubic", mean=MEAN, std=STD)
    resize = int(96 / 0.9)
    spec = PixelSpec((96, 96), (resize, resize), "shortest" if mode == "center" else "squash", "bicubic", MEAN, STD)
    image = picture(*size)
    assert torch.equal(ours(image, spec), transform(image))


def test_a_crop_larger_than_the_picture_is_padded_like_centre_crop() -> None:
    image = picture(40, 30)
    spec = PixelSpec((64, 65), (64, 64), "none")
    want = np.asarray(reference.center_crop(image, [64, 65]))
    assert np.array_equal(exact_crop(image, spec), want)


@pytest.mark.parametrize("mode", ["L", "CMYK", "P", "RGBA", "LA", "1"])
def test_every_pillow_mode_becomes_the_rgb_that_pillow_makes(mode: str) -> None:
    image = picture(20, 30).convert(mode)
    data = encoded(image, "TIFF" if mode == "CMYK" else "PNG")
    assert np.array_equal(np.asarray(decode(data, "x")), np.asarray(image.convert("RGB")))


def test_cmyk_jpeg_is_read_as_pillow_reads_it() -> None:
    data = encoded(picture(20, 30).convert("CMYK"), "JPEG", quality=95)
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == "CMYK"
        assert np.array_equal(np.asarray(decode(data, "x")), np.asarray(image.convert("RGB")))


def test_sixteen_bit_grey_keeps_its_tones() -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    got = np.asarray(decode(encoded(Image.fromarray(ramp)), "x"))
    assert np.array_equal(got[..., 0], (ramp >> 8).astype(np.uint8))
    assert np.array_equal(got[..., 0], got[..., 2])


def test_exif_orientation_is_ignored_as_every_published_evaluation_does() -> None:
    image = picture(20, 30)
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decode(encoded(image, "PNG", exif=exif), "x").size == (20, 30)


def test_a_sliver_keeps_a_pixel_where_the_library_fails() -> None:
    assert exact_crop(picture(1, 500), PixelSpec((64, 64), (64, 64), "longest")).shape == (64, 64, 3)


def test_the_border_goes_before_anything_else() -> None:
    framed = Image.new("RGB", (24, 34), (255, 0, 0))
    inside = picture(20, 30)
    framed.paste(inside, (2, 2))
    assert np.array_equal(np.asarray(decode(encoded(framed), "x", border=2)), np.asarray(inside))
    with pytest.raises(ImageBroken, match="too small to cut 2"):
        decode(encoded(picture(4, 4)), "x", border=2)


@pytest.mark.parametrize(
    "data",
    [b"", b"not a picture", encoded(picture(300, 300), "JPEG")[:2000], encoded(picture(64, 64))[:300]],
    ids=["empty", "text", "cut jpeg", "cut png"],
)
def test_broken_bytes_are_a_sentence_with_the_files_name(data: bytes) -> None:
    with pytest.raises(ImageBroken, match=r"n01440764/a\.JPEG cannot be decoded") as raised:
        decode(data, "n01440764/a.JPEG")
    assert " at 0x" not in str(raised.value)


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(ImageBroken, match=r"more than|decoded"):
        decode(encoded(Image.new("1", (20_000, 20_000))), "x")


def test_normalised_batches_equal_totensor_and_normalize() -> None:
    spec = PixelSpec((8, 8), (8, 8))
    image = picture(8, 8)
    want = reference.normalize(reference.to_tensor(image), list(spec.mean), list(spec.std))
    assert torch.equal(ours(image, spec), want)
