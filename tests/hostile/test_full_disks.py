"""A disk that is really full: the sentence names disk and file, nothing half-written lies there, the next run goes on."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from effrob.errors import describe_error
from tests.hostile.kill_commands import ROOT, answers, importing, litter

ROOM = 64 << 10  # bytes of the disk


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own with 64 kB, of which a file takes all but some kilobytes."""
    place = tmp_path / "tiny"
    place.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"tmpfs", os.fsencode(place), b"tmpfs", 0, f"size={ROOM}".encode()) != 0:
        pytest.skip("no disk can be mounted here")
    try:
        (place / "filler").write_bytes(bytes(ROOM - 4096))
        yield place
    finally:
        libc.umount2(os.fsencode(place), 2)


def effrob(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    own = {f"EFFROB_{each}": str(folder / each.lower()) for each in ("CONFIG", "CACHE", "BASELINES")}
    environment = os.environ | own | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)} | variables
    return subprocess.run(
        [sys.executable, "-m", "effrob", *words], cwd=folder, env=environment, capture_output=True, text=True
    )


BOARD = ("leaderboard", "--published", "systems", "--results")


@pytest.mark.parametrize("what", ["board", "page", "import", pytest.param("baseline", marks=pytest.mark.slow)])
def test_a_full_disk_is_named_and_nothing_is_left_on_it(
    what: str, tiny: Path, tmp_path: Path, pocket_data: Path
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    answers(work, pocket_data)
    if what == "baseline":
        for number in range(5):
            assert effrob(work, *importing(work, number)).returncode == 0
    models = [word for number in range(5) for word in ("--model", f"m{number}")]
    words = {
        "board": [*BOARD, str(work / "none"), "--format", "csv", "--out", str(tiny / "board.csv")],
        "page": [*BOARD, str(work / "none"), "--format", "html", "--out", str(tiny / "site")],
        "import": [*importing(work, 0)[:-1], str(tiny / "results")],
        "baseline": ["baseline", "build", "five", *models, "--suite", "pocket", "--shift", "pocket-r", "--data",
                     str(pocket_data), "--results", str(work / "results"), "--device", "cpu", "--out", str(tiny)],
    }[what]  # fmt: skip
    done = effrob(work, *words, EFFROB_DATA=str(pocket_data))
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert f"disk is full (mounted at {tiny}, " in done.stderr and f"{tiny}/" in done.stderr, done.stderr
    assert litter(tiny) == []
    (tiny / "filler").unlink()
    if what in ("import", "baseline"):
        again = effrob(work, *words, EFFROB_DATA=str(pocket_data))
        assert again.returncode == 0, again.stderr


def test_the_disk_is_told_by_where_it_is_mounted(tmp_path: Path) -> None:
    said = describe_error(OSError(28, "No space left on device", str(tmp_path / "a" / "b")))
    assert said.startswith(f"{tmp_path}/a/b: the disk is full (mounted at /") and "MB free); free some space" in said
    assert "mounted" not in describe_error(OSError(13, "Permission denied", str(tmp_path)))
