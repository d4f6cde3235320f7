"""Whole or not at all, and only what dead writers left is swept."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from effrob.files import strict_json, sweep, temporary, whole_file, whole_folder, write_json

ROOT = Path(__file__).resolve().parents[1]


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.bin"
    with whole_file(path) as file:
        file.write(b"one")
    with pytest.raises(RuntimeError), whole_file(path) as file:
        file.write(b"half of two")
        raise RuntimeError
    assert path.read_bytes() == b"one" and [p.name for p in path.parent.iterdir()] == ["a.bin"]


def test_a_folder_appears_whole_and_the_first_writer_stays(tmp_path: Path) -> None:
    for text in ("first", "second"):
        with whole_folder(tmp_path / "f") as draft:
            (draft / "x").write_text(text)
    assert (tmp_path / "f" / "x").read_text() == "first" and len(list(tmp_path.iterdir())) == 1


def test_json_is_strict_and_sorted(tmp_path: Path) -> None:
    assert strict_json({"b": 1, "a": 2}).index('"a"') < strict_json({"b": 1, "a": 2}).index('"b"')
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "x.json", {"a": float("nan")})
    assert not (tmp_path / "x.json").exists()


def test_the_dead_are_swept_and_the_living_are_not(tmp_path: Path) -> None:
    code = "from effrob.files import temporary; from pathlib import Path; print(temporary(Path('a.npy')))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    dead = tmp_path / ended.stdout.strip()
    alive = temporary(tmp_path / "sub" / "b.npy")
    pid, _, start = alive.name.split(".")[-3].partition("-")
    earlier = alive.with_name(
        alive.name.replace(f".{pid}-{start}.", f".{pid}-{int(start) - 1}.")
    )  # its number, used anew
    elsewhere = alive.with_name(alive.name.replace(alive.name.split(".")[-4], "elsewhere-1"))
    old = elsewhere.with_name(elsewhere.name.replace(".b.npy", ".old.npy"))
    folder = dead.with_name(dead.name.replace(".a.npy", ".folder"))
    alive.parent.mkdir()
    folder.mkdir()
    (folder / "inside").write_bytes(b"x")
    not_ours = tmp_path / ".theirs.effrob-tmp"
    for path in (dead, alive, earlier, elsewhere, old, not_ours, tmp_path / "kept.npy"):
        path.write_bytes(b"x")
    os.utime(old, (0, 0))
    assert sweep(tmp_path) == 4
    assert not any(path.exists() for path in (dead, earlier, old, folder))
    assert all(path.exists() for path in (alive, elsewhere, not_ours, tmp_path / "kept.npy"))
