"""Kills of the quick commands, and several writers at once; `python -m tests.hostile.kill_commands` does fifty of every one."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from shifts import layout
from shifts.bounds.kept import change_file
from shifts.storage import kept_places
from tests.hostile.kill_commands import campaign, litter, together


@pytest.mark.parametrize("name", ["where", "leaderboard"])
def test_killed_commands_lose_and_leave_nothing(name: str, pocket_data: Path, tmp_path: Path) -> None:
    kills = 1 if name == "leaderboard" else 2
    tally = campaign(name, pocket_data, tmp_path, kills=kills, seed=3)
    assert tally.ok and tally.killed == kills, tally


def test_places_kept_at_once_are_all_kept(pocket_data: Path) -> None:
    """Eight writers, as threads: of two that read the file together, one's place was lost."""
    names = ["pocket", "pocket-r", "pocket-a", "pocket-v2", "pocket-sketch", "imagenet-r", "imagenet-a", "objectnet"]
    threads = [threading.Thread(target=layout.keep_place, args=(name, pocket_data)) for name in names]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(kept_places.kept_places()) == sorted(names)


def test_what_a_killed_writer_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".places.json.k1ll3d.draft").write_text("{")
    change_file(tmp_path / "places.json", lambda: json.dumps({}))
    assert litter(tmp_path) == [] and (tmp_path / "places.json").read_text() == "{}"


def test_a_change_that_is_refused_changes_nothing(tmp_path: Path) -> None:
    def refused() -> str:
        raise ValueError("no")

    (tmp_path / "places.json").write_text("old")
    with pytest.raises(ValueError, match="no"):
        change_file(tmp_path / "places.json", refused)
    assert (tmp_path / "places.json").read_text() == "old" and litter(tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["import", "baseline", "leaderboard", "where"])
def test_fifty_kills_and_two_to_four_at_once_lose_and_leave_nothing(
    name: str, pocket_data: Path, tmp_path: Path
) -> None:
    tally = campaign(name, pocket_data, tmp_path, kills=50, seed=0)
    assert tally.ok and tally.killed == 50, tally
    for processes in (2, 3, 4):
        shared = together(name, pocket_data, tmp_path / str(processes), processes)
        assert shared.ok, shared
