"""Irregularities of caption records: each kind has a name and a meaning, and is counted and shown by example.

Records are neither changed nor dropped here; the reader of captions decides that.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from shifts.captions.records import CaptionRecord

ABOUT: Mapping[str, str] = {
    "unknown-key": "the record has keys beside the five of the format",
    "null-text": "a title, description or list of tags is null; read as empty",
    "unsafe-filename": "the file name is a path or no text; the record is left out",
    "wnid-outside": "the wnid is none of the table's classes; the record is left out",
    "wnid-mismatch": "the file name begins with another wnid than the record's",
    "duplicate": "the same image and the same texts again; the first is kept",
    "duplicate-conflict": "the same image again with other texts; the first is kept",
    "image-missing": "the training set has no such image; the record is left out",
    "empty-title": "no title",
    "empty-description": "no description",
    "empty-tags": "no tags",
    "no-text": "neither title, description nor tags",
    "empty-tag": "a tag without a character",
    "repeated-tag": "a tag that stands twice",
    "outer-space": "a text begins or ends with white space",
    "double-space": "two spaces in a row",
    "newline": "a line break inside a text",
    "tab": "a tab inside a text",
    "control-character": "a control character other than line breaks and tabs",
    "invisible-character": "a zero-width or direction mark",
    "lone-surrogate": "half of a surrogate pair, which no UTF-8 file can hold",
    "replacement-character": "U+FFFD: the text was damaged before it came here",
    "html-tag": "an HTML tag",
    "html-entity": "an HTML entity",
    "url": "an address of the web",
    "e-mail": "an e-mail address",
}
LEFT_OUT = ("unsafe-filename", "wnid-outside", "duplicate", "duplicate-conflict", "image-missing")
EXAMPLES = 3

_PREFIX = re.compile(r"([a-z]\d{8})_")
_ANY = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060\ufeff\ud800-\udfff\ufffd<&@]|  ")
_KINDS = (
    ("double-space", re.compile("  ")),
    ("newline", re.compile("[\n\r\u2028\u2029]")),
    ("tab", re.compile("\t")),
    ("control-character", re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")),
    ("invisible-character", re.compile("[\u200b-\u200f\u202a-\u202e\u2060\ufeff]")),
    ("lone-surrogate", re.compile("[\ud800-\udfff]")),
    ("replacement-character", re.compile("\ufffd")),
    ("html-tag", re.compile(r"</?[a-zA-Z][^<>]{0,500}>")),
    ("html-entity", re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,30});")),
    ("e-mail", re.compile(r"(?<=[\w.+-])@[\w-]{1,64}(?:\.[\w-]{1,64})+")),
)  # fmt: skip
_URL = re.compile(r"https?://|\bwww\.\w", re.IGNORECASE)


def filename_wnid(filename: str) -> str | None:
    """The wnid that an ImageNet training file name begins with, or None where it has no such form."""
    match = _PREFIX.match(filename)
    return None if match is None else match[1]


def safe_filename(filename: str) -> bool:
    """Whether it names a file inside a class folder and nothing else."""
    bare = "/" not in filename and "\\" not in filename and filename not in (".", "..")
    return bare and not any(c < " " or "\ud800" <= c <= "\udfff" for c in filename)


def of_texts(record: CaptionRecord) -> list[str]:
    """The oddities of a record's texts."""
    title, description, tags = record.title.strip(), record.description.strip(), "".join(record.tags).strip()
    odd = []
    if not title:
        odd.append("empty-title")
    if not description:
        odd.append("empty-description")
    if not tags:
        odd.append("empty-tags")
        if not title and not description:
            odd.append("no-text")
    if any(not tag.strip() for tag in record.tags):
        odd.append("empty-tag")
    if len(set(record.tags)) < len(record.tags):
        odd.append("repeated-tag")
    if title != record.title or description != record.description or any(tag != tag.strip() for tag in record.tags):
        odd.append("outer-space")
    texts = (record.title, record.description, "|".join(record.tags))
    whole = "|".join(texts)
    if _ANY.search(whole):  # most have none of it: one look instead of ten
        odd += [name for name, kind in _KINDS if any(kind.search(text) for text in texts)]
    if ("://" in whole or "www." in whole or "WWW." in whole) and _URL.search(whole):
        odd.append("url")
    return odd


def readable(text: str) -> str:
    """The text as any terminal and any JSON can hold it: half surrogates and control characters written out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[:200])


class Tally:
    """How many records show each oddity, and which were the first."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.first: dict[str, list[str]] = {}

    def add(self, number: int, id: str, names: Iterable[str]) -> None:
        """Count a record's oddities; KeyError for one that has no meaning written down."""
        for name in names:
            self.counts[name] += 1
            if len(held := self.first.setdefault(name, [])) < EXAMPLES:
                ABOUT[name]
                held.append(f"record {number}: {readable(id)}")

    def as_json(self) -> list[dict[str, Any]]:
        """Every oddity in the order of `ABOUT`, those that were not seen with a zero."""
        return [
            {"name": name, "records": self.counts[name], "about": about, "first": self.first.get(name, [])}
            for name, about in ABOUT.items()
        ]
