"""What stands under a drawn picture: the thing's name, and more than its name: style, colour and place.

Every caption names its own class and no other one, so that texts differ in what else they say, not in how often they are
right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shifts.synthetic.scenes import Colour, Rng
from shifts.synthetic.styles import Setting
from shifts.synthetic.words import with_article

COLOURS: Mapping[str, Colour] = {
    "red": (190, 45, 40), "green": (70, 130, 55), "blue": (60, 95, 170), "yellow": (220, 190, 60), "white": (225, 222, 215),
    "grey": (140, 140, 142), "black": (50, 48, 50), "brown": (125, 85, 55), "orange": (225, 130, 50),
    "pink": (220, 130, 160), "purple": (125, 80, 150), "beige": (205, 175, 135), "turquoise": (70, 180, 180),
}  # fmt: skip
PLACES: Mapping[str, str] = {
    "sky": "in the sky", "meadow": "on a meadow", "leaves": "among leaves", "water": "in the water", "sand": "on sand",
    "street": "on a street", "room": "in a room", "table": "on a table", "tiles": "on tiles", "stripes": "on a carpet",
    "bedspread": "on a blanket",
}  # fmt: skip
STYLES: Mapping[str, Sequence[str]] = {
    "sketch": ("a sketch of {a}", "pencil drawing of {a}", "{n} line drawing"),
    "cartoon": ("a cartoon {n}", "cartoon of {a}", "{n} clip art"),
    "painting": ("a painting of {a}", "{n}, oil on canvas", "art print of {a}"),
    "mosaic": ("a mosaic of {a}", "{n} mosaic", "{n} in coloured stones"),
    "graffiti": ("graffiti of {a}", "{n} stencil", "street art: {n}"),
    "neon": ("neon sign of {a}", "{n} neon light", "glowing {n}"),
    "embroidery": ("embroidered {n}", "cross stitch of {a}", "{n} embroidery"),
    "thermal": ("thermal image of {a}", "{n}, heat camera", "infrared {n}"),
    "halftone": ("newsprint of {a}", "{n} in halftone", "dotted print of {a}"),
    "negative": ("film negative of {a}", "{n}, negative", "inverted {n}"),
    "relief": ("stone relief of {a}", "carved {n}", "{n}, bas-relief"),
    "sepia": ("old photograph of {a}", "{n} in sepia", "antique print of {a}"),
    "ribbed": ("{a} behind ribbed glass", "{n} through a window", "{n} seen through glass"),
    "papercut": ("paper collage of {a}", "{n} cut from paper", "papercut {n}"),
    "marble": ("marble inlay of {a}", "{n} in marble", "inlaid {n}"),
}
PHOTOGRAPH = ("a photo of {a}", "photo of {a}", "{a}", "picture of {a}", "{n}")
SAID = 0.7  # how often a photograph's caption says the colour, and how often the place


def colour_word(colour: Colour) -> str:
    """The nearest of the words for colours."""
    distances = {word: sum((a - b) ** 2 for a, b in zip(colour, known)) for word, known in COLOURS.items()}
    return min(distances, key=distances.__getitem__)


def of_photograph(rng: Rng, thing: str, seen: Setting) -> str:
    """A photograph's caption: as a rule with the thing's main colour and the place it is seen in."""
    named = f"{colour_word(seen.palette[0])} {thing}" if rng.random() < SAID else thing
    place = f" {PLACES[seen.place]}" if rng.random() < SAID else ""
    return _filled(rng, PHOTOGRAPH, named) + place


def of_style(rng: Rng, thing: str, style: str) -> str:
    """A caption that says the style a thing is shown in."""
    return _filled(rng, STYLES[style], thing)


def of_odd(rng: Rng, thing: str, seen: Setting) -> str:
    """A caption of a thing lying about."""
    lying = ("{a} lying around", "{n} upside down", "{n} seen from above")
    return _filled(rng, lying, thing) + (f" {PLACES[seen.place]}" if rng.random() < SAID else "")


def _filled(rng: Rng, templates: Sequence[str], named: str) -> str:
    template = templates[int(rng.integers(len(templates)))]
    return template.format(a=with_article(named), n=named)
