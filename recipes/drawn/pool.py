"""The pool that every run draws its pictures from: a narrow set, and a web at four doses of the test sets' styles.

A web picture is a photograph, or it is styled: its number is then drawn in one of the web's own styles at doses of overlap up
to its threshold, and in one of the test sets' styles at higher ones. So all doses share photographs and classes, and from
one dose to the next pictures only go over to the test sets' styles. Drawn once into OUT, kept as arrays.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from effrob.features.transforms import decode, exact_crop
from model_zoo.sources.from_pocket import pixels_of
from recipes.drawn import captions
from recipes.drawn.styles import OWN
from shifts.classes import pocket
from shifts.synthetic.draw import LONG, SHORT, encode
from shifts.synthetic.scenes import Rng
from shifts.synthetic.styles import RENDITIONS, Manner, photograph, setting, sketch

Kind = Literal["narrow", "web", "web-shared"]
Bytes = NDArray[np.uint8]

IMAGES = 8000  # of each kind; a run takes some of them by its seed
SIDE = 40  # pixels a picture is kept at; crops of it are what a network sees
STYLED = 0.6  # share of the web's pictures that are no plain photographs
SHARED = {"rendition": 0.45, "sketch": 0.25, "odd": 0.3}  # of the styled ones, where the test sets' styles are taken
NARROW = Manner()  # the clean set's own photographer
ABROAD = Manner(
    tilt=25, drift=0.22, slant=0.22, clutter=1.2
)  # freer, but in usual places and colours: none of the tests'
ANYHOW = Manner(tilt=75, drift=0.25, slant=0.3, odd=0.6, clutter=1.2)  # as pocket-object is photographed


class Drawing(NamedTuple):
    """A picture not drawn yet."""

    label: int
    caption: str
    style: str
    draw: Callable[[], Image.Image]


@dataclass(frozen=True)
class Pool:
    """One kind's pictures: images (n, SIDE, SIDE, 3) uint8, labels (n,) int64, captions."""

    images: Bytes
    labels: NDArray[np.int64]
    captions: tuple[str, ...]


def drawing(kind: Kind, number: int) -> Drawing:
    """The picture of a number: `web` in the web's own styles, `web-shared` in those of the test sets."""
    stream = "narrow" if kind == "narrow" else "web"
    what = _rng(f"{stream}/what", number)
    names = pocket().names
    label = int(what.integers(len(names)))
    styled = stream == "web" and what.random() < STYLED
    if not styled:
        return _photographed(stream, number, label, NARROW if stream == "narrow" else ABROAD)
    if kind == "web":
        return _styled(number, label, list(OWN)[int(what.integers(len(OWN)))])
    style = str(what.choice(list(SHARED), p=list(SHARED.values())))
    if style == "odd":
        return _photographed("web/odd", number, label, ANYHOW)
    return _styled(number, label, str(what.choice(list(RENDITIONS))) if style == "rendition" else style)


def threshold(number: int) -> float:
    """In [0, 1): at doses of overlap above it, a styled web picture is drawn in a style of the test sets."""
    return float(_rng("web/dose", number).random())


def is_styled(number: int) -> bool:
    """Whether a web picture is something else than a plain photograph, at any dose."""
    what = _rng("web/what", number)
    what.integers(len(pocket().names))
    return bool(what.random() < STYLED)


def pool(kind: Kind, out: Path, images: int = IMAGES) -> Pool:
    """A kind's pictures out of OUT/pictures, drawn into it first if they are not there."""
    folder = out / "pictures"
    pixels, texts = folder / f"{kind}-{images}.npy", folder / f"{kind}-{images}.json"
    if not (pixels.is_file() and texts.is_file()):
        folder.mkdir(parents=True, exist_ok=True)
        drawn = [drawing(kind, number) for number in range(images)]
        crops = np.stack([_kept(each.draw()) for each in drawn])
        unfinished = pixels.with_suffix(".unfinished.npy")
        np.save(unfinished, crops)
        unfinished.replace(pixels)
        told = {"labels": [each.label for each in drawn], "captions": [each.caption for each in drawn]}
        half = texts.with_suffix(".unfinished")
        half.write_text(json.dumps(told), encoding="utf-8")
        half.replace(texts)
    told = json.loads(texts.read_text(encoding="utf-8"))
    return Pool(np.load(pixels), np.array(told["labels"], dtype=np.int64), tuple(told["captions"]))


def _kept(image: Image.Image) -> Bytes:
    """Through the bytes of a JPEG, as the test sets are stored, to a centred square."""
    return exact_crop(decode(encode(image, ".jpg"), "a drawing"), pixels_of(SIDE))


def _photographed(stream: str, number: int, label: int, manner: Manner) -> Drawing:
    thing = pocket().names[label]

    def begun() -> tuple[Rng, int, int]:
        rng = _rng(f"{stream}/drawn", number)
        w, h = rng.integers(SHORT, LONG, 2)
        return rng, int(w), int(h)

    def drawn() -> Image.Image:
        rng, w, h = begun()
        return photograph(rng, thing, w, h, manner)

    seen = setting(begun()[0], thing, manner)
    written = captions.of_odd if manner is ANYHOW else captions.of_photograph
    caption = written(_rng(f"{stream}/words", number), thing, seen)
    return Drawing(label, caption, "odd" if manner is ANYHOW else "photograph", drawn)


def _styled(number: int, label: int, style: str) -> Drawing:
    thing = pocket().names[label]
    draw = OWN[style] if style in OWN else sketch if style == "sketch" else RENDITIONS[style]

    def drawn() -> Image.Image:
        rng = _rng(f"web/{style}/drawn", number)
        w, h = rng.integers(SHORT, LONG, 2)
        return draw(rng, thing, int(w), int(h))

    return Drawing(label, captions.of_style(_rng(f"web/{style}/words", number), thing, style), style, drawn)


def _rng(stream: str, number: int) -> Rng:
    return np.random.default_rng([zlib.crc32(f"five-causes/{stream}".encode()), number])
