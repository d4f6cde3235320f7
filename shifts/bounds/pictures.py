"""Pictures that anybody may have made: opened by the formats named here alone, and refused above a size before they decode.

Pillow's other formats include some that start programs (EPS runs Ghostscript) and some that nobody publishes a set in.
"""

from __future__ import annotations

import functools
import io
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "PPM", "TIFF", "AVIF")
MAX_PIXELS = 100_000_000  # 400 MB decoded: the largest photograph of the official sets has 60 million
MAX_ASPECT = 200  # long side over short: resized by its short side to 224, such a picture takes 40 MB
MAX_SCANS = 100  # of a progressive JPEG: encoders write about ten, and each costs a pass over every pixel
ROWS = 1024  # rows of a 16-bit picture converted at once
FAULTS = (OSError, ValueError, SyntaxError, EOFError, struct.error, IndexError, OverflowError)


class PictureRefused(ValueError):
    """A picture that is not decoded; the message says why, after its name."""


def why_refused(width: int, height: int) -> str | None:
    """Why a picture of this size is not decoded; None where it is."""
    if width * height > MAX_PIXELS:
        return f"is {width}x{height}: more than {MAX_PIXELS:,} pixels are refused; shrink it, or remove it from the set"
    if max(width, height) > MAX_ASPECT * min(width, height):
        return (
            f"is {width}x{height}: more than {MAX_ASPECT} times as long on one side as on the other is refused; crop it, or "
            f"remove it from the set"
        )
    return None


def too_many_scans(data: bytes) -> bool:
    """Whether a JPEG has more scans than any encoder writes."""
    values = np.frombuffer(data, np.uint8)  # compared in a fifth of the time that `bytes.count` takes
    return int(np.count_nonzero((values[:-1] == 0xFF) & (values[1:] == 0xDA))) > MAX_SCANS


@contextmanager
def open_picture(data: bytes) -> Iterator[Image.Image]:
    """The picture in some bytes, its header read and nothing decoded.

    Raises PictureRefused for bytes of another format, for a picture that is too large, and where decoding it inside the
    block fails.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd EXIF blocks and of transparency in palettes
            with Image.open(io.BytesIO(data), formats=_formats()) as opened:
                why = why_refused(*opened.size)
                if why is None and opened.format in ("JPEG", "MPO") and too_many_scans(data):
                    why = f"has more than {MAX_SCANS} scans, which no encoder writes; save it again"
                if why is not None:
                    raise PictureRefused(why)
                yield opened
    except PictureRefused:
        raise
    except UnidentifiedImageError as error:
        known = ", ".join(FORMATS)
        raise PictureRefused(
            f"cannot be decoded ({len(data)} bytes, of no known format: {known} are read): fetch that file again"
        ) from error
    except Image.DecompressionBombError as error:
        raise PictureRefused(f"has more than {MAX_PIXELS:,} pixels, which are refused; shrink it") from error
    except FAULTS as error:
        raise PictureRefused(f"cannot be decoded ({error}): fetch that file again") from error


@functools.cache
def _formats() -> tuple[str, ...]:
    """FORMATS, without those that the installed Pillow lacks."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def rgb(opened: Image.Image) -> Image.Image:
    """A picture as RGB: grey, CMYK, palette and alpha as Pillow converts them.

    Grey of 16 bits is brought to 8 first: Pillow would clip it, so that nearly all of it came out white.
    """
    if opened.mode.startswith("I"):
        opened.load()
        eight = np.empty((opened.height, opened.width), np.uint8)
        for top in range(0, opened.height, ROWS):
            bottom = min(top + ROWS, opened.height)
            values = np.asarray(opened.crop((0, top, opened.width, bottom)), dtype=np.int64)
            eight[top:bottom] = np.clip(values, 0, 65535) >> 8
        return Image.fromarray(eight).convert("RGB")
    if opened.mode == "RGB":
        opened.load()
        return opened  # convert would copy it
    return opened.convert("RGB")
