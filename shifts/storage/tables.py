"""Tables of images as the Hugging Face hub stores them, as Parquet files; `arrow` reads those of a dataset saved to disk.

Columns: `image` (bytes and path), and any of `label`, `wnid`, ...; the names that the table's schema gives its labels
count. pyarrow reads them (extra `effrob[parquet]`): labels and paths when the set is opened, images a page at a time later.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from shifts.bounds.arrow import check_claims, lengths
from shifts.classes import ClassFolders, plain_folders
from shifts.errors import DataError, DataMissing
from shifts.evidence.columns import (
    IMAGE_COLUMNS,
    LABEL_COLUMNS,
    PATH_COLUMNS,
    holds_bytes,
    is_label,
    names_in,
    said_splits,
    split_column,
)
from shifts.evidence.label_names import names_beside
from shifts.storage.parquet_pages import PagedColumn, Unreadable
from shifts.storage.samples import Sample, SampleTree
from shifts.storage.tree import is_image


def _pyarrow(path: Path) -> Any:
    try:
        import pyarrow as pa
    except ImportError:
        raise DataMissing(f"{path} is read by pyarrow: pip install 'effrob[parquet]'") from None
    return pa


class TableTree(SampleTree):
    """The rows of some tables as images by path `CLASS/FILE`. files: in the order that rows count."""

    def __init__(self, path: Path, files: Sequence[Path], classes: ClassFolders) -> None:
        _pyarrow(path)
        super().__init__(path, classes)
        self.files = tuple(file.resolve() for file in files)

    def _columns(self, schema: Any) -> tuple[str, bool, list[str], str | None]:
        """(image column, whether it is a struct of bytes, label columns, path column) of a table's schema."""
        import pyarrow as pa

        lower = {name.lower(): name for name in schema.names}
        images = [
            lower[name] for name in IMAGE_COLUMNS if name in lower and holds_bytes(schema.field(lower[name]).type, pa)
        ] or [
            name
            for name in schema.names
            if pa.types.is_struct(schema.field(name).type) and holds_bytes(schema.field(name).type, pa)
        ]
        if not images:
            raise DataError(
                f"{self.where} has no column of images ({', '.join(schema.names)}); a column `image` of bytes is wanted"
            )
        labels = [lower[name] for name in LABEL_COLUMNS if name in lower and lower[name] != images[0]]
        labels = [name for name in labels if is_label(schema.field(name).type, pa)]
        if not labels:
            raise DataError(
                f"{self.where} has no column of labels ({', '.join(schema.names)}); a column `label` or `wnid` is wanted"
            )
        struct = bool(pa.types.is_struct(schema.field(images[0]).type))
        held = [field.name for field in schema.field(images[0]).type] if struct else []
        path = images[0] if "path" in held else next((lower[name] for name in PATH_COLUMNS if name in lower), None)
        return images[0], struct, labels, path

    def _rows(
        self, table: Any, image: str, struct: bool, labels: Sequence[str], path: str | None
    ) -> Iterator[tuple[str | None, tuple[Any, ...]]]:
        """(stored name, labels) of each row of a table that was read without images."""
        names: Sequence[Any] = [None] * len(table)
        if path is not None:
            column = table.column(path)
            names = (
                [(each or {}).get("path") for each in column.to_pylist()]
                if path == image and struct
                else column.to_pylist()
            )
        said = [table.column(name).to_pylist() for name in labels]
        for name, *values in zip(names, *said, strict=True):
            yield (None if name is None else str(name)), tuple(value for value in values if value is not None)

    def _size_of(self, sample: Sample) -> int:
        return 0 if (sample.file, sample.place) in self._empty else 1

    @cached_property
    def _empty(self) -> frozenset[tuple[Path, Any]]:
        """File and place of each row whose image has no bytes, or none at all."""
        return frozenset(
            (file, place)
            for file, places, values in self._images()
            for place, size in zip(places, lengths(values).to_pylist(), strict=True)
            if not size
        )

    @staticmethod
    def _splits(table: Any, column: str | None, names: Sequence[str] | None) -> list[str | None]:
        """What a column says of the split of each row."""
        return [None] * len(table) if column is None else said_splits(column, table.column(column).to_pylist(), names)

    @staticmethod
    def _texts(schema: Any, path: str | None) -> list[str]:
        """Columns of names beside the one that images are called by."""
        import pyarrow as pa

        held = [name for name in schema.names if name.lower() in PATH_COLUMNS and name != path]
        return [name for name in held if pa.types.is_string(schema.field(name).type)]

    @staticmethod
    def _also(table: Any, texts: Sequence[str]) -> list[tuple[str, ...]]:
        """What these columns hold for each row."""
        columns = [table.column(name).to_pylist() for name in texts]
        rows = zip(*columns, strict=True) if columns else ((),) * len(table)
        return [tuple(value for value in row if value) for row in rows]

    @staticmethod
    def _name(stored: str | None, number: int, also: Sequence[str] = ()) -> str:
        """A row's name: the stored one, else that of another column, else its number; an image suffix where it has none."""
        name = (
            (stored or next(filter(is_image, also), None) or f"{number:08d}")
            .replace("\\", "/")
            .removeprefix("./")
            .lstrip("/")
        )
        return name if is_image(name.rpartition("/")[2].lstrip(".")) else f"{name}.jpg"

    def _agreed(self, told: Sequence[Sequence[str] | None]) -> Sequence[str] | None:
        """What every file calls its labels. DataError where two files differ."""
        for file, names in zip(self.files, told, strict=True):
            if names != told[0]:
                raise DataError(
                    f"{file} and {self.files[0]} name their labels differently, so one number is two classes; "
                    f"keep the files of one copy"
                )
        return told[0]

    @cached_property
    def _said_names(self) -> Sequence[str] | None:
        return None

    def _class_names(self) -> Sequence[str] | None:
        if self._said_names is not None:
            return self._said_names
        folders = dict.fromkeys(file.parent for file in self.files)
        return names_beside([*folders, *(folder.parent for folder in folders)], self.classes)


class ParquetTree(TableTree):
    """The rows of Parquet files."""

    def _samples(self) -> Iterator[Sample]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        number = 0
        for file in self.files:
            try:
                opened = pq.ParquetFile(file, memory_map=False)
                image, struct, labels, path = self._columns(opened.schema_arrow)
                split = split_column(opened.schema_arrow)
                about = (opened.schema_arrow.metadata or {}).get(b"huggingface")
                texts = self._texts(opened.schema_arrow, path)
                wanted = [
                    *([split] if split else []),
                    *labels,
                    *([f"{image}.path" if path == image else path] if path else []),
                    *texts,
                ]
                check_claims(file, opened.metadata, wanted)
                for group in range(opened.num_row_groups):
                    table = opened.read_row_group(group, columns=wanted)
                    splits = self._splits(table, split, names_in(about, split))
                    also = self._also(table, texts)
                    rows = zip(splits, self._rows(table, image, struct, labels, path), strict=True)
                    for row, (of, (stored, said)) in enumerate(rows):
                        name = self._name(stored, number, also[row])
                        yield Sample(name, said, file, (group, row), split=of, also=also[row])
                        number += 1
            except (pa.ArrowException, OSError) as error:
                first = str(error).partition("\n")[0]
                raise DataError(f"{file} is not a readable Parquet file ({first}); fetch it anew") from None

    @cached_property
    def _said_names(self) -> Sequence[str] | None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        told = []
        for file in self.files:
            try:
                schema = pq.read_schema(file)
            except (pa.ArrowException, OSError):
                return None
            labels = self._columns(schema)[2]
            told.append(names_in((schema.metadata or {}).get(b"huggingface"), labels[0]))
        return self._agreed(told)

    @property
    def names(self) -> Sequence[str] | None:
        """What the schema calls labels 0, 1, ...; None where it does not."""
        return self._said_names

    def label_texts(self) -> Sequence[str] | None:
        """The different labels, sorted, where they are texts; None where they are numbers."""
        import pyarrow.parquet as pq

        texts: set[str] = set()
        for file in self.files:
            label = self._columns(pq.read_schema(file))[2][0]
            values = pq.read_table(file, columns=[label], read_dictionary=[label]).column(label).unique().to_pylist()
            if any(isinstance(value, int) for value in values):
                return None
            texts.update(value for value in values if value is not None)
        return sorted(texts)

    @cached_property
    def _readers(self) -> dict[Path, Any]:
        import pyarrow.parquet as pq

        readers: dict[Path, Any] = {}
        for file in self.files:
            opened = pq.ParquetFile(file)
            image, struct, _, _ = self._columns(opened.schema_arrow)
            try:
                readers[file] = PagedColumn(file, opened.metadata, f"{image}.bytes" if struct else image)
            except Unreadable:
                readers[file] = None
        return readers

    def _bytes(self, sample: Sample, path: str) -> bytes:
        group, row = sample.place
        reader = self._readers[sample.file]
        value: bytes | None = None
        try:
            value = reader.read(group, row) if reader is not None else self._by_group(sample)
        except Unreadable:
            self._readers[sample.file] = None
            value = self._by_group(sample)
        if value is None:
            raise DataError(
                f"{sample.file} holds {path} without its bytes, as a path alone; make the copy with its images embedded"
            )
        return value

    def _images(self) -> Iterator[tuple[Path, Sequence[Any], Any]]:
        import pyarrow.parquet as pq

        for file in self.files:
            image, struct, _, _ = self._columns(pq.read_schema(file))
            column = f"{image}.bytes" if struct else image
            opened = pq.ParquetFile(file, read_dictionary=[column])  # one image of many rows is read once
            for group in range(opened.num_row_groups):
                values = opened.read_row_group(group, columns=[column]).column(image).combine_chunks()
                yield file, [(group, row) for row in range(len(values))], values.field("bytes") if struct else values

    def _by_group(self, sample: Sample) -> bytes | None:
        """The value by pyarrow, a row group at a time: for encodings that pages are not read in."""
        import pyarrow.parquet as pq

        group, row = sample.place
        if self._last_group[0] != (sample.file, group):
            opened = pq.ParquetFile(sample.file)
            image, struct, _, _ = self._columns(opened.schema_arrow)
            check_claims(sample.file, opened.metadata, [f"{image}.bytes" if struct else image], group)
            column = (
                opened.read_row_group(group, columns=[f"{image}.bytes" if struct else image])
                .column(image)
                .combine_chunks()
            )
            self._last_group = ((sample.file, group), column.field("bytes") if struct else column)
        value: bytes | None = self._last_group[1][row].as_py()
        return value

    _last_group: tuple[Any, Any] = (None, None)


def named_labels(files: Sequence[Path]) -> Sequence[str]:
    """What the classes of some tables are called: by the schema, or as their label texts. DataError for bare numbers."""
    _pyarrow(files[0])
    tree = ParquetTree(files[0], files, plain_folders("", ()))
    names = tree.names
    if names is not None:
        return names
    texts = tree.label_texts()
    if texts is None:
        raise DataError(
            f"{files[0]} labels its images by numbers and does not name them; list the classes in the suite file, in order"
        )
    return texts
