"""Shift: images that can be read, the class of each, and the label space they are scored in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shifts.bounds.pictures import PictureRefused, open_picture, rgb
from shifts.errors import DataError
from shifts.labels import Ints, LabelSpace


@runtime_checkable
class ImageSource(Protocol):
    """Encoded images by index, without labels: one pass over them serves every set of labels of the same files."""

    @property
    def ids(self) -> Sequence[str]:
        """One stable identifier an image: its path inside the set, with forward slashes."""

    def read(self, index: int) -> bytes:
        """The file's bytes, as stored (JPEG, PNG, ...). Safe to call from several threads."""

    def stat(self) -> str:
        """A digest of names, sizes, times and inodes: cheap; a change means `digest` must be computed anew."""

    def digest(self) -> str:
        """SHA-256 over every id and every file's content: the same on every machine that holds the same data."""

    def select(self, rows: Ints) -> ImageSource:
        """The same kind of source with only these rows, in this order."""


@runtime_checkable
class DigestedFiles(Protocol):
    """A source whose `digest` is made of one of each file, so that a file can be compared with it as it is read."""

    def file_digests(self) -> NDArray[np.uint8]:
        """(n, 32) the SHA-256 of each file's content."""


class Example(NamedTuple):
    """One image of a shift: an RGB picture, its class in the shift's label space, and its id."""

    image: Image.Image
    target: int
    id: str


@dataclass(frozen=True)
class Shift:
    """A labelled set of images: `rows` of `source`, with a target each.

    rows        (n,) int64 into the source
    targets     (n,) int64 in `labels`; for several right answers, the first of `accepted`
    accepted    per row, every right answer (ReaL), or None where the target is the only one
    labels      the label space of the targets
    clean       name of the clean set that its class-matched accuracy is taken from; None for a clean set
    protocol    name of the protocol that fixed names, masks and crop
    border      pixels cropped from each side before anything else (ObjectNet's red frame)
    n_expected  images the official set holds under this protocol
    partial     True where counts differ from the official ones and the user allowed it
    """

    name: str
    source: ImageSource
    rows: Ints
    targets: Ints
    labels: LabelSpace
    clean: str | None
    protocol: str
    n_expected: int
    partial: bool = False
    border: int = 0
    accepted: tuple[tuple[int, ...], ...] | None = None
    licence: str = ""
    citation: str = ""
    notes: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        if len(self.rows) != len(self.targets) or (self.accepted is not None and len(self.accepted) != len(self.rows)):
            raise ValueError(f"{self.name}: rows, targets and accepted differ in length")

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Example:
        row = int(self.rows[index])
        try:
            with open_picture(self.source.read(row)) as opened:
                image = rgb(opened)
        except PictureRefused as error:
            raise DataError(f"{self.source.ids[row]} {error}") from error
        if self.border:
            image = image.crop((self.border, self.border, image.width - self.border, image.height - self.border))
        return Example(image, int(self.targets[index]), self.source.ids[row])

    def __iter__(self) -> Iterator[Example]:
        return (self[i] for i in range(len(self)))

    @property
    def ids(self) -> tuple[str, ...]:
        """(n,) ids of the images asked about, in row order."""
        every = self.source.ids
        return tuple(every[int(row)] for row in self.rows)

    def limited(self, n: int) -> Shift:
        """At most n examples, spread evenly over the rows so that every class keeps its share; partial if any left out."""
        if n >= len(self):
            return self
        return self._kept(np.unique(np.linspace(0, len(self) - 1, n).round().astype(np.int64)))

    def limited_per_class(self, n: int) -> Shift:
        """At most n examples a class, the first of each in row order; partial if any is left out."""
        seen: dict[int, int] = {}
        kept = []
        for row, target in enumerate(self.targets.tolist()):
            seen[target] = seen.get(target, 0) + 1
            if seen[target] <= n:
                kept.append(row)
        return self if len(kept) == len(self) else self._kept(np.array(kept, dtype=np.int64))

    def _kept(self, kept: Ints) -> Shift:
        accepted = None if self.accepted is None else tuple(self.accepted[int(i)] for i in kept)
        return replace(
            self,
            source=self.source.select(self.rows[kept]),
            rows=np.arange(len(kept), dtype=np.int64),
            targets=self.targets[kept],
            accepted=accepted,
            partial=True,
        )


def label_digest(shift: Shift) -> str:
    """SHA-256 of what is asked about a source: rows, targets, label space, accepted answers, border and protocol."""
    hashed = hashlib.sha256()
    hashed.update(np.ascontiguousarray(shift.rows).tobytes() + np.ascontiguousarray(shift.targets).tobytes())
    labels = shift.labels
    about = [
        labels.name,
        labels.class_ids,
        labels.groups,
        labels.own_text,
        shift.accepted,
        shift.border,
        shift.protocol,
    ]
    names = labels.class_names if labels.own_text else labels.parent_names
    hashed.update(json.dumps([*about, names]).encode())
    return hashed.hexdigest()
