"""Backgrounds and colours of the pocket pictures: usual and unusual places, usual and unusual palettes.

Backgrounds are float arrays (h, w, 3) in [0, 255].
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Rng = np.random.Generator
Pixels = NDArray[np.float32]
Colour = tuple[int, int, int]
Palette = tuple[Colour, Colour, Colour, Colour]  # main, second, dark, light


class Habit(NamedTuple):
    """Usual look of a class: colours of its main and second parts, and the places it is seen in."""

    mains: tuple[Colour, ...]
    seconds: tuple[Colour, ...]
    places: tuple[str, ...]


_RED, _GREEN, _BLUE, _YELLOW = (190, 45, 40), (70, 130, 55), (60, 95, 170), (220, 190, 60)
_WHITE, _GREY, _BLACK, _BROWN = (225, 222, 215), (140, 140, 142), (50, 48, 50), (125, 85, 55)
_ORANGE, _PINK, _PURPLE, _TAN = (225, 130, 50), (220, 130, 160), (125, 80, 150), (205, 175, 135)

HABITS: Mapping[str, Habit] = {
    "house": Habit((_WHITE, _TAN, _YELLOW, _RED), (_RED, _BROWN, _GREY), ("meadow", "street", "leaves")),
    "tree": Habit((_GREEN, (95, 145, 60), (60, 100, 60), _ORANGE), (_BROWN, (95, 70, 50)), ("meadow", "sky", "leaves")),
    "fish": Habit((_ORANGE, _GREY, _YELLOW, _BLUE), (_RED, _GREY, _WHITE), ("water", "sand")),
    "car": Habit((_RED, _BLUE, _GREY, _WHITE, _BLACK), (_YELLOW, _WHITE), ("street", "meadow")),
    "truck": Habit((_RED, _BLUE, _WHITE, _YELLOW), (_GREY, _WHITE, _TAN), ("street", "meadow", "sand")),
    "mug": Habit((_WHITE, _BLUE, _RED, _GREEN), (_YELLOW, _BLUE, _RED), ("room", "table")),
    "wine glass": Habit(((130, 30, 55), (225, 205, 120), (150, 40, 60)), (_GREY,), ("room", "table")),
    "starfish": Habit((_ORANGE, _RED, _TAN, _PURPLE), (_YELLOW, _WHITE), ("sand", "water")),
    "umbrella": Habit((_RED, _BLUE, _YELLOW, _BLACK), (_WHITE, _GREEN, _RED), ("street", "sky", "sand")),
    "key": Habit((_GREY, (185, 150, 70), (110, 105, 100)), (_GREY,), ("table", "room")),
    "wall clock": Habit((_BROWN, _BLACK, _GREY, _RED), (_WHITE,), ("room",)),
    "wristwatch": Habit((_GREY, (195, 160, 80), _BLACK), (_BROWN, _BLACK, _GREY), ("table", "room")),
    "sailboat": Habit((_WHITE, _BLUE, _RED, _BROWN), (_WHITE, _RED, _ORANGE), ("water", "sky")),
    "flower": Habit((_PINK, _YELLOW, _RED, _PURPLE), (_GREEN, (60, 105, 50)), ("meadow", "leaves")),
    "butterfly": Habit((_ORANGE, _YELLOW, _BLUE, _WHITE), (_ORANGE, _BLACK, _PURPLE), ("leaves", "meadow")),
    "mushroom": Habit((_RED, _BROWN, _TAN), (_WHITE, _TAN), ("leaves", "meadow")),
    "bird": Habit((_BLUE, _BROWN, _RED, _GREY), (_GREY, _YELLOW, _BLACK), ("sky", "leaves", "meadow")),
    "chair": Habit((_BROWN, _RED, _GREEN, _GREY), (_BROWN, _TAN), ("room", "meadow")),
    "bottle": Habit((_GREEN, (90, 60, 40), (120, 160, 170)), (_WHITE,), ("table", "room")),
    "apple": Habit((_RED, (140, 175, 60), _YELLOW), (_GREEN,), ("table", "leaves")),
    "ladder": Habit((_BROWN, _GREY), (_BROWN, _GREY), ("room", "meadow")),
    "spoon": Habit((_GREY, _BROWN), (_GREY,), ("table",)),
}


def usual_palette(rng: Rng, thing: str) -> Palette:
    """Colours the class is usually seen in, each a little off."""
    habit = HABITS[thing]
    main = _near(rng, habit.mains[rng.integers(len(habit.mains))])
    second = _near(rng, habit.seconds[rng.integers(len(habit.seconds))])
    return main, second, _near(rng, (52, 48, 46)), _near(rng, (218, 216, 208))


def odd_palette(rng: Rng) -> Palette:
    """Any colours at all: saturated, pale or dark, whatever the thing is."""
    main, second = (_hue(rng.random(), rng.uniform(0.15, 1), rng.uniform(0.35, 1)) for _ in range(2))
    return main, second, _hue(rng.random(), rng.uniform(0, 0.8), rng.uniform(0.1, 0.35)), _hue(rng.random(), 0.25, 0.95)


def vivid_palette(rng: Rng) -> Palette:
    """Poster colours with black and white."""
    hue = rng.random()
    return _hue(hue, 0.85, 0.95), _hue(hue + rng.uniform(0.25, 0.6), 0.85, 0.9), (25, 22, 28), (250, 248, 240)


def usual_place(rng: Rng, thing: str) -> str:
    """Mostly where the class is usually seen, sometimes elsewhere."""
    places = HABITS[thing].places if rng.random() < 0.8 else tuple(USUAL)
    return places[rng.integers(len(places))]


def smooth_noise(rng: Rng, h: int, w: int, cells: int) -> Pixels:
    """(h, w) values around 0, about -1 to 1, varying over the picture's width / cells."""
    grid = rng.standard_normal((cells + 1, cells + 1)).astype(np.float32)
    small = Image.fromarray(grid).resize((w, h), Image.Resampling.BICUBIC)
    return np.asarray(small) * np.float32(0.6)


def _near(rng: Rng, colour: Colour, spread: float = 16.0) -> Colour:
    r, g, b = np.clip(np.array(colour) + rng.normal(0, spread, 3) + rng.normal(0, spread / 2), 0, 255)
    return int(r), int(g), int(b)


def _hue(hue: float, saturation: float, value: float) -> Colour:
    r, g, b = colorsys.hsv_to_rgb(hue % 1.0, saturation, value)
    return int(r * 255), int(g * 255), int(b * 255)


def _fade(rng: Rng, h: int, w: int, top: Colour, bottom: Colour) -> Pixels:
    t = np.linspace(0, 1, h, dtype=np.float32)[:, None, None]
    a, b = (np.array(_near(rng, c), dtype=np.float32) for c in (top, bottom))
    return np.broadcast_to(a * (1 - t) + b * t, (h, w, 3)).copy()


def _over(rng: Rng, upper: Pixels, lower: Pixels, low: float, high: float) -> Pixels:
    """The lower picture from a horizon downwards."""
    h = len(upper)
    line = int(h * rng.uniform(low, high))
    return np.concatenate([upper[:line], lower[line:]])


def _textured(rng: Rng, picture: Pixels, cells: int, depth: float) -> Pixels:
    h, w, _ = picture.shape
    return picture + np.float32(depth) * smooth_noise(rng, h, w, cells)[:, :, None]


def _sky(rng: Rng, h: int, w: int) -> Pixels:
    return _textured(rng, _fade(rng, h, w, (120, 160, 210), (200, 215, 228)), 4, rng.uniform(5, 22))


def _meadow(rng: Rng, h: int, w: int) -> Pixels:
    grass = _textured(rng, _fade(rng, h, w, (120, 150, 85), (80, 120, 50)), 24, 18)
    return _over(rng, _sky(rng, h, w), grass, 0.3, 0.7)


def _leaves(rng: Rng, h: int, w: int) -> Pixels:
    return _textured(rng, _textured(rng, _fade(rng, h, w, (85, 115, 60), (60, 85, 45)), 6, 28), 18, 16)


def _water(rng: Rng, h: int, w: int) -> Pixels:
    sea = _fade(rng, h, w, (70, 125, 155), (35, 80, 120))
    sea += (10 * np.sin(np.arange(h) * rng.uniform(0.5, 1.1)))[:, None, None]
    sea = _textured(rng, sea, 10, 12)
    return _over(rng, _sky(rng, h, w), sea, 0.1, 0.5) if rng.random() < 0.5 else sea


def _sand(rng: Rng, h: int, w: int) -> Pixels:
    return _textured(rng, _textured(rng, _fade(rng, h, w, (215, 190, 145), (190, 160, 115)), 5, 10), 30, 9)


def _street(rng: Rng, h: int, w: int) -> Pixels:
    houses = _fade(rng, h, w, (165, 160, 155), (140, 130, 125))
    edges = np.sort(rng.integers(0, w, 4))
    for a, b in pairwise(edges):
        houses[int(h * rng.uniform(0, 0.3)) :, a:b] += rng.normal(0, 26, 3)
    return _over(rng, houses, _textured(rng, _fade(rng, h, w, (120, 120, 122), (85, 85, 88)), 24, 8), 0.4, 0.7)


def _room(rng: Rng, h: int, w: int) -> Pixels:
    wall = _textured(rng, _fade(rng, h, w, (215, 205, 185), (195, 180, 160)), 3, 10)
    wall[:, ::10] -= rng.uniform(0, 18)
    return _over(rng, wall, _fade(rng, h, w, (150, 115, 80), (115, 85, 60)), 0.55, 0.95)


def _table(rng: Rng, h: int, w: int) -> Pixels:
    top = _fade(rng, h, w, (165, 120, 80), (130, 92, 60))
    top += (14 * np.sin(np.arange(h) * rng.uniform(0.3, 0.8)))[:, None, None]
    return _over(
        rng,
        _textured(rng, _fade(rng, h, w, (190, 185, 178), (165, 160, 152)), 3, 14),
        _textured(rng, top, 12, 8),
        0.0,
        0.5,
    )


def _tiles(rng: Rng, h: int, w: int) -> Pixels:
    """Two colours in squares, turned by any angle."""
    a, side = rng.uniform(0, np.pi), rng.uniform(8, 20)
    y, x = np.mgrid[:h, :w]
    u, v = (x * np.cos(a) + y * np.sin(a)) / side, (y * np.cos(a) - x * np.sin(a)) / side
    pick = ((np.floor(u) + np.floor(v)) % 2)[:, :, None]
    one, two = (np.array(c, dtype=np.float32) for c in odd_palette(rng)[:2])
    picture: Pixels = two + (pick * 0.5 + 0.5).astype(np.float32) * (one - two)
    return picture


def _stripes(rng: Rng, h: int, w: int) -> Pixels:
    """A carpet or planks: bands of several colours at any angle."""
    a, side = rng.uniform(0, np.pi), rng.uniform(5, 16)
    y, x = np.mgrid[:h, :w]
    colours = np.array(odd_palette(rng), dtype=np.float32)
    colours = 0.5 * colours + 0.5 * colours.mean(0)
    picture: Pixels = colours[np.floor((x * np.cos(a) + y * np.sin(a)) / side).astype(int) % 4]
    return _textured(rng, picture, 20, 8)


def _bedspread(rng: Rng, h: int, w: int) -> Pixels:
    """Cloth with folds in any colour, sometimes dotted."""
    picture = np.broadcast_to(np.array(odd_palette(rng)[0], dtype=np.float32), (h, w, 3)).copy()
    if rng.random() < 0.6:
        y, x = np.mgrid[:h, :w]
        step = rng.uniform(9, 16)
        dots = np.hypot(x % step - step / 2, y % step - step / 2) < step * rng.uniform(0.15, 0.3)
        picture[dots] = odd_palette(rng)[1]
    return _textured(rng, picture, 5, 28)


Background = Callable[[Rng, int, int], Pixels]
USUAL: Mapping[str, Background] = {
    "sky": _sky, "meadow": _meadow, "leaves": _leaves, "water": _water, "sand": _sand, "street": _street, "room": _room,
    "table": _table,
}  # fmt: skip
ODD: Mapping[str, Background] = {"tiles": _tiles, "stripes": _stripes, "bedspread": _bedspread}
