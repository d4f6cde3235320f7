"""Caption variants: title, description and tags of a record in some combination, or the class name, plain or in a template.

The published recipe joins any of title, description and tags with single spaces.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from shifts.captions.imagenet_captions import draw
from shifts.captions.records import CaptionRecord
from shifts.errors import DataError

FIELDS = ("title", "description", "tags")
CLASS_NAME = "class-name"
PAPER = ("title", "title+description", "title+description+tags")
_NO_TEXT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")  # breaks a line or a cell of a table, and says nothing
_HALF = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Variant:
    """A way to caption. `fields` in the order they are joined; templates with one `{}` each, one drawn an image by its id."""

    fields: tuple[str, ...]
    templates: tuple[str, ...] = ()
    prompts: str | None = None
    seed: int = 0

    @property
    def name(self) -> str:
        """`title+tags`, `class-name`, `class-name@openai`: a folder name."""
        name = "+".join(self.fields)
        return f"{name}@{self.prompts}" if self.templates else name

    def text(self, record: CaptionRecord, class_name: str) -> str:
        """The caption, in one line; empty where the record has none of the words asked for."""
        text = class_name if self.fields == (CLASS_NAME,) else words(record, self.fields)
        if not text or not self.templates:
            return text
        place = int.from_bytes(draw(self.seed, record.id), "big") % len(self.templates)
        return self.templates[place].replace("{}", text)


def variant(name: str, templates: Sequence[str] = (), prompts: str | None = None, seed: int = 0) -> Variant:
    """`title`, `title+description+tags`, any combination in any order, or `class-name`; DataError for what is neither."""
    fields = tuple(name.split("+"))
    if fields != (CLASS_NAME,) and (not set(fields) <= set(FIELDS) or len(set(fields)) < len(fields)):
        raise DataError(
            f"no caption variant is called {name!r}; join any of title, description and tags with +, as in "
            f"title+description, or take class-name"
        )
    return Variant(fields, tuple(templates), prompts if templates else None, seed)


def words(record: CaptionRecord, fields: Sequence[str]) -> str:
    """Fields joined by single spaces; line breaks, tabs and control characters become a space each, half surrogates U+FFFD."""
    parts = [" ".join(record.tags) if field == "tags" else str(getattr(record, field)) for field in fields]
    clean = (_HALF.sub("\ufffd", _NO_TEXT.sub(" ", part)).strip() for part in parts)
    return " ".join(part for part in clean if part)
