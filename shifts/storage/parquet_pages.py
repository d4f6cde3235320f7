"""Random access to the values of one binary column of a Parquet file, page by page.

pyarrow reads whole row groups, which hold from a hundred images to all of them; a shuffled table read in order of its ids
would decode each group once an image. Here pyarrow gives the footer and the decompression, and one page is read at a time,
as https://parquet.apache.org/docs/file-format/data-pages/ describes it. Other encodings than PLAIN and dictionary raise
Unreadable.
"""

from __future__ import annotations

import os
import struct
from array import array
from bisect import bisect_right
from collections import OrderedDict
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

from shifts.errors import DataError

HEADER = 1 << 16  # bytes read to find a page's header, statistics of binary columns included
KEPT = 128 << 20  # bytes of decompressed pages that are kept
MAX_PAGE = 256 << 20  # bytes of a page: writers make pages of 1 MB, or of one image
PLAIN, PLAIN_DICTIONARY, RLE, RLE_DICTIONARY = 0, 2, 3, 8
DATA_PAGE, DICTIONARY_PAGE, DATA_PAGE_V2 = 0, 2, 3


class Unreadable(ValueError):
    """The column is stored in a way that this module does not read."""


def _check_page(header: dict[int, Any], file: Path) -> None:
    """Raises DataError for a page that claims more bytes than are read, Unreadable for a size that is none."""
    sizes = [size for size in (header.get(2), header.get(3)) if isinstance(size, int) and size >= 0]
    if len(sizes) != 2:
        raise Unreadable("a page has no size")
    if max(sizes) > MAX_PAGE:
        raise DataError(
            f"{file} claims a page of {max(sizes):,} bytes, and {MAX_PAGE:,} are read at most; write it anew"
        )


class Page(NamedTuple):
    """A data page: its first row in the row group, where its body lies, and its header's fields by number."""

    first: int
    rows: int
    offset: int
    size: int
    header: dict[int, Any]


class ValuePlaces(NamedTuple):
    """Where the values of a page's rows lie in a decompressed page: its own, or the dictionary. A start of -1 is a null."""

    page: Page
    starts: array[int]
    stops: array[int]


class PagedColumn:
    """One column chunk after the other of a file's binary column. Safe to call from several threads.

    column  the dotted path of the column in the schema, as `image.bytes`
    """

    def __init__(self, path: Path, metadata: Any, column: str) -> None:
        self.path = path
        place = next(i for i in range(metadata.num_columns) if metadata.schema.column(i).path == column)
        self._levels = int(metadata.schema.column(place).max_definition_level)
        if (
            metadata.schema.column(place).max_repetition_level
            or metadata.schema.column(place).physical_type != "BYTE_ARRAY"
        ):
            raise Unreadable("the column repeats or holds no bytes")
        self._chunks = [metadata.row_group(group).column(place) for group in range(metadata.num_row_groups)]
        self._pages: dict[int, tuple[list[Page], Page | None]] = {}
        self._layouts: dict[
            tuple[int, int], ValuePlaces
        ] = {}  # 16 bytes a row: a page that is read again is not parsed again
        self._kept: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._bytes, self._lock = 0, Lock()

    def read(self, group: int, row: int) -> bytes | None:
        """The value of a row of a row group; None where it is null."""
        pages, dictionary = self._chunk(group)
        page = pages[bisect_right(pages, row, key=lambda page: page.first) - 1]
        layout = self._layouts.get((group, page.offset))
        if layout is None:
            layout = self._layouts[group, page.offset] = self._layout(group, page, dictionary)
        start = layout.starts[row - page.first]
        return None if start < 0 else self._body(group, layout.page)[start : layout.stops[row - page.first]]

    def _body(self, group: int, page: Page) -> bytes:
        """A decompressed page, without the levels of a page of version 2: from those that are kept, or read now."""
        key = group, page.offset
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        levels = _levels(page)
        body, size = self._pread(page.offset + levels, page.size - levels), page.header[2] - levels
        if page.header[1] != DATA_PAGE_V2 or page.header[8].get(7, True):
            body = self._plain(group, body, size)
        if len(body) != size:
            raise Unreadable("a page is shorter than its header says")
        with self._lock:
            if key not in self._kept:
                self._kept[key] = body
                self._bytes += len(body)
            while self._bytes > KEPT and len(self._kept) > 1:
                self._bytes -= len(self._kept.popitem(last=False)[1])
        return body

    def _chunk(self, group: int) -> tuple[list[Page], Page | None]:
        """The data pages of a row group, and its dictionary page."""
        with self._lock:
            if group in self._pages:
                return self._pages[group]
        chunk = self._chunks[group]
        at = chunk.data_page_offset
        if chunk.dictionary_page_offset is not None:
            at = min(at, chunk.dictionary_page_offset)
        pages: list[Page] = []
        dictionary, row = None, 0
        while row < chunk.num_values:
            head = self._pread(at, HEADER)
            try:
                header, length = _struct(head, 0)
            except (IndexError, struct.error):
                raise Unreadable("a page header is longer than expected") from None
            kind = header.get(1)
            _check_page(header, self.path)
            if kind == DICTIONARY_PAGE:
                dictionary = Page(0, header[7][1], at + length, header[3], header)
            elif kind in (DATA_PAGE, DATA_PAGE_V2):
                rows = header[5 if kind == DATA_PAGE else 8][1]
                if not 0 < rows <= chunk.num_values - row:
                    raise Unreadable("a page claims rows that its chunk has not")
                pages.append(Page(row, rows, at + length, header[3], header))
                row += rows
            at += length + header[3]
        with self._lock:
            self._pages[group] = pages, dictionary
        return pages, dictionary

    def _layout(self, group: int, page: Page, dictionary: Page | None) -> ValuePlaces:
        body, header, at = self._body(group, page), page.header, 0
        present = [True] * page.rows
        if header[1] == DATA_PAGE_V2:
            encoding, levels = header[8][4], header[8].get(5, 0)
            if self._levels:
                present = _present(self._pread(page.offset, levels), page.rows, self._levels)
        else:
            encoding = header[5][2]
            if self._levels:
                (length,) = struct.unpack_from("<I", body, 0)
                present = _present(body[4 : 4 + length], page.rows, self._levels)
                at = 4 + length
        count = sum(present)
        if encoding == PLAIN:
            held, values = page, _spans(body, count, at)
        elif encoding in (PLAIN_DICTIONARY, RLE_DICTIONARY) and dictionary is not None:
            words = self._words(group, dictionary)
            numbers = _hybrid(body[at + 1 :], body[at], count) if count else []
            held, values = dictionary, [(words.starts[k], words.stops[k]) for k in numbers]
        else:
            raise Unreadable(f"encoding {encoding}")
        each = iter(values)
        spans = [next(each) if there else (-1, -1) for there in present]
        return ValuePlaces(held, array("q", [start for start, _ in spans]), array("q", [stop for _, stop in spans]))

    def _words(self, group: int, page: Page) -> ValuePlaces:
        """The values of a dictionary page."""
        key = group, page.offset
        if key not in self._layouts:
            spans = _spans(self._body(group, page), page.rows)
            starts, stops = array("q", [start for start, _ in spans]), array("q", [stop for _, stop in spans])
            self._layouts[key] = ValuePlaces(page, starts, stops)
        return self._layouts[key]

    def _plain(self, group: int, body: bytes, size: int) -> bytes:
        import pyarrow as pa

        codec = self._chunks[group].compression.lower()
        if codec == "uncompressed":
            return body
        if codec not in ("snappy", "gzip", "brotli", "zstd"):
            raise Unreadable(f"compression {codec}")
        return bytes(pa.decompress(body, size, codec=codec, asbytes=True))

    def _pread(self, offset: int, size: int) -> bytes:
        file = os.open(self.path, os.O_RDONLY)
        try:
            return os.pread(file, size, offset)
        finally:
            os.close(file)


def _levels(page: Page) -> int:
    """Bytes of levels before the values of a page of version 2, which are never compressed."""
    return int(page.header[8].get(5, 0) + page.header[8].get(6, 0)) if page.header[1] == DATA_PAGE_V2 else 0


def _spans(body: bytes, count: int, at: int = 0) -> list[tuple[int, int]]:
    """Where each value of a PLAIN page lies from `at` on: a length of four bytes stands before it."""
    spans: list[tuple[int, int]] = []
    for _ in range(count):
        end = at + 4 + int.from_bytes(body[at : at + 4], "little")
        spans.append((at + 4, end))
        at = end
    if at > len(body):
        raise Unreadable("a page is shorter than its values")
    return spans


def _present(levels: bytes, rows: int, most: int) -> list[bool]:
    return [level == most for level in _hybrid(levels, most.bit_length(), rows)]


def _hybrid(body: bytes, width: int, count: int) -> list[int]:
    """The first `count` numbers of a run of RLE and bit-packed groups."""
    numbers: list[int] = []
    at, whole = 0, (width + 7) // 8
    while len(numbers) < count:
        head, at = _varint(body, at)
        if head & 1:
            size = (head >> 1) * width
            packed = int.from_bytes(body[at : at + size], "little")
            numbers += [(packed >> (width * i)) & ((1 << width) - 1) for i in range((head >> 1) * 8)]
            at += size
        else:
            numbers += [int.from_bytes(body[at : at + whole], "little")] * min(head >> 1, count - len(numbers))
            at += whole
    return numbers[:count]


def _varint(body: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = body[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _struct(body: bytes, at: int) -> tuple[dict[int, Any], int]:
    """A struct of Thrift's compact protocol: field number -> value, and where it ends."""
    fields: dict[int, Any] = {}
    number = 0
    while True:
        head = body[at]
        at += 1
        if head == 0:
            return fields, at
        kind = head & 0x0F
        if head >> 4:
            number += head >> 4
        else:
            coded, at = _varint(body, at)
            number = (coded >> 1) ^ -(coded & 1)
        fields[number], at = _value(body, at, kind)


def _value(body: bytes, at: int, kind: int) -> tuple[Any, int]:
    if kind in (1, 2):
        return kind == 1, at
    if kind == 3:
        return body[at], at + 1
    if kind in (4, 5, 6):
        coded, at = _varint(body, at)
        return (coded >> 1) ^ -(coded & 1), at
    if kind == 7:
        return struct.unpack_from("<d", body, at)[0], at + 8
    if kind == 8:
        length, at = _varint(body, at)
        if at + length > len(body):
            raise IndexError(length)
        return body[at : at + length], at + length
    if kind in (9, 10):
        size = body[at] >> 4
        inner = body[at] & 0x0F
        at += 1
        if size == 15:
            size, at = _varint(body, at)
        values = []
        for _ in range(size):
            value, at = _value(body, at, inner)
            values.append(value)
        return values, at
    if kind == 12:
        return _struct(body, at)
    raise IndexError(kind)
