"""From the polygons of an object to a picture in some style: photograph, rendition or sketch.

A style is a function (rng, thing, side lengths) to an RGB picture.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from shifts.synthetic.scenes import (
    ODD,
    USUAL,
    Colour,
    Palette,
    Pixels,
    odd_palette,
    smooth_noise,
    usual_palette,
    usual_place,
    vivid_palette,
)
from shifts.synthetic.shapes import DARK, SHAPES, Part, Points, Rng

Painted = tuple[Points, Colour]
_OVER = 2  # drawn this many times larger, then averaged down: smooth edges


@dataclass(frozen=True)
class Manner:
    """How freely a photograph is taken: ranges from which pose, light and disturbance are drawn.

    tilt       largest turn in degrees from upright
    scale      half-size of the thing over half the short side
    drift      largest offset of its centre, same unit
    slant      largest shear and foreshortening
    odd        probability of an unusual place, and of unusual colours
    clutter    mean number of things lying about or in front
    haze       how far contrast may fall, 0 to 1
    blur       largest blur radius in pixels
    grain      largest standard deviation of the sensor's noise, of 255
    """

    tilt: float = 12.0
    scale: tuple[float, float] = (0.6, 0.95)
    drift: float = 0.18
    slant: float = 0.15
    odd: float = 0.0
    clutter: float = 1.0
    haze: float = 0.4
    blur: float = 1.0
    grain: float = 15.0


class Setting(NamedTuple):
    """What a photograph shows beside the thing: its colours, and where it is seen (a key of USUAL or ODD)."""

    palette: Palette
    place: str


def setting(rng: Rng, thing: str, manner: Manner) -> Setting:
    """The first draws of `photograph`: from the same state of `rng`, what that photograph will show."""
    palette = odd_palette(rng) if rng.random() < manner.odd else usual_palette(rng, thing)
    if rng.random() < manner.odd:
        return Setting(palette, list(ODD)[rng.integers(len(ODD))])
    return Setting(palette, usual_place(rng, thing))


def outlines(rng: Rng, thing: str, w: int, h: int, manner: Manner) -> list[Part]:
    """The thing's parts as polygons in pixels, in a pose of this manner: where a style of one's own begins."""
    return _posed(rng, SHAPES[thing](rng), w, h, manner)


def photograph(rng: Rng, thing: str, w: int, h: int, manner: Manner) -> Image.Image:
    """The thing in a scene, lit, shaded, partly hidden, blurred and grainy."""
    palette, place = setting(rng, thing, manner)
    picture = {**USUAL, **ODD}[place](rng, h, w)
    behind, before = rng.poisson(manner.clutter * 0.6), rng.poisson(manner.clutter * 0.4)
    if behind:
        picture = _laid(picture, [_blot(rng, w, h, 0.1, 0.3) for _ in range(behind)])
    parts = _posed(rng, SHAPES[thing](rng), w, h, manner)
    picture = _laid(picture, [(part.points, palette[part.role]) for part in parts], rng)
    if before:
        picture = _laid(picture, [_blot(rng, w, h, 0.05, 0.18) for _ in range(before)])
    return _exposed(rng, picture, manner)


def _pose(rng: Rng, w: int, h: int, manner: Manner) -> tuple[Points, Points]:
    """A 2 x 2 matrix and an offset from the unit square to pixels."""
    a = np.radians(rng.uniform(-manner.tilt, manner.tilt))
    turn = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    s = manner.slant
    skew = np.array([[1 - rng.uniform(0, s), rng.uniform(-s, s)], [rng.uniform(-s, s) / 2, 1 - rng.uniform(0, s)]])
    half = min(w, h) / 2
    flip = np.diag([rng.choice([-1.0, 1.0]), 1.0])
    centre = np.array([w / 2, h / 2]) + rng.uniform(-manner.drift, manner.drift, 2) * half
    return turn @ skew @ flip * (half * rng.uniform(*manner.scale)), centre


def _posed(rng: Rng, parts: Sequence[Part], w: int, h: int, manner: Manner) -> list[Part]:
    matrix, centre = _pose(rng, w, h, manner)
    return [Part(part.points @ matrix.T + centre, part.role) for part in parts]


def _blot(rng: Rng, w: int, h: int, low: float, high: float) -> Painted:
    """Something lying about: a leaf, a stone, a stick."""
    n = int(rng.integers(3, 8))
    a = np.sort(rng.uniform(0, 2 * np.pi, n))
    r = min(w, h) * rng.uniform(low, high, 2)
    shape = np.stack([r[0] * np.cos(a), r[1] * np.sin(a)], 1) + rng.uniform(0, 1, 2) * (w, h)
    return shape, odd_palette(rng)[rng.integers(4)]


def _enlarged(points: Points) -> list[tuple[float, float]]:
    return [(x, y) for x, y in (points * _OVER).tolist()]


def _laid(picture: Pixels, shapes: Sequence[Painted], light: Rng | None = None) -> Pixels:
    """Shapes painted over a picture; where `light` is given, lit from one side, with a texture and a cast shadow."""
    h, w, _ = picture.shape
    colour = Image.new("RGB", (w * _OVER, h * _OVER), shapes[0][1])
    cover = Image.new("L", colour.size, 0)
    paint, mask = ImageDraw.Draw(colour), ImageDraw.Draw(cover)
    for points, fill in shapes:
        outline = _enlarged(points)
        paint.polygon(outline, fill=fill)
        mask.polygon(outline, fill=255)
    small = cover.reduce(_OVER)
    alpha = np.asarray(small)[:, :, None] * np.float32(1 / 255)
    thing = np.asarray(colour.reduce(_OVER)).astype(np.float32)
    if light is not None:
        a = light.uniform(0, 2 * np.pi)
        x, y = (
            np.linspace(-np.cos(a), np.cos(a), w, dtype=np.float32),
            np.linspace(-np.sin(a), np.sin(a), h, dtype=np.float32),
        )
        glow = 1 + np.float32(light.uniform(0, 0.35)) * (x[None, :] + y[:, None])
        glow += np.float32(light.uniform(0.02, 0.14)) * smooth_noise(light, h, w, int(light.integers(4, 16)))
        thing *= glow[:, :, None]
        cast = ImageChops.offset(small.filter(ImageFilter.BoxBlur(2)), int(-3 * np.cos(a)), int(-3 * np.sin(a)) + 1)
        picture = picture * (1 - np.asarray(cast)[:, :, None] * np.float32(light.uniform(0.1, 0.5) / 255))
    thing -= picture
    thing *= alpha
    thing += picture
    return thing


def _exposed(rng: Rng, picture: Pixels, manner: Manner) -> Image.Image:
    """Contrast, exposure, colour of the light, blur and grain."""
    contrast, grey = 1 - rng.uniform(0, manner.haze), rng.uniform(70, 170)
    gain = 1 + rng.normal(0, 0.06, 3)
    offset = (grey * (1 - contrast) + rng.normal(0, 14)) * gain
    picture = picture * (contrast * gain).astype(np.float32) + offset.astype(np.float32)
    image = _image(picture)
    radius = rng.uniform(0, manner.blur)
    if radius > 0.3:
        image = image.filter(ImageFilter.GaussianBlur(radius))
    noise = rng.standard_normal(picture.shape, dtype=np.float32)
    noise *= np.float32(rng.uniform(0, manner.grain))
    noise += np.asarray(image)
    return _image(noise)


def _image(values: Pixels) -> Image.Image:
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


_DRAWN = Manner(tilt=20, scale=(0.65, 0.95), drift=0.15, slant=0.2)  # an artist's poses


def _canvas(parts: Sequence[Part], w: int, h: int, ground: tuple[int, int, int], fills: Palette | None,
            line: tuple[int, int, int] | None, width: int) -> Image.Image:  # fmt: skip
    """Flat fills and outlines, smoothed."""
    image = Image.new("RGB", (w * _OVER, h * _OVER), ground)
    draw = ImageDraw.Draw(image)
    for part in parts:
        points = _enlarged(part.points)
        if fills is not None:
            draw.polygon(points, fill=fills[part.role])
        if line is not None:
            draw.line([*points, points[0]], fill=line, width=width, joint="curve")
    return image.reduce(_OVER)


def _cartoon(rng: Rng, thing: str, w: int, h: int) -> Image.Image:
    palette = vivid_palette(rng)
    ground = tuple(int(v) for v in rng.integers(150, 256, 3))
    parts = _posed(rng, SHAPES[thing](rng), w, h, _DRAWN)
    return _canvas(parts, w, h, (ground[0], ground[1], ground[2]), palette, (15, 12, 15), int(rng.integers(3, 6)))


def _painting(rng: Rng, thing: str, w: int, h: int) -> Image.Image:
    """Few colours in broad strokes."""
    manner = Manner(tilt=20, clutter=0.3, haze=0.2, blur=0.5, grain=0, odd=0.5)
    photo = photograph(rng, thing, w, h, manner)
    strokes = np.asarray(photo, dtype=np.float32) + 26 * smooth_noise(rng, h, w, 28)[:, :, None]
    image = _image(strokes).filter(ImageFilter.MedianFilter(5))
    return image.quantize(int(rng.integers(6, 14)), dither=Image.Dither.NONE).convert("RGB")


def _mosaic(rng: Rng, thing: str, w: int, h: int) -> Image.Image:
    """Square stones with dark joints."""
    cell = int(rng.integers(3, 6))
    parts = _posed(rng, SHAPES[thing](rng), w, h, _DRAWN)
    ground = vivid_palette(rng)[1]
    image = _canvas(parts, w, h, ground, vivid_palette(rng), None, 0)
    stones = image.resize((w // cell, h // cell), Image.Resampling.BOX).resize((w, h), Image.Resampling.NEAREST)
    pixels = np.asarray(stones, dtype=np.float32)
    pixels = pixels + 12 * smooth_noise(rng, h, w, w // cell)[:, :, None]
    pixels[::cell] *= 0.7
    pixels[:, ::cell] *= 0.7
    return _image(pixels)


def _stencil(rng: Rng, thing: str, w: int, h: int) -> Image.Image:
    """One colour on a wall, holes where the thing is light."""
    ink, ground, *_ = odd_palette(rng)
    if abs(sum(ink) - sum(ground)) < 150:
        ground = (240, 238, 230) if sum(ink) < 400 else (30, 28, 35)
    parts = _posed(rng, SHAPES[thing](rng), w, h, _DRAWN)
    image = _canvas(parts, w, h, ground, (ink, ink, ink, ground), ground if rng.random() < 0.7 else None, 2)
    worn = np.asarray(image, dtype=np.float32) + 14 * smooth_noise(rng, h, w, 20)[:, :, None]
    return _image(worn)


def _neon(rng: Rng, thing: str, w: int, h: int) -> Image.Image:
    """Glowing tubes in the dark."""
    parts = _posed(rng, SHAPES[thing](rng), w, h, _DRAWN)
    image = _canvas(parts, w, h, (8, 6, 18), None, vivid_palette(rng)[0], 4)
    glow = np.asarray(image.filter(ImageFilter.GaussianBlur(3)), dtype=np.float32)
    return _image(np.asarray(image) + 1.4 * glow)


def _embroidery(rng: Rng, thing: str, w: int, h: int) -> Image.Image:
    """Slanting stitches on cloth."""
    parts = _posed(rng, SHAPES[thing](rng), w, h, _DRAWN)
    palette = vivid_palette(rng)
    ground = odd_palette(rng)[3]
    image = np.asarray(_canvas(parts, w, h, ground, palette, palette[2], 2), dtype=np.float32)
    y, x = np.mgrid[:h, :w]
    stitch = np.sin((x + y) * rng.uniform(1.2, 2.2)) * 26 + np.sin((x - y) * 0.7) * 10
    return _image(image + stitch[:, :, None])


Rendition = Callable[[Rng, str, int, int], Image.Image]
RENDITIONS: Mapping[str, Rendition] = {
    "cartoon": _cartoon, "painting": _painting, "mosaic": _mosaic, "graffiti": _stencil, "neon": _neon,
    "embroidery": _embroidery,
}  # fmt: skip


def sketch(rng: Rng, thing: str, w: int, h: int) -> Image.Image:
    """Pencil or ink on paper: outlines drawn once or twice by an unsteady hand, sometimes hatched; no colour."""
    parts = _posed(rng, SHAPES[thing](rng), w, h, _DRAWN)
    paper, ink = int(rng.integers(232, 256)), int(rng.integers(0, 110))
    image = Image.new("L", (w * _OVER, h * _OVER), paper)
    draw = ImageDraw.Draw(image)
    hatched, width, shaken = rng.random() < 0.4, int(rng.integers(2, 5)), rng.uniform(0.3, 1.2)
    for part in parts:
        points = _enlarged(part.points)
        draw.polygon(points, fill=paper if part.role != DARK or not hatched else (paper + ink) // 2)
        for _ in range(int(rng.integers(1, 3))):
            unsteady = [(x + dx, y + dy) for (x, y), (dx, dy) in zip(points, rng.normal(0, shaken, (len(points), 2)))]
            draw.line([*unsteady, unsteady[0]], fill=ink, width=width)
    return image.reduce(_OVER)
