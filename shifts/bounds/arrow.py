"""Arrow and parquet tables that anybody may have written: of bounded size, and checked before a value of theirs is touched.

pyarrow trusts the offsets in a file: without a check a damaged one reads beyond its memory and ends the process.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shifts.bounds.files import ARRAYS, TABLE, open_regular
from shifts.errors import DataError

ROW = 8  # bytes of a file that a row of images takes at least
GROUP = ARRAYS  # bytes of columns of a row group that are read at once


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
        chunks = [metadata.row_group(number).column(i) for i in range(metadata.num_columns)]
        read = [each for each in chunks if {each.path_in_schema, each.path_in_schema.partition(".")[0]} & set(columns)]
        held = sum(each.total_uncompressed_size for each in read)
        if held > GROUP:
            raise DataError(
                f"{file} claims {held:,} bytes in row group {number}, and {GROUP:,} are read at most; write smaller row groups"
            )


def checked_table(table: Any) -> Any:
    """The table. Raises pyarrow.ArrowInvalid where its offsets lead out of its buffers, ValueError where it is too large."""
    table.validate(full=True)
    if table.nbytes > ARRAYS:
        raise ValueError(f"it holds {table.nbytes:,} bytes, and {ARRAYS:,} are read at most")
    return table
