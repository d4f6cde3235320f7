"""JPEGs whose headers are odd: what Pillow refuses no faster decoder accepts, and no header hides a size."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image

from effrob.errors import ImageBroken
from effrob.features import compiled
from effrob.features.fast import decode_fast, frame
from effrob.features.transforms import FILTERS, decode


def jpeg(**options: object) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize((97, 83), FILTERS["bicubic"]).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def segment(kind: int, payload: bytes) -> bytes:
    return bytes([0xFF, kind]) + struct.pack(">H", 2 + len(payload)) + payload


def before_scan(data: bytes, added: bytes) -> bytes:
    at = data.index(b"\xff\xda")
    return data[:at] + added + data[at:]


PLAIN = jpeg()
EXIF = Image.Exif()
EXIF[0x010F], EXIF[0x011A] = "a camera", 72.0
REFUSED = {
    "JFIF of two bytes": PLAIN[:2] + segment(0xE0, b"JFIF\0") + PLAIN[2:],
    "the same after the frame": before_scan(PLAIN, segment(0xE0, b"JFIF\0")),
    "Adobe without a version": PLAIN[:2] + segment(0xEE, b"Adobe") + PLAIN[2:],
    "ICC without numbers": PLAIN[:2] + segment(0xE2, b"ICC_PROFILE\0") + PLAIN[2:],
    "Photoshop without a name": PLAIN[:2] + segment(0xED, b"Photoshop 3.0\x008BIM\x03\xed") + PLAIN[2:],
    "a marker of no meaning": before_scan(PLAIN, b"\xff\x01"),
}
TAKEN = {
    "exif": jpeg(exif=EXIF),
    "icc": jpeg(icc_profile=b"a profile of no meaning"),
    "comment": jpeg(comment=b"hello"),
    "Photoshop": PLAIN[:2] + segment(0xED, b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\x04abcd") + PLAIN[2:],
    "Adobe": PLAIN[:2] + segment(0xEE, b"Adobe\0\x64\0\0\0\0\1") + PLAIN[2:],
    "fill bytes": PLAIN[:2] + b"\xff\xff" + PLAIN[2:],
    "no JFIF": PLAIN[:2] + PLAIN[20:],
}


@pytest.mark.parametrize("what", REFUSED)
def test_no_decoder_takes_what_pillow_refuses(what: str) -> None:
    """Else a pass of many images would hold an answer to a picture that a pass of few refuses."""
    with pytest.raises(ImageBroken, match="cannot be decoded"):
        decode(REFUSED[what], "a.JPEG")
    assert decode_fast(REFUSED[what]) is None
    path = compiled.load()
    assert path is None or path.decode(REFUSED[what]) is None


@pytest.mark.parametrize("what", TAKEN)
def test_headers_that_are_odd_and_sound_are_taken(what: str) -> None:
    wanted, taken = np.asarray(decode(TAKEN[what], "a.JPEG")), decode_fast(TAKEN[what])
    assert taken is not None and np.array_equal(taken.numpy(), wanted)
    path = compiled.load()
    if path is not None and path.decoder is not None:
        words = path.decode(TAKEN[what])
        assert words is not None and np.array_equal(words.view(np.uint8).reshape(83, 97, 4)[..., :3], wanted)


def test_a_size_is_not_hidden_behind_a_marker_that_decoders_skip() -> None:
    """libjpeg and Pillow skip FF 00; who took it for a segment would read a small frame inside the comment that follows."""
    at = PLAIN.index(b"\xff\xc0")
    small = PLAIN[at : at + 19]
    enormous = PLAIN[: at + 5] + struct.pack(">HH", 65000, 65000) + PLAIN[at + 9 :]
    hidden = enormous[:2] + b"\xff\0\0\x06" + segment(0xFE, small) + enormous[2:]
    assert frame(PLAIN) == (97, 83, 3)
    assert frame(hidden) is None and frame(enormous) is None
    with pytest.raises(ImageBroken, match="pixels"):
        decode(hidden, "a.JPEG")
