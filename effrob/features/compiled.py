"""The exact path in compiled code: Pillow's own bytes at less than half of its cost, where that has been proved.

JPEGs are decoded by simplejpeg, which is libjpeg-turbo as Pillow's decoder is, and resized by `resample`. Before it is used,
decoder and resize make some pictures that the installed Pillow makes too; unless all are equal, byte for byte, Pillow does
everything. Both libraries are extras (`pip install 'effrob[fast]'`).
"""

from __future__ import annotations

import contextlib
import functools
import io
import platform
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from effrob.features.fast import frame
from effrob.features.transforms import FILTERS, normalise, resized_size, window
from model_zoo.pixels import PixelSpec

# images of a pass from which loading numba pays: 0.5 s of processor time against 1.5 ms an image
MIN_IMAGES = 500

# whether Pillow resizes rows before columns, by the sizes before and after; which of them it does depends on its version
Order = Callable[[int, int, int, int], bool]
ORDERS: tuple[Order, ...] = (
    lambda w, h, width, height: height < h and h - height > 2 * (w - width),  # 13.0
    lambda w, h, width, height: height < h and h > 100 * w,  # 7.0 to 12.x
)
_LOADING = threading.Lock()
# (width, height) before and after that tell the orders apart, and their boundaries
PROOF = (
    ((61, 47), (33, 25)),
    ((47, 61), (25, 33)),
    ((40, 90), (20, 49)),
    ((40, 90), (20, 50)),
    ((40, 90), (20, 51)),
    ((3, 302), (2, 40)),
    ((30, 40), (60, 21)),
    ((30, 21), (20, 44)),
    ((23, 35), (23, 17)),
    ((35, 23), (17, 23)),
)


@dataclass(frozen=True)
class Compiled:
    """The functions, proved, with the order of passes of the installed Pillow. `decoder` is None without simplejpeg."""

    resample: Any
    vertical_first: Order
    decoder: Callable[..., NDArray[np.uint8]] | None

    def decode(self, data: bytes, border: int = 0) -> NDArray[np.uint32] | None:
        """(H, W) RGBX words with `border` pixels cut off each side; None where Pillow must decide."""
        header = frame(data) if self.decoder is not None else None
        if header is None or header[2] not in (1, 3):
            return None
        if border and min(header[:2]) <= 2 * border:
            return None
        try:
            assert self.decoder is not None
            pixels = self.decoder(data, "RGBX", fastdct=False, fastupsample=False)
        except ValueError:
            return None
        words = pixels.view(np.uint32)[..., 0]
        return np.ascontiguousarray(words[border:-border, border:-border]) if border else words

    def crop(self, words: NDArray[np.uint32], spec: PixelSpec, out: NDArray[np.uint8]) -> None:
        """Resize (H, W) words and put the centre into out (height, width, 3), padded where too small."""
        height, width = words.shape
        wide, high = resized_size(width, height, spec)
        part, inside = window(high, wide, spec)
        if inside is None:
            self.resize_window(words, (wide, high), part, spec.interpolation, out)
            return
        resized = np.empty((part[0].stop - part[0].start, part[1].stop - part[1].start, 3), np.uint8)
        self.resize_window(words, (wide, high), part, spec.interpolation, resized)
        out.fill(spec.fill)
        out[inside] = resized

    def resize_window(
        self,
        words: NDArray[np.uint32],
        size: tuple[int, int],
        part: tuple[slice, slice],
        interpolation: str,
        out: NDArray[np.uint8],
    ) -> None:
        """A window (rows, columns) of words resized to `size` (width, height), into out (rows, columns, 3)."""
        height, width = words.shape
        kernel, support = self.resample.FILTERS[interpolation]
        edges = (part[0].start, part[0].stop, part[1].start, part[1].stop)
        first = self.vertical_first(width, height, *size)
        self.resample.resize_window(words, *size, edges, kernel, support, first, out)

    def normalise(self, batch: torch.Tensor, spec: PixelSpec, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """`transforms.normalise` of a batch in memory, by one look-up a value."""
        normalised = torch.empty((len(batch), 3, *batch.shape[1:3]), dtype=dtype)
        self.resample.normalise_by_table(batch.numpy(), _table(spec.mean, spec.std, dtype), _bits(normalised))
        return normalised


def words_of(image: Image.Image) -> NDArray[np.uint32]:
    """An RGB picture as (H, W) words."""
    data = bytearray(image.tobytes("raw", "RGBX"))  # numba would compile once more for an array that is read only
    return np.frombuffer(data, np.uint32).reshape(image.height, image.width)


def takes(spec: PixelSpec) -> bool:
    """Whether `Compiled.crop` can make this crop: nearest neighbours and a user's own transform are left to others."""
    return spec.opaque is None and spec.interpolation != "nearest"


@functools.cache
def _table(mean: tuple[float, float, float], std: tuple[float, float, float], dtype: torch.dtype) -> NDArray[Any]:
    """(3, 256) the bits of what every byte becomes in each channel."""
    levels = torch.arange(256, dtype=torch.uint8).view(1, 256, 1, 1).repeat(1, 1, 1, 3)
    spec = PixelSpec((1, 256), (1, 256), mean=mean, std=std)
    return _bits(normalise(levels, spec, dtype)[0, :, :, 0].contiguous())


def _bits(floats: torch.Tensor) -> NDArray[Any]:
    """The same memory for numpy, which has no bfloat16: as integers where a number takes two bytes."""
    array: NDArray[Any] = (floats if floats.dtype == torch.float32 else floats.view(torch.int16)).numpy()
    return array


def normalise_batch(batch: torch.Tensor, spec: PixelSpec, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """`transforms.normalise`, by a table where the compiled path is in use and the batch is in host memory."""
    compiled = load() if _loaded.cache_info().currsize else None
    if compiled is None or batch.device.type != "cpu" or not batch.is_contiguous():
        return normalise(batch, spec, dtype)
    return compiled.normalise(batch, spec, dtype)


def load() -> Compiled | None:
    """The compiled path, or None where an extra is missing or anything differs from the installed Pillow.

    Of several threads one loads, and the others wait for it.
    """
    with _LOADING:
        return _loaded()


def load_ahead(images: int) -> None:
    """Load it in a thread of its own, meanwhile, where so many images will be cropped on the exact path.

    What goes wrong is reported by the pass, which loads it again.
    """

    def quietly() -> None:
        with contextlib.suppress(Exception):
            load()

    if images >= MIN_IMAGES:
        threading.Thread(target=quietly, name="load").start()


@functools.cache
def _loaded() -> Compiled | None:
    if platform.machine() not in ("x86_64", "AMD64"):
        return None  # elsewhere C compilers may fuse multiplications and additions of filter weights
    try:
        from effrob.features import resample
    except Exception:  # no numba, one that does not know this NumPy or Python, or no place for its cache
        return None
    proved = next((order for order in ORDERS if _resizes_as_pillow(Compiled(resample, order, None))), None)
    if proved is None:
        return None
    made = Compiled(resample, proved, _proved_decoder())
    for dtype in (torch.float32, torch.bfloat16):  # compiled before they are timed
        made.normalise(torch.zeros((1, 1, 1, 3), dtype=torch.uint8), PixelSpec((1, 1), (1, 1)), dtype)
    return made


def _resizes_as_pillow(candidate: Compiled) -> bool:
    rng = np.random.default_rng(0)
    for (w, h), (width, height) in PROOF:
        image = Image.fromarray(rng.integers(0, 256, (h, w, 3), dtype=np.uint8))
        words = words_of(image)
        for name in candidate.resample.FILTERS:
            wanted = np.asarray(image.resize((width, height), FILTERS[name]))
            rows, columns = slice(height // 4, height), slice(0, width - width // 3)
            out = np.empty((rows.stop - rows.start, columns.stop, 3), np.uint8)
            candidate.resize_window(words, (width, height), (rows, columns), name, out)
            if not np.array_equal(out, wanted[rows, columns]):
                return False
    return True


def _proved_decoder() -> Callable[..., NDArray[np.uint8]] | None:
    try:
        from simplejpeg import decode_jpeg
    except ImportError:
        return None
    decoder: Callable[..., NDArray[np.uint8]] = decode_jpeg
    rng = np.random.default_rng(0)
    smooth = Image.fromarray(rng.integers(0, 256, (9, 11, 3), dtype=np.uint8)).resize(
        (53, 37), Image.Resampling.BICUBIC
    )
    for mode, options in (
        ("RGB", {"quality": 95, "subsampling": 0}),
        ("RGB", {"quality": 60, "subsampling": 1}),
        ("RGB", {"quality": 75, "subsampling": 2, "progressive": True}),
        ("L", {"quality": 80}),
    ):
        buffer = io.BytesIO()
        smooth.convert(mode).save(buffer, "JPEG", **options)
        data = buffer.getvalue()
        with Image.open(io.BytesIO(data)) as opened:
            wanted = np.asarray(opened.convert("RGB"))
        if not np.array_equal(decoder(data, "RGBX", fastdct=False, fastupsample=False)[..., :3], wanted):
            return None
    return decoder
