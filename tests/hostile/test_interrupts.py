"""Ctrl-C ends in one sentence that says what is kept and blames no file."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from effrob.cli import main
from effrob.leaderboard import gather, write
from shifts.bounds import files
from shifts.bounds.pictures import open_picture
from tests.shifts.small_trees import encoded


@pytest.mark.parametrize("phase", ["reading", "judging", "writing"])
def test_an_interrupt_is_one_sentence(phase: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    where = {"reading": (gather, "verified"), "judging": (gather.Gathered, "rows"), "writing": (write, "whole_file")}
    monkeypatch.setattr(*where[phase], interrupted)
    asked = ["leaderboard", "--results", str(tmp_path), "--published", "systems", "--format", "csv"]
    done = CliRunner().invoke(main, [*asked, "--out", str(tmp_path / "board.csv")])
    assert done.exit_code == 130 and "is whole and kept" in done.stderr and "Traceback" not in done.stderr
    assert str(tmp_path) not in done.stderr and done.stderr.count("\n") == 1 and not (tmp_path / "board.csv").exists()


def test_an_interrupt_inside_a_picture_or_an_array_blames_neither(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(KeyboardInterrupt), open_picture(encoded()):
        raise KeyboardInterrupt
    monkeypatch.setattr(files, "_check_header", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(KeyboardInterrupt):
        files.read_array(tmp_path / "a.npy")
