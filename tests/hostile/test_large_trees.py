"""A folder that is no results folder, but half of a disk: the walk ends with a sentence, in time that does not depend on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from effrob.errors import UsageProblem
from effrob.results import verification
from effrob.results.verification import record_files


def test_a_walk_that_finds_next_to_nothing_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "LOOKED", 40)
    for at in range(30):
        (tmp_path / "some" / f"{at:02d}" / "deep").mkdir(parents=True)
    with pytest.raises(UsageProblem, match=r"41 folders were looked through and 0 records found; name the folder"):
        record_files(tmp_path)


def test_records_are_found_in_order_wherever_they_lie_but_in_hidden_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verification, "LOOKED", 4)
    places = [f"m{k % 3}/shift-{k}/native-{k:02d}" for k in range(20)]
    for place in [*places, ".draft/x/y", "m0/.shift/z"]:
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "record.json").touch()
    assert record_files(tmp_path) == sorted(tmp_path / place / "record.json" for place in places)
    assert record_files(tmp_path / "nowhere") == []
