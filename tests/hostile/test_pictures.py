"""No picture runs a program, fills the memory or takes the day: formats by name, and a size, a shape and scans at most."""

from __future__ import annotations

import io
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from effrob.errors import ImageBroken
from effrob.features import fast
from effrob.features.transforms import FILTERS, decode, exact_crop, resized_size, window
from model_zoo.pixels import PixelSpec
from shifts.bounds.pictures import MAX_ASPECT, MAX_PIXELS, PictureRefused, open_picture, rgb
from shifts.shift import ImageSource
from tests.shifts.small_trees import encoded

CROP = PixelSpec((224, 224), (224, 224))


def png(width: int, height: int, bits: int = 8) -> bytes:
    """A whole grey PNG of zeros."""
    packed = zlib.compress((b"\0" * (1 + width * bits // 8)) * height, 9)
    head = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", packed), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def grey_jpeg(width: int, height: int, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (width, height)).save(buffer, "JPEG", **options)
    return buffer.getvalue()


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n%%EOF\n"


@pytest.mark.parametrize(
    "data",
    [
        POSTSCRIPT,
        struct.pack("<4sIIII12x", b"\xc5\xd0\xd3\xc6", 32, len(POSTSCRIPT), 0, 0) + POSTSCRIPT,  # the binary form
        b"\xd7\xcd\xc6\x9a" + b"\0" * 60,  # a Windows metafile
        b"#define x_width 9\n#define x_height 9\nstatic char x_bits[] = {0};\n",
    ],
)
def test_a_picture_of_another_format_starts_nothing(
    data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ghostscript = tmp_path / "gs"
    ghostscript.write_text(f"#!/bin/sh\ntouch {tmp_path}/it-ran\n")
    ghostscript.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(ImageBroken, match=r"a\.jpg cannot be decoded .*of no known format: JPEG, PNG"):
        decode(data, "a.jpg")
    assert not (tmp_path / "it-ran").exists()


@pytest.mark.parametrize(
    "data",
    [
        png(1, 20_000),
        png(60_000, 1),
        png(2, 401 + MAX_ASPECT),
        grey_jpeg(30_000, 1),
        png(10_100, 10_000, 16),
        grey_jpeg(20_000, 8_000),
    ],
    ids=["tall", "wide", "longer than stated", "wide JPEG", "16 bits", "large JPEG"],
)
def test_a_picture_that_swells_is_refused_before_it_is_decoded(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image.Image, "load", lambda *_: pytest.fail("it was decoded"))
    monkeypatch.setattr(fast, "decode_jpeg", lambda *_, **__: pytest.fail("it was decoded"))
    with pytest.raises(ImageBroken, match=r"a\.png is \d+x\d+: more than .* refused"):
        decode(data, "a.png")
    assert fast.decode_fast(data) is None


def test_what_is_as_large_and_as_long_as_stated_is_read() -> None:
    assert decode(png(2, 2 * MAX_ASPECT), "a").size == (2, 400) and decode(png(400, 2), "a").size == (400, 2)
    with open_picture(png(10_000, MAX_PIXELS // 10_000)) as opened:
        assert opened.size == (10_000, 10_000)


@pytest.mark.parametrize("kind", ["progressive", "one scan a component"])
def test_a_jpeg_of_scans_without_end_takes_no_time(kind: str) -> None:
    whole = grey_jpeg(2000, 2000, progressive=True)
    last = whole[whole.rfind(b"\xff\xda") : -2]
    many = whole[:-2] + last * 2000 + b"\xff\xd9"
    begun = time.process_time()
    with pytest.raises(ImageBroken, match="scans"):
        decode(many, "a.jpg")
    assert fast.decode_fast(many) is None and time.process_time() - begun < 0.5
    assert fast.decode_fast(whole) is not None


def test_every_reader_of_pictures_refuses_them(tmp_path: Path) -> None:
    import shifts
    from effrob.features.compiled import Compiled
    from shifts.check import _undecodable

    class One:
        ids = ("a.jpg",)

        def read(self, index: int) -> bytes:
            return png(1, 20_000)

    source: ImageSource = One()  # type: ignore[assignment]
    assert "more than 200 times" in (_undecodable(source, 0, 0) or "")
    shift = shifts.Shift.__new__(shifts.Shift)
    for name, value in (("source", source), ("rows", np.array([0])), ("targets", np.array([0])), ("border", 0)):
        object.__setattr__(shift, name, value)
    with pytest.raises(shifts.DataError, match=r"a\.jpg is 1x20000"):
        shift[0]
    opened: list[bytes] = []
    compiled = Compiled(None, lambda *_: False, lambda data, *_, **__: opened.append(data))  # type: ignore[arg-type, return-value]
    assert compiled.decode(grey_jpeg(30_000, 1)) is None and opened == []


@pytest.mark.parametrize("interpolation", sorted(FILTERS))
def test_a_tall_picture_is_enlarged_in_strips_to_the_same_pixels(interpolation: str) -> None:
    spec = PixelSpec((56, 56), (64, 64), interpolation=interpolation)
    for seed, (width, height) in enumerate([(1, 199), (3, 500), (13, 1839), (20, 200)]):
        image = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))
        size = resized_size(width, height, spec)
        (rows, columns), _ = window(size[1], size[0], spec)
        assert np.array_equal(
            exact_crop(image, spec), np.asarray(image.resize(size, FILTERS[interpolation]))[rows, columns]
        )


def test_sixteen_bits_become_eight_a_part_at_a_time() -> None:
    values = np.random.default_rng(0).integers(0, 65536, (2050, 11)).astype(np.uint16)
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG")
    with open_picture(buffer.getvalue()) as opened:
        assert np.array_equal(np.asarray(rgb(opened))[..., 0], values >> 8)


def test_a_fault_while_decoding_is_told_as_any_other() -> None:
    with (
        pytest.raises(PictureRefused, match="fetch that file again"),
        open_picture(encoded(size=(64, 64))[:200]) as opened,
    ):
        rgb(opened)
