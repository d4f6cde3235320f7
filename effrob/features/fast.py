"""The fast path: JPEG bytes decoded by torchvision and resized as uint8 tensors, without the interpreter's lock.

It takes what it can do well, which is 8-bit grey and RGB JPEGs under the bicubic and bilinear filters, and declines the
rest: that goes to Pillow, the exact path. Its pixels may differ from the exact ones by a level or so; never PNG, for
torchvision's PNG reader ends the whole process on some broken files.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from effrob.features.libraries import ImageReadMode, decode_jpeg
from effrob.features.transforms import resized_size, window
from model_zoo.pixels import PixelSpec
from shifts.bounds.pictures import PictureRefused, open_picture, too_many_scans, why_refused

FILTERS = ("bicubic", "bilinear")
TALL = 2  # beyond this height over width newer Pillows resize vertically first, and a level of difference becomes many

_FRAMES = (0xC0, 0xC1, 0xC2)  # start of frame: baseline, extended, progressive; the others are lossless or arithmetic
# segments that every reader measures alike: Huffman and quantisation tables, restart interval, APP0 to APP15, comment
_SEGMENTS = (0xC4, 0xDB, 0xDD, *range(0xE0, 0xF0), 0xFE)
# in which Pillow reads JFIF, EXIF, ICC, Photoshop and Adobe, and libjpeg two of them
_READ = (0xE0, 0xE1, 0xE2, 0xED, 0xEE)
_PLAIN = {(0xE0, 16), (0xEE, 14)}  # JFIF and Adobe as they always are, by length: nothing in them is refused


def frame(data: bytes) -> tuple[int, int, int] | None:
    """(width, height, components) of an 8-bit Huffman-coded JPEG, from its header.

    None where it is anything else, where it is too large, too long or of too many scans to be decoded, and where Pillow would
    refuse its header: what other decoders make of such a file is not what the exact path gives.
    """
    found: tuple[int, int, int] | None = None
    at, odd = 2, data[:3] != b"\xff\xd8\xff"
    while at + 9 < len(data) and data[at] == 0xFF:
        kind, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4])
        if kind == 0xFF:  # a fill byte
            at += 1
            continue
        if kind == 0xDA:  # the first scan
            refused = not _opens(data) if odd else too_many_scans(data)  # which `_opens` counts too
            return None if refused else found
        if kind in _FRAMES and found is None:
            height, width = int.from_bytes(data[at + 5 : at + 7]), int.from_bytes(data[at + 7 : at + 9])
            if data[at + 4] != 8 or not width or not height or why_refused(width, height):
                return None
            found = width, height, data[at + 9]
        elif kind not in _SEGMENTS or length < 2:
            return None
        odd = odd or (kind in _READ and (kind, length) not in _PLAIN)
        at += 2 + length
    return None


def _opens(data: bytes) -> bool:
    try:
        with open_picture(data):
            return True
    except PictureRefused:
        return False


def decode_fast(data: bytes, border: int = 0) -> torch.Tensor | None:
    """(H, W, 3) uint8 with `border` pixels cut off each side, or None where the exact path must decide.

    Equal to Pillow's decoding bit for bit: both are libjpeg-turbo's accurate transform. Broken bytes give None.
    """
    header = frame(data)
    if header is None or header[2] not in (1, 3) or min(header[:2]) <= 2 * border:
        return None
    try:
        planes = decode_jpeg(torch.frombuffer(bytearray(data), dtype=torch.uint8), mode=ImageReadMode.RGB)
    except RuntimeError:
        return None
    picture: torch.Tensor = planes.permute(1, 2, 0)
    return picture[border : picture.shape[0] - border, border : picture.shape[1] - border] if border else picture


def takes(spec: PixelSpec, width: int, height: int) -> bool:
    """Whether `crop_fast` may make this crop: its filter is known, and the picture is no sliver."""
    return spec.opaque is None and spec.interpolation in FILTERS and height <= TALL * width


def crop_fast(picture: torch.Tensor, spec: PixelSpec, out: torch.Tensor) -> None:
    """Resize (H, W, 3) uint8 and put its centre into `out`, (height, width, 3) uint8, padded where too small."""
    height, width = picture.shape[:2]
    wide, high = resized_size(width, height, spec)
    if (wide, high) != (width, height):
        # a batch of one made before the axes are turned: torch then sees channels last, and is half as slow
        planes = functional.interpolate(
            picture[None].permute(0, 3, 1, 2), size=(high, wide), mode=spec.interpolation, antialias=True
        )
        picture = planes[0].permute(1, 2, 0)
    (rows, columns), inside = window(high, wide, spec)
    if inside is not None:
        out.fill_(spec.fill)
        out = out[inside]
    out.copy_(picture[rows, columns])
