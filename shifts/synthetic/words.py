"""Captions of the pocket pictures: alternative texts as on the web, and titles, tags and descriptions as on a photo site.

They are noisy on purpose: some name no class, a few name another class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

import numpy as np

Rng = np.random.Generator

NAMELESS, WRONG = 0.12, 0.04  # shares of texts that do not name the thing, and that name another


class PocketCaption(TypedDict):
    """One record of the ImageNet-Captions format."""

    filename: str
    title: str
    tags: list[str]
    description: str
    wnid: str


_ADJECTIVES = (
    "old", "new", "beautiful", "little", "big", "nice", "broken", "favourite", "vintage", "lovely", "my", "the", "some",
)  # fmt: skip
_TAILS = (
    "", "", "", " for sale", " in the morning", " on holiday", " - stock photo", " | free download", " #2", " (detail)", " 2009"
)  # fmt: skip
_STYLED: Mapping[str, Sequence[str]] = {
    "photo": (
        "a photo of {a}",
        "{a}",
        "{adj} {n}",
        "picture of {a}",
        "close-up photo of {a}",
        "{n}",
        "{n} and friends",
    ),
    "sketch": (
        "a sketch of {a}",
        "pencil drawing of {a}",
        "{n} line drawing",
        "black and white drawing of {a}",
        "how to draw {a}",
    ),
    "cartoon": ("a cartoon {n}", "{n} clip art", "cartoon of {a}", "cute {n} sticker", "{adj} {n} comic"),
    "painting": ("a painting of {a}", "{n}, oil on canvas", "the {n}, painted by hand", "art print of {a}"),
    "mosaic": ("a mosaic of {a}", "{n} mosaic tiles", "pixel art of {a}", "{adj} {n} in stones"),
    "graffiti": ("graffiti of {a}", "{n} stencil", "street art: {n}", "{adj} {n} on a wall"),
    "neon": ("neon sign of {a}", "{n} neon light", "glowing {n}", "a neon {n} at night"),
    "embroidery": ("embroidered {n}", "{n} embroidery pattern", "cross stitch of {a}", "a patch with {a}"),
    "odd": ("{a} on the floor", "{n} seen from above", "{a} lying around", "{n} upside down", "{adj} {n} on a carpet"),
}
_NAMELESS = (
    "IMG_{k:04d}", "DSC{k:05d}", "untitled", "look what I found", "click to enlarge", "my holiday", "image {k}", "new arrival",
)  # fmt: skip
_TAGS = (
    "nikon", "canon", "2008", "summer", "home", "travel", "macro", "nofilter", "family", "garden", "foto", "colour", "d80",
)  # fmt: skip
_DESCRIPTIONS = (
    "Taken last weekend.",
    "I saw this {n} on my way home.",
    "See more at <a href=\"http://example.org/{k}\">my page</a>",
    "One of many.\nThe {n} is the one in front.",
    "{A}, I think.",
    "Another  {n}  for the collection",
)  # fmt: skip


def web_text(rng: Rng, thing: str, style: str, others: Sequence[str]) -> str:
    """An alternative text for a picture of the thing in a style (`photo`, `odd`, `sketch` or a rendition's name)."""
    if rng.random() < NAMELESS:
        return _pick(rng, _NAMELESS).format(k=rng.integers(10_000))
    named = _pick(rng, others) if rng.random() < WRONG else thing
    templates = _STYLED[style if rng.random() < 0.85 else "photo"]
    text = _filled(_pick(rng, templates), rng, named) + _pick(rng, _TAILS)
    return text.title() if rng.random() < 0.15 else text


def caption_record(rng: Rng, thing: str, filename: str, wnid: str) -> PocketCaption:
    """Title, tags and description as a photo site has them; each may leave the thing unnamed."""
    k = int(rng.integers(10_000))
    named = rng.random() >= NAMELESS
    title = _filled(_pick(rng, _STYLED["photo"]), rng, thing) if named else _pick(rng, _NAMELESS).format(k=k)
    tags = [str(tag) for tag in rng.choice(_TAGS, int(rng.integers(0, 5)), replace=False)]
    if rng.random() < 0.7:
        tags.insert(int(rng.integers(len(tags) + 1)), thing.replace(" ", ""))
    description = _filled(_pick(rng, _DESCRIPTIONS), rng, thing, k) if rng.random() < 0.45 else ""
    return PocketCaption(filename=filename, title=title, tags=tags, description=description, wnid=wnid)


def with_article(name: str) -> str:
    """`an apple`, `a house`."""
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def _pick(rng: Rng, texts: Sequence[str]) -> str:
    return texts[int(rng.integers(len(texts)))]


def _filled(template: str, rng: Rng, thing: str, k: int = 0) -> str:
    a = with_article(thing)
    return template.format(a=a, A=a.capitalize(), n=thing, adj=_pick(rng, _ADJECTIVES), k=k)
