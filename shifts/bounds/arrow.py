"""Arrow and parquet tables that anybody may have written: of bounded size, and checked before a value of theirs is touched.

pyarrow trusts the offsets in a file: without a check a damaged one reads beyond its memory and ends the process.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from shifts.bounds.files import ARRAYS, TABLE, open_regular


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


def checked_table(table: Any) -> Any:
    """The table. Raises pyarrow.ArrowInvalid where its offsets lead out of its buffers, ValueError where it is too large."""
    table.validate(full=True)
    if table.nbytes > ARRAYS:
        raise ValueError(f"it holds {table.nbytes:,} bytes, and {ARRAYS:,} are read at most")
    return table
