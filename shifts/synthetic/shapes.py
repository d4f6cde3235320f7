"""Shapes of the pocket classes: each class as a few filled polygons in a square from -1 to 1, y downwards.

A drawing is geometry and palette roles alone, varied by a random generator; pose, colour,
light and style are added in `styles`.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
Rng = np.random.Generator
MAIN, SECOND, DARK, LIGHT = range(4)  # roles of a palette's four colours


class Part(NamedTuple):
    """One filled polygon: points (n, 2) and the palette role of its colour."""

    points: Points
    role: int


def _polygon(role: int, *points: tuple[float, float]) -> Part:
    return Part(np.array(points, dtype=np.float64), role)


def _ellipse(role: int, x: float, y: float, rx: float, ry: float, start: float = 0.0, stop: float = 360.0) -> Part:
    """A whole ellipse, or the segment between two angles in degrees (0 right, 90 down)."""
    t = np.radians(np.linspace(start, stop, 22))
    return Part(np.stack([x + rx * np.cos(t), y + ry * np.sin(t)], 1), role)


def _box(role: int, x0: float, y0: float, x1: float, y1: float) -> Part:
    return _polygon(role, (x0, y0), (x1, y0), (x1, y1), (x0, y1))


def _bar(role: int, x0: float, y0: float, x1: float, y1: float, width: float) -> Part:
    along = np.array([x1 - x0, y1 - y0])
    across = np.array([-along[1], along[0]]) / (np.hypot(*along) + 1e-9) * width / 2
    a, b = np.array([x0, y0]), np.array([x1, y1])
    return Part(np.stack([a + across, b + across, b - across, a - across]), role)


def _ring(role: int, x: float, y: float, r: float, width: float, start: float = 0.0, stop: float = 360.0) -> Part:
    """A band of an annulus between two angles in degrees: a handle, a bow, a rim."""
    t = np.radians(np.linspace(start, stop, 20))
    outer = np.stack([x + r * np.cos(t), y + r * np.sin(t)], 1)
    inner = np.stack([x + (r - width) * np.cos(t[::-1]), y + (r - width) * np.sin(t[::-1])], 1)
    return Part(np.concatenate([outer, inner]), role)


def _mirrored(part: Part) -> Part:
    return Part(part.points * (-1.0, 1.0), part.role)


def _house(rng: Rng) -> list[Part]:
    w, top, peak = rng.uniform(0.55, 0.8), rng.uniform(-0.2, 0.1), rng.uniform(-0.9, -0.65)
    door, window = rng.uniform(-0.3, 0.3), rng.uniform(0.14, 0.2)
    parts = [_box(DARK, w * 0.35, peak, w * 0.35 + 0.16, top)] if rng.random() < 0.6 else []
    parts += [_box(MAIN, -w, top, w, 0.85), _polygon(SECOND, (-w - 0.18, top), (0, peak), (w + 0.18, top))]
    parts += [_box(DARK, door - 0.13, 0.35, door + 0.13, 0.85)]
    sides = [x for x in (-w * 0.65, w * 0.65) if abs(x - door) > 0.28]
    return parts + [_box(LIGHT, x - window / 1.4, 0.15, x + window / 1.4, 0.15 + 2 * window) for x in sides]


def _tree(rng: Rng) -> list[Part]:
    trunk = rng.uniform(0.09, 0.16)
    parts = [_box(SECOND, -trunk, 0.1, trunk, 0.92)]
    if rng.random() < 0.4:  # a fir
        for i in range(3):
            y, w = -0.85 + 0.42 * i, 0.35 + 0.16 * i
            parts.append(_polygon(MAIN, (0, y), (w, y + 0.6), (-w, y + 0.6)))
        return parts
    for _ in range(int(rng.integers(4, 7))):
        x, y = rng.uniform(-0.4, 0.4), rng.uniform(-0.6, 0.05)
        parts.append(_ellipse(MAIN, x, y, rng.uniform(0.28, 0.42), rng.uniform(0.25, 0.38)))
    return parts


def _fish(rng: Rng) -> list[Part]:
    h, tail = rng.uniform(0.28, 0.48), rng.uniform(0.3, 0.48)
    parts = [_polygon(SECOND, (0.45, 0), (0.95, -tail), (0.8, 0), (0.95, tail))]
    parts += [_polygon(SECOND, (-0.2, -h * 0.8), (0.1, -h - 0.28), (0.35, -h * 0.6)), _ellipse(MAIN, -0.15, 0, 0.72, h)]
    parts += [_ellipse(LIGHT, -0.6, -0.08, 0.1, 0.1), _ellipse(DARK, -0.62, -0.08, 0.05, 0.05)]
    if rng.random() < 0.5:
        parts += [_bar(SECOND, x, -h * 0.75, x, h * 0.75, 0.09) for x in (-0.25, 0.0, 0.22)]
    return [*parts, _polygon(SECOND, (-0.15, h * 0.2), (0.15, h * 0.75), (0.2, h * 0.15))]


def _wheels(y: float, r: float, *xs: float) -> list[Part]:
    return [_ellipse(DARK, x, y, r, r) for x in xs] + [_ellipse(LIGHT, x, y, r * 0.45, r * 0.45) for x in xs]


def _car(rng: Rng) -> list[Part]:
    roof, front = rng.uniform(-0.5, -0.3), rng.uniform(0.3, 0.5)
    parts = [_polygon(MAIN, (-0.65, 0.05), (-0.42, roof), (front - 0.08, roof), (front + 0.25, 0.05))]
    parts += [_polygon(LIGHT, (-0.5, 0.02), (-0.36, roof + 0.1), (-0.06, roof + 0.1), (-0.06, 0.02))]
    parts += [_polygon(LIGHT, (0.03, 0.02), (0.03, roof + 0.1), (front - 0.12, roof + 0.1), (front + 0.1, 0.02))]
    parts += [_polygon(MAIN, (-0.95, 0.1), (-0.85, 0.0), (0.8, 0.02), (0.96, 0.16), (0.95, 0.42), (-0.95, 0.42))]
    return [*parts, _box(SECOND, 0.84, 0.14, 0.95, 0.24), *_wheels(0.42, rng.uniform(0.18, 0.24), -0.55, 0.55)]


def _truck(rng: Rng) -> list[Part]:
    top, cab = rng.uniform(-0.7, -0.5), rng.uniform(-0.25, -0.1)
    parts = [_box(SECOND, -0.95, top, 0.35, 0.38), _bar(DARK, -0.95, 0.38, 0.95, 0.38, 0.1)]
    parts += [_polygon(MAIN, (0.4, cab), (0.75, cab), (0.95, 0.1), (0.95, 0.4), (0.4, 0.4))]
    parts += [_polygon(LIGHT, (0.52, cab + 0.07), (0.71, cab + 0.07), (0.83, 0.1), (0.52, 0.1))]
    return parts + _wheels(0.47, rng.uniform(0.16, 0.21), -0.65, -0.2, 0.68)


def _mug(rng: Rng) -> list[Part]:
    w, h = rng.uniform(0.42, 0.55), rng.uniform(0.5, 0.7)
    parts = [_ring(MAIN, w, 0.05, rng.uniform(0.32, 0.42), 0.12, -100, 100)]
    parts += [_polygon(MAIN, (-w, -h), (w, -h), (w * 0.92, h), (-w * 0.92, h)), _ellipse(MAIN, 0, h, w * 0.92, 0.13)]
    if rng.random() < 0.5:
        parts.append(_box(SECOND, -w * 0.97, -0.1, w * 0.96, 0.2))
    return [*parts, _ellipse(LIGHT, 0, -h, w, 0.15), _ellipse(DARK, 0, -h + 0.02, w * 0.84, 0.1)]


def _wine_glass(rng: Rng) -> list[Part]:
    w, level, stem = rng.uniform(0.32, 0.48), rng.uniform(-0.55, -0.25), rng.uniform(0.05, 0.2)
    parts = [
        _polygon(LIGHT, (-w * 0.85, -0.92), (w * 0.85, -0.92), (w, -0.4), (w * 0.6, stem), (-w * 0.6, stem), (-w, -0.4))
    ]
    parts += [_polygon(MAIN, (-w * 0.9, level), (w * 0.9, level), (w * 0.52, stem - 0.05), (-w * 0.52, stem - 0.05))]
    return [*parts, _bar(LIGHT, 0, stem, 0, 0.85, 0.09), _ellipse(LIGHT, 0, 0.87, w * 0.85, 0.09)]


def _starfish(rng: Rng) -> list[Part]:
    inner, turn = rng.uniform(0.3, 0.42), rng.uniform(-0.2, 0.2)
    points, dots = [], []
    for i in range(5):
        a = turn + 2 * np.pi * i / 5 - np.pi / 2
        reach = rng.uniform(0.85, 1.0)
        for offset, r in ((-0.09, reach), (0.09, reach), (np.pi / 5, inner)):
            points.append((r * np.cos(a + offset), r * np.sin(a + offset)))
        dots += [_ellipse(SECOND, r * np.cos(a), r * np.sin(a), 0.06, 0.06) for r in (0.3, 0.55)]
    return [_polygon(MAIN, *points), *dots, _ellipse(SECOND, 0, 0, 0.1, 0.1)]


def _umbrella(rng: Rng) -> list[Part]:
    y, n = rng.uniform(-0.05, 0.1), int(rng.integers(4, 7))
    parts = [_bar(DARK, 0, -0.98, 0, 0.75, 0.07), _ring(DARK, 0.14, 0.75, 0.18, 0.08, 0, 180)]
    edges = np.linspace(-0.95, 0.95, n + 1)
    t = np.linspace(0, np.pi / 2, 8)
    for i, (a, b) in enumerate(pairwise(edges)):
        left, right = (np.stack([edge * np.sin(t), y - (y + 0.85) * np.cos(t)], 1) for edge in (a, b))
        middle = np.array([[(a + b) / 2, y - 0.1]])
        parts.append(Part(np.concatenate([left, middle, right[::-1]]), (MAIN, SECOND)[i % 2]))
    return parts


def _key(rng: Rng) -> list[Part]:
    r, y = rng.uniform(0.28, 0.38), rng.uniform(-0.08, 0.08)
    parts = [_ring(MAIN, -0.6, y, r, rng.uniform(0.11, 0.16)), _bar(MAIN, -0.6 + r - 0.05, y, 0.92, y, 0.15)]
    for x in np.linspace(0.5, 0.85, int(rng.integers(2, 4))):
        parts.append(_box(MAIN, x - 0.06, y, x + 0.06, y + rng.uniform(0.22, 0.4)))
    return parts


def _dial(rng: Rng, r: float) -> list[Part]:
    def ray(a: float, start: float, stop: float) -> Part:
        x, y = r * np.cos(a), r * np.sin(a)
        return _bar(DARK, start * x, start * y, stop * x, stop * y, 0.11 * r)

    hour, minute = rng.uniform(0, 2 * np.pi, 2)
    ticks = [ray(a, 0.72, 0.86) for a in np.arange(12)[:: rng.choice([1, 3])] * np.pi / 6]
    return [*ticks, ray(hour, 0, 0.42), ray(minute, 0, 0.66)]


def _wall_clock(rng: Rng) -> list[Part]:
    square = rng.random() < 0.3
    rim = _box(MAIN, -0.88, -0.88, 0.88, 0.88) if square else _ellipse(MAIN, 0, 0, 0.92, 0.92)
    face = rng.uniform(0.68, 0.78)
    return [rim, _ellipse(LIGHT, 0, 0, face, face), *_dial(rng, face)]


def _wristwatch(rng: Rng) -> list[Part]:
    r, strap = rng.uniform(0.36, 0.46), rng.uniform(0.2, 0.28)
    parts = [_polygon(SECOND, (-strap, -0.25), (-strap * 0.8, -0.97), (strap * 0.8, -0.97), (strap, -0.25))]
    parts += [_polygon(SECOND, (-strap, 0.25), (-strap * 0.8, 0.97), (strap * 0.8, 0.97), (strap, 0.25))]
    parts += [_box(MAIN, r, -0.06, r + 0.14, 0.06), _ellipse(MAIN, 0, 0, r + 0.06, r + 0.06)]
    return [*parts, _ellipse(LIGHT, 0, 0, r - 0.06, r - 0.06), *_dial(rng, r - 0.06)]


def _boat(rng: Rng) -> list[Part]:
    deck, lean = rng.uniform(0.35, 0.5), rng.uniform(-0.1, 0.1)
    parts = [_bar(DARK, 0, deck, lean, -0.95, 0.07)]
    parts.append(_polygon(LIGHT, (lean + 0.05, -0.9), (0.72, deck - 0.1), (0.05, deck - 0.1)))
    if rng.random() < 0.7:
        parts.append(_polygon(SECOND, (lean - 0.05, -0.72), (-0.6, deck - 0.1), (-0.05, deck - 0.1)))
    return [*parts, _polygon(MAIN, (-0.92, deck), (0.95, deck), (0.6, deck + 0.42), (-0.62, deck + 0.42))]


def _flower(rng: Rng) -> list[Part]:
    n, y, r = int(rng.integers(5, 9)), rng.uniform(-0.42, -0.3), rng.uniform(0.2, 0.26)
    parts = [_bar(SECOND, 0, y, rng.uniform(-0.1, 0.1), 0.95, 0.09)]
    parts += [
        _polygon(SECOND, (0, 0.6), (s * 0.2, 0.35), (s * 0.5, 0.3), (s * 0.3, 0.55))
        for s in (-1, 1)
        if rng.random() < 0.8
    ]
    for a in np.arange(n) * 2 * np.pi / n + rng.uniform(0, 1):
        parts.append(_ellipse(MAIN, 0.33 * np.cos(a), y + 0.33 * np.sin(a), r, r))
    return [*parts, _ellipse(LIGHT, 0, y, 0.2, 0.2)]


def _butterfly(rng: Rng) -> list[Part]:
    up, down = rng.uniform(0.7, 0.95), rng.uniform(0.45, 0.7)
    top = _polygon(MAIN, (0.04, -0.1), (0.4, -up), (0.9, -up * 0.85), (0.85, -0.15), (0.3, 0.1))
    low = _polygon(SECOND, (0.04, 0.05), (0.6, 0.02), (0.75, 0.4), (0.45, down + 0.1), (0.1, 0.3))
    spot = _ellipse(LIGHT, 0.58, -0.48, 0.13, 0.16)
    parts = [low, top, spot]
    feelers = [_bar(DARK, 0, -0.35, s * 0.2, -0.72, 0.05) for s in (-1, 1)]
    return [*parts, *(_mirrored(p) for p in parts), *feelers, _ellipse(DARK, 0, 0.05, 0.08, 0.48)]


def _mushroom(rng: Rng) -> list[Part]:
    w, y, stem = rng.uniform(0.65, 0.92), rng.uniform(0.0, 0.15), rng.uniform(0.16, 0.26)
    parts = [_polygon(LIGHT, (-stem, y), (stem, y), (stem * 1.3, 0.9), (-stem * 1.3, 0.9))]
    parts += [_ellipse(MAIN, 0, y, w, rng.uniform(0.65, 0.95), 180, 360), _ellipse(LIGHT, 0, y, w * 0.9, 0.1)]
    for x, dy in ((-0.4, -0.22), (0.05, -0.45), (0.42, -0.2)):
        parts.append(_ellipse(SECOND, x * w / 0.8, y + dy, 0.11, 0.1))
    return parts


def _bird(rng: Rng) -> list[Part]:
    h, neck = rng.uniform(0.28, 0.38), rng.uniform(-0.5, -0.32)
    parts = [_bar(DARK, x, 0.3, x + 0.03, 0.88, 0.06) for x in (-0.08, 0.14)]
    parts += [_polygon(MAIN, (0.35, 0.05), (0.98, rng.uniform(-0.35, 0.2)), (0.92, 0.25), (0.3, 0.3))]
    parts += [
        _ellipse(MAIN, 0.02, 0.1, 0.55, h),
        _polygon(SECOND, (-0.72, neck - 0.06), (-0.99, neck + 0.06), (-0.7, neck + 0.1)),
    ]
    parts += [_ellipse(MAIN, -0.5, neck, 0.28, 0.25), _ellipse(DARK, -0.58, neck - 0.05, 0.06, 0.06)]
    return [*parts, _polygon(SECOND, (-0.2, -0.02), (0.45, 0.02), (0.35, 0.22), (0.0, 0.26))]


def _chair(rng: Rng) -> list[Part]:
    seat, depth, back = rng.uniform(0.05, 0.2), rng.uniform(0.18, 0.3), rng.uniform(0.6, 0.9)
    parts = [_bar(DARK, x, seat, x, 0.7, 0.1) for x in (-0.25, 0.62)] + [
        _bar(DARK, x, seat, x, 0.95, 0.11) for x in (-0.55, 0.35)
    ]
    parts += [_bar(MAIN, x, seat, x + 0.02, seat - back, 0.12) for x in (-0.5, -0.1)] if rng.random() < 0.5 else []
    parts += [
        _polygon(MAIN, (-0.62, seat - 0.25), (-0.6, seat - back), (-0.1, seat - back - 0.08), (-0.08, seat - 0.3))
    ]
    return [
        *parts,
        _polygon(SECOND, (-0.62, seat + 0.08), (-0.3, seat - depth), (0.7, seat - depth), (0.45, seat + 0.1)),
    ]


def _bottle(rng: Rng) -> list[Part]:
    w, neck, shoulder = rng.uniform(0.25, 0.38), rng.uniform(0.09, 0.14), rng.uniform(-0.35, -0.1)
    outline = (
        (-neck, -0.8),
        (neck, -0.8),
        (neck, shoulder - 0.2),
        (w, shoulder + 0.1),
        (w, 0.92),
        (-w, 0.92),
        (-w, shoulder + 0.1),
    )
    parts = [_polygon(MAIN, *outline, (-neck, shoulder - 0.2)), _box(DARK, -neck - 0.03, -0.95, neck + 0.03, -0.78)]
    return [*parts, _box(LIGHT, -w, shoulder + 0.3, w, shoulder + rng.uniform(0.6, 0.85))]


def _apple(rng: Rng) -> list[Part]:
    w, h = rng.uniform(0.62, 0.78), rng.uniform(0.6, 0.72)
    t = np.linspace(0, 2 * np.pi, 30)
    x, y = w * np.cos(t), h * np.sin(t)
    y = 0.12 + y + np.where(y < 0, 0.22, -0.1) * np.exp(-((x / 0.22) ** 2))  # dimples at stalk and calyx
    stalk = _bar(DARK, 0.0, -0.25, rng.uniform(-0.05, 0.15), -0.85, 0.08)
    leaf = _polygon(SECOND, (0.05, -0.52), (0.3, -0.85), (0.6, -0.72), (0.3, -0.5))
    return [Part(np.stack([x, y], 1), MAIN), stalk, leaf, _ellipse(LIGHT, -0.35, -0.1, 0.1, 0.16)]


def _ladder(rng: Rng) -> list[Part]:
    w, top = rng.uniform(0.3, 0.42), rng.uniform(0.2, 0.3)
    rungs = [_bar(SECOND, -w, y, w, y, 0.1) for y in np.linspace(-0.7, 0.75, int(rng.integers(4, 7)))]
    return [*rungs, *(_bar(MAIN, s * w, 0.95, s * top, -0.95, 0.12) for s in (-1, 1))]


def _spoon(rng: Rng) -> list[Part]:
    handle, bowl = _bar(MAIN, 0, -0.3, 0, 0.95, rng.uniform(0.1, 0.16)), rng.uniform(0.24, 0.32)
    return [handle, _ellipse(MAIN, 0, -0.58, bowl, 0.38), _ellipse(LIGHT, 0, -0.6, 0.16, 0.25)]


SHAPES: dict[str, Callable[[Rng], list[Part]]] = {
    "house": _house, "tree": _tree, "fish": _fish, "car": _car, "truck": _truck, "mug": _mug, "wine glass": _wine_glass,
    "starfish": _starfish, "umbrella": _umbrella, "key": _key, "wall clock": _wall_clock, "wristwatch": _wristwatch,
    "sailboat": _boat, "flower": _flower, "butterfly": _butterfly, "mushroom": _mushroom, "bird": _bird, "chair": _chair,
    "bottle": _bottle, "apple": _apple, "ladder": _ladder, "spoon": _spoon,
}  # fmt: skip
