"""The line on threads: its ratio, its settings, and its neighbour."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from benchmarks.measure import Cost
from benchmarks.processes import threads


def test_the_dearest_setting_is_held_against_the_cheapest() -> None:
    found = threads.finding("a path", {"1": [1.0, 1.2, 9.0], "2": [1.5, 1.8, 1.4], "unset": [1.3, 1.3, 1.3]})
    assert (
        found.measured == "the worst, 2: 1.25 (1.17 to 1.50)" and found.reference == "the best setting: 1" and found.met
    )
    assert not threads.finding("a path", {"1": [1.0], "2": [1.31]}).met


@pytest.mark.parametrize("setting", threads.SETTINGS)
def test_a_setting_holds_whatever_this_process_has(setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    command = [*threads.under(setting), "-c", "import os; print(os.environ.get('OMP_NUM_THREADS', 'unset'))"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == setting


def test_each_setting_is_measured_quiet_and_beside_a_neighbour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    neighbours: list[int] = []
    started = subprocess.Popen

    def popen(*about: object, **more: object) -> subprocess.Popen[bytes]:
        made = started(*about, **more)  # type: ignore[call-overload]
        neighbours.append(made.pid)
        return made  # type: ignore[no-any-return]

    seen: list[tuple[str, bool]] = []

    def evaluation(setting: str, root: Path) -> Cost:
        seen.append((setting, bool(neighbours)))
        return Cost(1.0, 2.0)

    monkeypatch.setattr(threads.subprocess, "Popen", popen)
    monkeypatch.setattr(threads, "evaluation", evaluation)
    monkeypatch.setattr(threads, "probe_paths", lambda setting, root: [0.3, 0.2, 0.1])
    found = threads.beside_a_neighbour(tmp_path, 2)
    assert sorted(seen) == sorted((each, busy) for each in threads.SETTINGS for busy in (False, True) for _ in range(2))
    assert len(found) == 6 and all(each.met for each in found) and len(neighbours) == 1
    with pytest.raises(ProcessLookupError):
        os.kill(neighbours[0], 0)
