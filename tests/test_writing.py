"""Whole or not at all, and only what dead writers left is swept."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from effrob.writing import strict_json, sweep, temporary, whole_file, whole_folder, write_json


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
    ended = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True
    )
    dead = temporary(tmp_path / "a.npy")
    dead = dead.with_name(dead.name.replace(f".{os.getpid()}.", f".{ended.stdout.strip()}."))
    alive = temporary(tmp_path / "sub" / "b.npy")
    alive.parent.mkdir()
    for path in (dead, alive, tmp_path / "kept.npy"):
        path.write_bytes(b"x")
    (tmp_path / ".c.npy.elsewhere.1.abcd.effrob-tmp").write_bytes(b"another host's, just written")
    assert sweep(tmp_path) == 1
    assert not dead.exists() and alive.exists() and (tmp_path / "kept.npy").exists()
