"""Files that anybody may have written, read whole and within bounds."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pytest

from shifts.bounds import files
from shifts.bounds.files import InputRefused, read_bytes


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 100_001])
def test_a_file_is_read_whole(tmp_path: Path, size: int) -> None:
    file = tmp_path / "file"
    file.write_bytes(content := os.urandom(size))
    assert read_bytes(file) == content
    assert read_bytes(file, size) == content
    if size:
        with pytest.raises(InputRefused, match=f"{size - 1:,} are read at most"):
            read_bytes(file, size - 1)


def test_no_more_memory_is_taken_than_a_file_needs(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(os.urandom(100_000))
    tracemalloc.start()
    try:
        read_bytes(file, 1 << 30)
        assert tracemalloc.get_traced_memory()[1] < 250_000
    finally:
        tracemalloc.stop()


def test_a_file_that_grows_is_read_to_its_end_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of such a file the size that was asked is no longer the one it has."""
    file, content = tmp_path / "file", os.urandom(50_000)
    file.write_bytes(content)
    stat = os.fstat

    def earlier(handle: int) -> os.stat_result:
        return os.stat_result((*stat(handle)[:6], 1000, *stat(handle)[7:]))

    monkeypatch.setattr(files.os, "fstat", earlier)
    assert read_bytes(file) == content
    with pytest.raises(InputRefused, match="more than the 2,000 bytes"):
        read_bytes(file, 2000)


def test_a_file_that_states_no_size_is_read(tmp_path: Path) -> None:
    stated_empty = Path("/proc/version")
    if not stated_empty.is_file() or stated_empty.stat().st_size:
        pytest.skip("there is no file here that states no size and has content")
    assert read_bytes(stated_empty) == stated_empty.read_bytes() != b""
