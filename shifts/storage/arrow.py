"""Arrow files of a Hugging Face dataset saved to disk, mapped into memory by pyarrow (extra `effrob[parquet]`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from shifts.bounds.files import read_bytes
from shifts.errors import DataError
from shifts.evidence.columns import names_in, split_column
from shifts.storage.samples import Sample
from shifts.storage.tables import TableTree


class ArrowTree(TableTree):
    """The rows of Arrow files: a dataset saved to disk, mapped into memory."""

    def _samples(self) -> Iterator[Sample]:
        import pyarrow as pa

        number = 0
        for file in self.files:
            try:
                table = self._tables[file]
                image, _, labels, path = self._columns(table.schema)
            except (pa.ArrowException, OSError) as error:
                raise DataError(f"{file} is not a readable Arrow file ({error}); save the dataset anew") from None
            bare = table.select([*labels, *([path] if path and path != image else [])])
            if path == image:
                import pyarrow.compute as pc

                bare = bare.append_column("path of image", pc.struct_field(table.column(image), "path"))
            rows = self._rows(bare, image, False, labels, "path of image" if path == image else path)
            also = self._also(table, self._texts(table.schema, path))
            split = split_column(table.schema)
            splits = self._splits(table, split, self._named(file, split))
            for row, (of, (stored, said)) in enumerate(zip(splits, rows, strict=True)):
                yield Sample(self._name(stored, number, also[row]), said, file, row, split=of, also=also[row])
                number += 1

    @cached_property
    def _tables(self) -> dict[Path, Any]:
        import pyarrow as pa

        tables = {}
        for file in self.files:
            mapped = pa.memory_map(str(file))
            try:
                tables[file] = pa.ipc.open_stream(mapped).read_all()
            except pa.ArrowInvalid:
                tables[file] = pa.ipc.open_file(mapped).read_all()
            tables[file].validate(full=True)  # else a damaged offset reads beyond the file
        return tables

    def _images(self) -> Iterator[tuple[Path, Sequence[Any], Any]]:
        import pyarrow.compute as pc

        for file, table in self._tables.items():
            image, struct, _, _ = self._columns(table.schema)
            values = table.column(image)
            yield file, range(len(values)), pc.struct_field(values, "bytes") if struct else values

    @cached_property
    def _said_names(self) -> Sequence[str] | None:
        told = []
        for file in self.files:
            told.append(self._named(file, self._columns(self._tables[file].schema)[2][0]))
        return self._agreed(told)

    def _named(self, file: Path, column: str | None) -> Sequence[str] | None:
        """The names of a column's values: in the table's schema, or in the description beside it."""
        about = file.parent / "dataset_info.json"
        names = names_in((self._tables[file].schema.metadata or {}).get(b"huggingface"), column)
        return names_in(read_bytes(about), column) if names is None and about.is_file() else names

    def _bytes(self, sample: Sample, path: str) -> bytes:
        table = self._tables[sample.file]
        image, struct, _, _ = self._columns(table.schema)
        value = table.column(image)[sample.place].as_py()
        content = (value or {}).get("bytes") if struct else value
        if content is None:
            raise DataError(
                f"{sample.file} holds {path} without its bytes, as a path alone; save it with its images embedded"
            )
        return bytes(content)
