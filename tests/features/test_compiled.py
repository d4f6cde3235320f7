"""The compiled exact path gives Pillow's bytes, on random pictures and real ones, and steps aside where it would not."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from effrob.errors import ImageBroken
from effrob.features import compiled
from effrob.features.loader import Crops
from effrob.features.transforms import FILTERS, decode, exact_crop, normalise
from model_zoo.encoder import Encoder, Identity
from model_zoo.pixels import PixelSpec
from model_zoo.spec import parse

pytest.importorskip("numba")
pytest.importorskip("simplejpeg")
MODES = ("shortest", "squash", "longest", "none")


@pytest.fixture(scope="module")
def path() -> compiled.Compiled:
    loaded = compiled.load()
    if loaded is None:
        pytest.skip("the compiled path stepped aside on this machine")
    return loaded


def random_cases(n: int, seed: int) -> Iterator[tuple[np.ndarray, PixelSpec]]:
    """Pictures and specs of any size, slivers and enlargements included; every mode and filter."""
    rng = np.random.default_rng(seed)
    filters = [name for name in FILTERS if name != "nearest"]
    while n > 0:
        width, height = (int(side) for side in np.maximum(1, rng.random(2) ** 1.5 * rng.choice([60, 300, 900])))
        resize = tuple(int(side) for side in rng.integers(1, 300, 2))
        mode = str(rng.choice(MODES))
        if mode == "shortest" and rng.random() < 0.6:
            resize = (resize[0], resize[0])
        if max(width, height) * max(resize) > 4000 * min(width, height):
            continue  # enlarged to more than a test has time for
        size = tuple(int(side) for side in rng.integers(1, 260, 2))
        spec = PixelSpec(size, resize, mode, str(rng.choice(filters)), fill=int(rng.integers(0, 256)))
        yield rng.integers(0, 256, (height, width, 3), dtype=np.uint8), spec
        n -= 1


def differing(path: compiled.Compiled, n: int, seed: int) -> list[PixelSpec]:
    wrong = []
    for pixels, spec in random_cases(n, seed):
        image = Image.fromarray(pixels)
        out = np.empty((*spec.size, 3), np.uint8)
        path.crop(compiled.words_of(image), spec, out)
        if not np.array_equal(out, exact_crop(image, spec)):
            wrong.append(spec)
    return wrong


def test_random_crops_are_pillows(path: compiled.Compiled) -> None:
    assert differing(path, 600, 0) == []


@pytest.mark.slow
def test_twenty_thousand_random_crops_are_pillows(path: compiled.Compiled) -> None:
    assert differing(path, 20_000, 1) == []


def stored(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def photograph(width: int = 110, height: int = 90, seed: int = 0) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (9, 11, 3), dtype=np.uint8)).resize((width, height), FILTERS["bicubic"])


KINDS = {
    "4:2:0": stored(photograph(), subsampling=2),
    "4:2:2": stored(photograph(), subsampling=1, quality=30),
    "4:4:4": stored(photograph(), subsampling=0, quality=100),
    "odd sizes": stored(photograph(111, 93), subsampling=2),
    "progressive": stored(photograph(), progressive=True),
    "grey": stored(photograph().convert("L")),
    "cmyk": stored(photograph().convert("CMYK")),
    "png": stored(photograph(), "PNG"),
    "palette": stored(photograph().quantize(16), "PNG"),
    "alpha": stored(photograph().convert("RGBA"), "PNG"),
    "16 bits": stored(Image.fromarray(np.linspace(0, 65535, 9900).astype(np.uint16).reshape(90, 110)), "PNG"),
    "tall": stored(photograph(40, 200), subsampling=2),
}


class One:
    """One picture as an image source."""

    ids = ("n01440764/a.JPEG",)

    def __init__(self, data: bytes) -> None:
        self.data = data

    def read(self, row: int) -> bytes:
        return self.data


def filled(data: bytes, specs: list[PixelSpec], border: int, images: int, own: bool = False) -> list[np.ndarray]:
    encoders = []
    for spec in specs:
        identity = Identity(parse("timm:none"), "", "", spec)
        transform = (
            (lambda image, size=spec.size: torch.full((3, *size), float(image.width))) if spec.opaque and own else None
        )
        encoder = Encoder(identity, torch.device("cpu"), lambda batch: batch, "logits", 1)
        encoders.append(replace(encoder, transform=transform) if transform else encoder)
    slots = {spec.geometry(): torch.zeros((*spec.size, 3), dtype=torch.uint8) for spec in specs}
    for spec in specs:
        if spec.opaque and own:
            slots[spec.geometry()] = torch.zeros((3, *spec.size))
    Crops(One(data), border, "exact", encoders, images).fill(0, slots)
    return [slots[spec.geometry()].numpy() for spec in specs]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("border", [0, 2])
def test_every_kind_of_file_gives_the_same_crops_compiled_and_not(
    path: compiled.Compiled, kind: str, border: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    specs = [
        PixelSpec((64, 64), (64, 64)),
        PixelSpec((48, 64), (80, 70), "squash", "bilinear"),
        PixelSpec((48, 48), (48, 48), "shortest", "nearest"),
        PixelSpec((50, 50), (40, 40), opaque="a user's own"),
    ]
    plain = filled(KINDS[kind], specs, border, 0, own=True)
    crops = []
    made = compiled.Compiled.crop
    monkeypatch.setattr(compiled.Compiled, "crop", lambda *given: (crops.append(1), made(*given))[1])
    for a, b in zip(filled(KINDS[kind], specs, border, compiled.MIN_IMAGES, own=True), plain):
        assert np.array_equal(a, b)
    assert len(crops) == 2  # nearest neighbours and a user's own transform are Pillow's


def test_broken_and_enormous_files_are_refused_as_before(path: compiled.Compiled) -> None:
    whole = KINDS["4:2:0"]
    for data in (whole[: len(whole) // 2], b"no picture", whole[:20]):
        assert path.decode(data) is None
        with pytest.raises(ImageBroken, match="cannot be decoded"):
            filled(data, [PixelSpec((64, 64), (64, 64))], 0, compiled.MIN_IMAGES)
    with pytest.raises(ImageBroken, match="too small to cut 50 pixels"):
        filled(whole, [PixelSpec((64, 64), (64, 64))], 50, compiled.MIN_IMAGES)


def test_it_steps_aside_where_pillow_does_otherwise(path: compiled.Compiled, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another order of passes, another rounding, another decoder."""
    for order in (lambda *_: True, lambda *_: False):
        assert not compiled._resizes_as_pillow(replace(path, vertical_first=order))
    window = path.resample.resize_window

    class Off:
        FILTERS = path.resample.FILTERS

        @staticmethod
        def resize_window(*given: object) -> None:
            window(*given)
            given[-1][0, 0, 0] ^= 1

    assert not compiled._resizes_as_pillow(replace(path, resample=Off))
    monkeypatch.setattr(compiled, "ORDERS", ())
    assert compiled._loaded.__wrapped__() is None
    monkeypatch.setattr("simplejpeg.decode_jpeg", lambda *given, **options: path.decoder(*given) ^ 1)
    assert compiled._proved_decoder() is None


def test_few_images_load_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "load", lambda: pytest.fail("loaded for a few images"))
    filled(KINDS["4:2:0"], [PixelSpec((64, 64), (64, 64))], 0, compiled.MIN_IMAGES - 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_table_normalises_bit_for_bit(path: compiled.Compiled, dtype: torch.dtype) -> None:
    """A precision of two bytes holds the floats rounded once, whether a table or torch made them."""
    spec = PixelSpec((19, 31), (19, 31))
    batch = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (5, 19, 31, 3), dtype=np.uint8))
    floats = normalise(batch, spec)
    assert torch.equal(path.normalise(batch, spec, dtype), floats.to(dtype))
    assert torch.equal(normalise(batch, spec, dtype), floats.to(dtype))
    assert torch.equal(compiled.normalise_batch(batch[:, ::2], spec, dtype), floats[:, :, ::2].to(dtype))


def test_real_photographs_are_pillows(path: compiled.Compiled, real: Path) -> None:
    """1,300 prescaled ones and 400 at full size, decoded and resized."""
    spec, files = PixelSpec((224, 224), (256, 256)), sorted((real / "imagenet").glob("*/**/*.JPEG"))
    assert len(files) == 1700
    differ, declined = [], 0
    for file in files:
        data = file.read_bytes()
        image = decode(data, file.name)
        words, out = path.decode(data), np.empty((*spec.size, 3), np.uint8)
        declined += words is None
        path.crop(compiled.words_of(image) if words is None else words, spec, out)
        if not np.array_equal(out, exact_crop(image, spec)):
            differ.append(file.name)
    assert not differ and declined < len(files) / 50


def test_it_is_loaded_meanwhile_where_a_pass_is_long_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    loading = []
    monkeypatch.setattr(compiled, "_loaded", lambda: loading.append(threading.current_thread().name))
    compiled.load_ahead(compiled.MIN_IMAGES - 1)
    assert not loading
    compiled.load_ahead(compiled.MIN_IMAGES)
    for thread in threading.enumerate():
        if thread.name == "load":
            thread.join()
    assert loading == ["load"]


def test_what_goes_wrong_meanwhile_is_left_to_the_pass(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full() -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(compiled, "_loaded", full)
    compiled.load_ahead(compiled.MIN_IMAGES)
    for thread in threading.enumerate():
        if thread.name == "load":
            thread.join()
    assert capsys.readouterr().err == ""
    with pytest.raises(OSError, match="No space"):
        compiled.load()
