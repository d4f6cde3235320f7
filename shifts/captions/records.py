"""Records of an ImageNet-Captions file, streamed: its half million records are never in memory at once as JSON.

Reads `imagenet_captions.json`, or the zip it is distributed in. A malformed record is refused with its
number.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import lzma
import re
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from shifts.errors import DataError, DataMissing

KEYS = ("filename", "wnid", "title", "description", "tags")
CHUNK = 1 << 20  # bytes read at a time
LONGEST = 8 << 20  # characters of one record; beyond, a quote or a bracket is missing
_SPACE = re.compile(r"[ \t\n\r]*")


class CaptionRecord(NamedTuple):
    """What Flickr's users wrote under one ImageNet training image; empty where they wrote nothing."""

    filename: str
    wnid: str
    title: str
    description: str
    tags: tuple[str, ...]

    @property
    def id(self) -> str:
        """The image's path under the training set."""
        return f"{self.wnid}/{self.filename}"


class NumberedRecord(NamedTuple):
    """A record, its number in the file (from 1), and what was odd about its JSON: `unknown-key`, `null-text`."""

    number: int
    record: CaptionRecord
    oddities: tuple[str, ...]


class RecordFile:
    """A captions file. Iterate it once; `sha256`, of the JSON whether zipped or not, is complete after the last record.

    Raises DataMissing where there is no file, DataError with the record's number for what is not a record.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise DataMissing(
                f"no captions file {path}; unpack or name imagenet_captions.json or imagenet_captions.zip"
            )
        self.path = path
        self._hash = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes read so far."""
        return self._hash.hexdigest()

    def __iter__(self) -> Iterator[NumberedRecord]:
        shared: dict[str, str] = {}  # tags repeat by the million: one object each
        for number, value in enumerate(self._values(), 1):
            yield self._checked(number, value, shared)

    def _values(self) -> Iterator[object]:
        """The elements of the outermost list, decoded one by one from a buffer that is never longer than it must be."""
        decode = json.JSONDecoder().raw_decode
        number = 0
        with _opened(self.path) as file:
            chunks = self._text(file, lambda why: self._broken(number + 1, why))
            buffer, at = next(chunks, ""), 0
            while (at := _skip(buffer, at)) == len(buffer) and (more := next(chunks, "")):
                buffer += more
            if buffer[at : at + 1] != "[":
                raise DataError(
                    f"{self.path} must hold a JSON list of records and does not start with '['; fetch it anew"
                )
            at += 1
            while True:
                at = _skip(buffer, at)
                next_character = buffer[at : at + 1]
                if next_character == "]":
                    rest = buffer[at + 1 :] + "".join(chunks)
                    if rest.strip():
                        raise DataError(f"{self.path} goes on after the list of {number:,} records; fetch it anew")
                    return
                start = at
                if number and next_character == ",":
                    start = _skip(buffer, at + 1)
                elif number and next_character:
                    raise self._broken(number + 1, f"a comma was wanted before it, found {next_character!r}")
                try:
                    value, at = decode(buffer, start)
                except (ValueError, RecursionError) as error:
                    more = next(chunks, "") if len(buffer) - at < LONGEST else ""
                    if not more:
                        short = isinstance(error, json.JSONDecodeError) and len(buffer) - at < LONGEST
                        why = "the file ends in it" if short and _cut(buffer, start, error) else _why(error)
                        raise self._broken(number + 1, why) from None
                    buffer, at = buffer[at:] + more, 0
                    continue
                number += 1
                yield value
                if at > CHUNK:
                    buffer, at = buffer[at:], 0

    def _text(self, file: IO[bytes], broken: Callable[[str], DataError]) -> Iterator[str]:
        """The text in chunks. What cannot be read is raised after all the text before it, so that its record is known."""
        decoder = codecs.getincrementaldecoder("utf-8")()
        done = 0
        while True:
            try:
                chunk = file.read(CHUNK)
            except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError) as error:
                raise broken(f"the file cannot be read on from byte {done:,} ({error})") from None
            self._hash.update(chunk)
            coded = chunk if done else chunk.removeprefix(codecs.BOM_UTF8)
            begun = decoder.getstate()[0]  # a character's first bytes, from the chunk before
            done += len(chunk)
            try:
                text = decoder.decode(coded, final=not chunk)
            except UnicodeDecodeError as error:
                if sound := (begun + coded)[: error.start].decode():
                    yield sound
                near = done - len(coded) - len(begun) + error.start
                raise broken(f"it is not UTF-8 near byte {near:,}") from None
            if text:  # a chunk may be less than a character
                yield text
            if not chunk:
                return

    def _checked(self, number: int, value: object, shared: dict[str, str]) -> NumberedRecord:
        if not isinstance(value, dict):
            raise self._broken(number, f"an object was wanted, found {_kind(value)}")
        odd = () if len(value) <= len(KEYS) else ("unknown-key",)
        texts = []
        for key in KEYS[:4]:
            text = value.get(key, value)
            if text is None and key in ("title", "description"):
                text, odd = "", ("null-text", *odd)
            if not isinstance(text, str):
                problem = f"has no {key!r}" if text is value else f"holds {_kind(text)} as {key!r}, a text was wanted"
                raise self._broken(number, f"it {problem}")
            texts.append(text)
        tags = value.get("tags", value)
        if tags is None:
            tags, odd = [], ("null-text", *odd)
        if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
            raise self._broken(number, "it has no 'tags'" if tags is value else "its 'tags' must be a list of texts")
        filename, wnid, title, description = texts
        if not filename or not wnid:
            raise self._broken(number, "its 'filename' or 'wnid' is empty")
        held = tuple([shared.setdefault(tag, tag) for tag in tags])
        return NumberedRecord(
            number, CaptionRecord(filename, sys.intern(wnid), title, description, held), tuple(dict.fromkeys(odd))
        )

    def _broken(self, number: int, why: str) -> DataError:
        return DataError(
            f"record {number:,} of {self.path} is malformed: {why}; a record is an object with {', '.join(KEYS[:4])} and "
            f"a list of {KEYS[4]}. Mend it or fetch the file anew"
        )


def _skip(buffer: str, at: int) -> int:
    match = _SPACE.match(buffer, at)
    return at if match is None else match.end()


def _cut(buffer: str, start: int, error: Exception) -> bool:
    """Whether a decoding error comes of the text's end and of nothing before it."""
    message = str(error)
    return start >= len(buffer) or "Unterminated string" in message or getattr(error, "pos", 0) >= len(buffer.rstrip())


def _why(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return error.msg.lower()
    return (
        "it is nested without end" if isinstance(error, RecursionError) else "it holds a number of thousands of digits"
    )


def _kind(value: object) -> str:
    names = {
        dict: "an object",
        list: "a list",
        str: "a text",
        bool: "a truth value",
        int: "a number",
        float: "a number",
    }
    return names.get(type(value), "null")


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """The JSON's bytes: the file itself, or the one JSON file of a zip."""
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            if file.read(4) == b"PK\x03\x04":
                raise DataError(f"{path} is a zip without its end, cut off on its way; fetch it anew")
            file.seek(0)
            yield file
        return
    try:
        with zipfile.ZipFile(path) as archive:
            names = [n for n in archive.namelist() if n.endswith(".json") and not n.startswith("__MACOSX")]
            if len(names) != 1:
                raise DataError(
                    f"{path} must hold one JSON file of captions and holds {len(names)}; unpack and name it"
                )
            with archive.open(names[0]) as member:
                yield member
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        raise DataError(f"{path} is a damaged or locked zip ({error}); fetch it anew") from None
