"""The web's own styles: eight ways to show a thing that no test set of the pocket suite shows it in.

A style is a function (rng, thing, side lengths) to an RGB picture, as in `shifts.synthetic.styles`, whose renditions and
sketches are the test sets' styles.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from shifts.synthetic.scenes import Rng, smooth_noise
from shifts.synthetic.styles import Manner, outlines, photograph

Grey = NDArray[np.float32]
Style = Callable[[Rng, str, int, int], Image.Image]

POSED = Manner(tilt=20, scale=(0.6, 0.95), drift=0.18, slant=0.2, clutter=0.6, haze=0.2, blur=0.6, grain=6)
_OVER = 2  # drawn this many times larger, then averaged down


def _grey(rng: Rng, thing: str, w: int, h: int) -> Grey:
    """A photograph's lightness, (h, w) in [0, 255]."""
    return np.asarray(photograph(rng, thing, w, h, POSED).convert("L"), dtype=np.float32)


def _picture(values: NDArray[np.floating]) -> Image.Image:
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


def _colour(rng: Rng, low: float, high: float) -> Grey:
    """Any colour whose channels lie between two values."""
    return rng.uniform(low, high, 3).astype(np.float32)


def thermal(rng: Rng, thing: str, w: int, h: int) -> Image.Image:
    """A heat camera's scale from blue over red to yellow, put on by lightness, either way up."""
    t = _grey(rng, thing, w, h) / 255
    if rng.random() < 0.5:
        t = 1 - t
    stops = np.array([0.0, 0.3, 0.55, 0.8, 1.0])
    scale = np.array([(10, 10, 60), (110, 20, 140), (220, 50, 60), (245, 150, 30), (255, 250, 190)], dtype=np.float32)
    return _picture(np.stack([np.interp(t, stops, scale[:, channel]) for channel in range(3)], -1))


def halftone(rng: Rng, thing: str, w: int, h: int) -> Image.Image:
    """Newsprint: dots of one ink, larger where it is darker, on a turned grid."""
    dark = 1 - _grey(rng, thing, w, h) / 255
    step, a = rng.uniform(3.0, 5.0), rng.uniform(0.2, 1.2)
    y, x = np.mgrid[:h, :w]
    u, v = (x * np.cos(a) + y * np.sin(a)) % step - step / 2, (y * np.cos(a) - x * np.sin(a)) % step - step / 2
    ink = np.clip(0.75 * step * np.sqrt(dark) - np.hypot(u, v) + 0.5, 0, 1)[:, :, None]
    paper, colour = _colour(rng, 190, 256), _colour(rng, 0, 120)
    return _picture(paper + ink * (colour - paper))


def negative(rng: Rng, thing: str, w: int, h: int) -> Image.Image:
    """A film negative with its orange mask."""
    photo = np.asarray(photograph(rng, thing, w, h, POSED), dtype=np.float32)
    mask = np.array([1.0, 0.8, 0.6], dtype=np.float32) * np.float32(rng.uniform(0.8, 1.0))
    return _picture((255 - photo) * mask + 20)


def relief(rng: Rng, thing: str, w: int, h: int) -> Image.Image:
    """Carved in stone: lightness as height, lit from one side, in one tint."""
    height = np.asarray(_picture(_grey(rng, thing, w, h)).filter(ImageFilter.GaussianBlur(0.8)), dtype=np.float32)
    dy, dx = np.gradient(height)
    a = rng.uniform(0, 2 * np.pi)
    light = 128 + rng.uniform(2.0, 4.0) * (dx * np.cos(a) + dy * np.sin(a)) + 8 * smooth_noise(rng, h, w, 30)
    tint = _colour(rng, 0.7, 1.15)
    return _picture(light[:, :, None] * tint)


def sepia(rng: Rng, thing: str, w: int, h: int) -> Image.Image:
    """An old print: brown, pale, dark at the corners, scratched."""
    grey = 60 + 0.65 * _grey(rng, thing, w, h)
    y, x = np.mgrid[:h, :w]
    grey = grey * (1 - rng.uniform(0.2, 0.5) * (((x / w - 0.5) ** 2 + (y / h - 0.5) ** 2) * 2))
    for column in rng.integers(0, w, int(rng.integers(1, 5))):
        grey[:, column] += 40
    tone = np.array([1.08, 0.9, 0.66], dtype=np.float32) * np.float32(rng.uniform(0.9, 1.1))
    return _picture(grey[:, :, None] * tone)


def ribbed(rng: Rng, thing: str, w: int, h: int) -> Image.Image:
    """Seen through ribbed glass: each rib shows its own part of the scene, mirrored."""
    photo = np.asarray(photograph(rng, thing, w, h, POSED))
    rib = int(rng.integers(5, 9))
    x = np.arange(w)
    within = x % rib
    seen = np.clip(x - within + (rib - 1 - within) + np.round(rng.uniform(-1, 1)).astype(int), 0, w - 1)
    edge = np.where(within == 0, 0.75, 1.0)[None, :, None]
    return _picture(photo[:, seen] * edge)


def papercut(rng: Rng, thing: str, w: int, h: int) -> Image.Image:
    """Cut from striped and dotted papers, each part of its own, laid on another with a shadow under it."""
    picture: NDArray[np.floating] = _paper(rng, w, h)
    for part in outlines(rng, thing, w, h, POSED):
        cover = Image.new("L", (w * _OVER, h * _OVER), 0)
        ImageDraw.Draw(cover).polygon([(x, y) for x, y in (part.points * _OVER).tolist()], fill=255)
        small = cover.reduce(_OVER)
        shadow = np.roll(np.asarray(small.filter(ImageFilter.BoxBlur(2)), dtype=np.float32), (2, 2), (0, 1)) / 255
        picture = picture * (1 - 0.45 * shadow[:, :, None])
        alpha = np.asarray(small, dtype=np.float32)[:, :, None] / 255
        picture = picture + alpha * (_paper(rng, w, h) - picture)
    return _picture(picture)


def _paper(rng: Rng, w: int, h: int) -> Grey:
    """(h, w, 3): two near colours in stripes or dots."""
    one = _colour(rng, 40, 256)
    two = np.clip(one + rng.uniform(-70, 70), 0, 255).astype(np.float32)
    y, x = np.mgrid[:h, :w]
    a, step = rng.uniform(0, np.pi), rng.uniform(4, 9)
    if rng.random() < 0.5:
        pick = np.sin((x * np.cos(a) + y * np.sin(a)) * 2 * np.pi / step) > 0
    else:
        pick = np.hypot(x % step - step / 2, y % step - step / 2) < step * 0.3
    return np.where(pick[:, :, None], one, two).astype(np.float32)


def marble(rng: Rng, thing: str, w: int, h: int) -> Image.Image:
    """Parts inlaid from veined stones."""
    picture: NDArray[np.floating] = _stone(rng, w, h)
    stones: dict[int, Grey] = {}
    for part in outlines(rng, thing, w, h, POSED):
        cover = Image.new("L", (w * _OVER, h * _OVER), 0)
        ImageDraw.Draw(cover).polygon([(x, y) for x, y in (part.points * _OVER).tolist()], fill=255)
        alpha = np.asarray(cover.reduce(_OVER), dtype=np.float32)[:, :, None] / 255
        stone = stones.setdefault(part.role, _stone(rng, w, h))
        picture = picture + alpha * (stone - picture)
    return _picture(picture)


def _stone(rng: Rng, w: int, h: int) -> Grey:
    """(h, w, 3): one colour with lighter and darker veins."""
    veins = np.sin(6 * smooth_noise(rng, h, w, int(rng.integers(3, 7))) + rng.uniform(0, 6))
    stone: Grey = _colour(rng, 40, 220) + np.float32(rng.uniform(12, 36)) * veins[:, :, None].astype(np.float32)
    return stone


OWN: Mapping[str, Style] = {
    "thermal": thermal, "halftone": halftone, "negative": negative, "relief": relief, "sepia": sepia, "ribbed": ribbed,
    "papercut": papercut, "marble": marble,
}  # fmt: skip
