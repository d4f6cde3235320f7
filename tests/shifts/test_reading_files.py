"""Files that anybody may have written, read whole and within bounds."""

from __future__ import annotations

import io
import os
import threading
import time
import tracemalloc
from pathlib import Path

import pytest

from shifts.bounds import files
from shifts.bounds.files import InputRefused, read_bytes
from tests.processor import slowness


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


def test_a_file_that_is_written_all_the_while_comes_to_an_end(tmp_path: Path) -> None:
    """A byte more each time that it is read on; it is never copied for each of them."""
    file, stop = tmp_path / "file", threading.Event()
    file.write_bytes(bytes(24 << 20))

    def append() -> None:
        with file.open("ab", buffering=0) as end:
            while not stop.wait(0.0005):
                end.write(b"x")

    writer = threading.Thread(target=append)
    writer.start()
    try:
        begun = time.process_time()
        content = read_bytes(file)
        assert len(content) >= 24 << 20 and time.process_time() - begun < 2 * slowness()
    finally:
        stop.set()
        writer.join()


@pytest.mark.parametrize("name", ["/proc/version", "/proc/sys/kernel/pid_max"])
def test_a_file_that_states_no_size_is_read(name: str) -> None:
    """Some of them give everything at once or never."""
    stated_empty = Path(name)
    if not stated_empty.is_file() or stated_empty.stat().st_size:
        pytest.skip("there is no file here that states no size and has content")
    assert read_bytes(stated_empty) == stated_empty.read_bytes() != b""


def test_what_gives_nothing_now_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Waits(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: object) -> None:
            return None

        def fileno(self) -> int:
            return handle

    (tmp_path / "file").touch()
    with (tmp_path / "file").open("rb") as opened:
        handle = opened.fileno()
        monkeypatch.setattr(files, "open_regular", lambda path, most: io.BufferedReader(Waits()))
        with pytest.raises(InputRefused, match="nothing to read now"):
            read_bytes(tmp_path / "file")
