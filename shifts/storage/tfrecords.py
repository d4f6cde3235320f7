"""Record files of TensorFlow Datasets, read in place and without TensorFlow: image, label and file name of each example.

A record is a length, its checksum, the bytes of a tf.train.Example and their checksum; the format is described at
https://www.tensorflow.org/tutorials/load_data/tfrecord.
Only where the image lies is kept; `label.labels.txt` beside the files names the labels.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from shifts.classes import ClassFolders
from shifts.errors import DataError
from shifts.evidence.label_names import names_beside
from shifts.storage.samples import Sample, SampleTree
from shifts.storage.spans import Span, checked_size, read_span
from shifts.storage.tree import is_image

IMAGE_KEYS = ("image", "image/encoded")
LABEL_KEYS = ("label", "image/class/label")
NAME_KEYS = ("file_name", "image/filename", "filename")


class _Field(NamedTuple):
    """A field of a message: its number, and its bytes' place in the buffer; `value` for a number."""

    number: int
    start: int
    stop: int
    value: int


class RecordTree(SampleTree):
    """The examples of some record files as images by path `CLASS/FILE`."""

    def __init__(self, path: Path, files: Sequence[Path], classes: ClassFolders) -> None:
        super().__init__(path, classes)
        self.files = tuple(file.resolve() for file in files)

    def _bytes(self, sample: Sample, path: str) -> bytes:
        return read_span(sample.file, sample.place, path)

    def _class_names(self) -> Sequence[str] | None:
        return names_beside([self.files[0].parent], self.classes)

    def _samples(self) -> Iterator[Sample]:
        number = 0
        for file in self.files:
            size = file.stat().st_size
            with file.open("rb") as opened:
                at = 0
                while at < size or not size:  # a file of no bytes was cut off at its beginning
                    head = opened.read(12)
                    length = struct.unpack("<Q", head[:8])[0] if len(head) == 12 else size
                    if at + length + 16 > size:
                        raise DataError(
                            f"{file} ends inside record {number + 1:,}, or is no record file; fetch it anew"
                        )
                    checked_size(length, f"record {number + 1:,}", str(file))
                    body = opened.read(length)
                    opened.seek(4, 1)
                    yield self._sample(file, body, at + 12, number)
                    at, number = at + length + 16, number + 1

    def _sample(self, file: Path, body: bytes, offset: int, number: int) -> Sample:
        try:
            features = dict(_features(body))
        except (IndexError, ValueError, UnicodeDecodeError):
            raise DataError(f"record {number + 1:,} of {file} is no tf.train.Example; fetch it anew") from None
        image = next((features[key] for key in IMAGE_KEYS if key in features), None)
        if image is None or image.stop <= image.start:
            raise DataError(
                f"record {number + 1:,} of {file} has no encoded image ({', '.join(features)}); name the set another way"
            )
        label = next((features[key].value for key in LABEL_KEYS if key in features), None)
        named = next((features[key] for key in NAME_KEYS if key in features), None)
        name = f"{number:08d}" if named is None else body[named.start : named.stop].decode("utf-8", "replace")
        name = name if is_image(name.rpartition("/")[2].lstrip(".")) else f"{name}.jpg"
        span = Span(offset + image.start, image.stop - image.start)
        return Sample(name, () if label is None else (label,), file, span, span.size)


def _features(body: bytes) -> Iterator[tuple[str, _Field]]:
    """Name and first value of every feature of a tf.train.Example."""
    for features in _fields(body, 0, len(body)):
        for entry in _fields(body, features.start, features.stop):
            parts = {part.number: part for part in _fields(body, entry.start, entry.stop)}
            for kind in _fields(body, parts[2].start, parts[2].stop):
                value = next(_fields(body, kind.start, kind.stop), None)
                if value is None:
                    continue
                if kind.number == 3 and value.stop > value.start:  # packed numbers
                    value = value._replace(value=_varint(body, value.start)[0])
                if kind.number == 3 and value.value >= 1 << 63:
                    value = value._replace(value=value.value - (1 << 64))
                yield body[parts[1].start : parts[1].stop].decode(), value


def _fields(body: bytes, at: int, stop: int) -> Iterator[_Field]:
    """The fields of a protocol buffer message between two places."""
    while at < stop:
        key, at = _varint(body, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(body, at)
            yield _Field(key >> 3, at, at, value)
        elif kind == 2:
            length, at = _varint(body, at)
            if at + length > stop:
                raise ValueError(length)
            yield _Field(key >> 3, at, at + length, 0)
            at += length
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            raise ValueError(kind)


def _varint(body: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = body[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
