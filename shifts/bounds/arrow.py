"""Arrow and parquet tables that anybody may have written: of bounded size, and checked before a value of theirs is touched.

pyarrow trusts the offsets in a file: without a check a damaged one reads beyond its memory and ends the process. A value
that a dictionary holds once stands in as many rows as a few bytes say: what they take is counted before any is laid out.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shifts.bounds.files import ARRAYS, TABLE, open_regular
from shifts.errors import DataError

ROW = 8  # bytes of a file that a row of images takes at least
GROUP = ARRAYS  # bytes of columns of a row group that are read at once
WIDTHS = {
    "BOOLEAN": 1,
    "INT32": 4,
    "INT64": 8,
    "INT96": 12,
    "FLOAT": 4,
    "DOUBLE": 8,
}  # bytes of a value, by physical type
SMALL = 8  # a part of what is read at most: what cannot exceed it is not counted
OFFSET = 4  # bytes beside each value that has a length


def read_arrow(path: Path) -> Any:
    """The `pyarrow.Table` of a feather or parquet file, told by its suffix. Raises OSError, ValueError and ArrowException."""
    import pyarrow as pa
    from pyarrow import feather, parquet

    with open_regular(path, TABLE) as file:
        if path.suffix.lower() != ".parquet":
            return checked_table(feather.read_table(pa.PythonFile(file, mode="r"), memory_map=False))
        about = parquet.ParquetFile(file)
        held = sum(about.metadata.row_group(i).total_byte_size for i in range(about.metadata.num_row_groups))
        if held > ARRAYS:
            raise ValueError(f"it claims {held:,} bytes of columns, and {ARRAYS:,} are read at most")
        groups = range(about.metadata.num_row_groups)
        swollen = sum(laid_out(file, about.metadata, group, None, ARRAYS // len(groups)) for group in groups)
        if swollen > ARRAYS:
            raise ValueError(
                f"its rows take {swollen:,} bytes once each has its value, and {ARRAYS:,} are read at most"
            )
        return checked_table(about.read())


def check_claims(file: Path, metadata: Any, columns: Sequence[str], group: int | None = None) -> None:
    """Raises DataError where a parquet file of images claims more rows, or more bytes of these columns, than are read.

    columns  names, or dotted paths;  group  one row group alone, and not each
    """
    size = file.stat().st_size
    most = 1000 + size // ROW
    if metadata.num_rows > most:
        raise DataError(
            f"{file} claims {metadata.num_rows:,} rows of images, and its {size:,} bytes hold {most:,} at most; fetch it anew"
        )
    for number in range(metadata.num_row_groups) if group is None else [group]:
        try:
            chunks = _chunks(metadata, number)
        except ValueError as error:
            raise DataError(f"{file} is damaged ({error}); fetch it anew") from error
        read = [each for each in chunks if {each.path_in_schema, each.path_in_schema.partition(".")[0]} & set(columns)]
        held = sum(each.total_uncompressed_size for each in read)
        if held > GROUP:
            raise DataError(
                f"{file} claims {held:,} bytes in row group {number}, and {GROUP:,} are read at most; write smaller row groups"
            )
        swollen = laid_out(file, metadata, number, columns, GROUP)
        if swollen > GROUP:
            raise DataError(
                f"{file} takes {swollen:,} bytes in row group {number} once each row has its value, and {GROUP:,} are read at "
                "most; write smaller row groups"
            )


def laid_out(file: Any, metadata: Any, group: int, columns: Sequence[str] | None, most: int) -> int:
    """Bytes that the values of a row group's columns take once each row holds its own, and none is laid out.

    file  a path, or an open file;  columns  names, or dotted paths; None for all
    most  bytes that may be read: columns that cannot take SMALL of it together are left out
    """
    chunks = _chunks(metadata, group)
    widths = {metadata.schema.column(i).path: metadata.schema.column(i).length for i in range(metadata.num_columns)}
    if columns is not None:
        chunks = [
            each for each in chunks if {each.path_in_schema, each.path_in_schema.partition(".")[0]} & set(columns)
        ]
    total, repeated = 0, []
    for chunk in chunks:
        values = max(0, chunk.num_values)
        if chunk.physical_type != "BYTE_ARRAY":
            total += values * WIDTHS.get(chunk.physical_type, max(1, widths[chunk.path_in_schema]))
        elif values * (chunk.total_uncompressed_size + OFFSET) > most // SMALL // len(chunks):
            repeated.append(chunk.path_in_schema)
    if total > most or not repeated:
        return total
    from pyarrow import parquet

    opened = parquet.ParquetFile(file, read_dictionary=repeated)
    table = opened.read_row_group(group, columns=repeated)
    table.validate(full=True)
    return total + _decoded_table(table)


def _chunks(metadata: Any, group: int) -> list[Any]:
    """The columns of a row group. Raises ValueError where they are called otherwise there than in the schema."""
    chunks = [metadata.row_group(group).column(i) for i in range(metadata.num_columns)]
    for number, chunk in enumerate(chunks):
        named = metadata.schema.column(number).path
        if chunk.path_in_schema != named:
            raise ValueError(f"its column {named!r} is called {chunk.path_in_schema!r} in row group {group}")
    return chunks


def _decoded_table(table: Any) -> int:
    """Bytes of a table's columns with dictionaries laid out; none is."""
    return sum(decoded(chunk) for column in table.columns for chunk in column.chunks)


def decoded(array: Any) -> int:
    """Bytes of an array whose dictionaries, at any depth, are laid out; none is."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = array.type
    if pa.types.is_dictionary(kind):
        words = array.dictionary
        if not (_has_lengths(words.type, pa)):
            return int(array.nbytes + len(array) * (decoded(words) // max(1, len(words)) + 1))
        return OFFSET * len(array) + int(pc.sum(pc.cast(lengths(array), pa.int64())).as_py() or 0)
    if pa.types.is_struct(kind):
        return sum(decoded(array.field(i)) for i in range(kind.num_fields))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return OFFSET * len(array) + decoded(array.flatten())
    return int(array.nbytes)


def lengths(array: Any) -> Any:
    """Bytes of each value of an array of texts or bytes, null for a null; a dictionary is not laid out."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(array.type):
        return pc.binary_length(array.dictionary).take(array.indices)
    return pc.binary_length(array)


def _has_lengths(kind: Any, pa: Any) -> bool:
    types = pa.types
    return bool(
        types.is_string(kind) or types.is_binary(kind) or types.is_large_string(kind) or types.is_large_binary(kind)
    )


def checked_table(table: Any) -> Any:
    """The table. Raises pyarrow.ArrowInvalid where its offsets lead out of its buffers, ValueError where it is too large."""
    table.validate(full=True)
    held = max(table.nbytes, _decoded_table(table))
    if held > ARRAYS:
        raise ValueError(f"it holds {held:,} bytes, and {ARRAYS:,} are read at most")
    return table
