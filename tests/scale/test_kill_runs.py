"""Three killed runs end as one that nobody disturbed; `python -m tests.kill_runs` does fifty. And the check can fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from effrob.features.cache import SHARD_ROWS
from tests.kill_runs import IN_FLIGHT, Run, Setting, campaign, forwarded, tally


@pytest.mark.engine
def test_three_killed_runs_end_as_an_undisturbed_one(pocket_data: Path, tmp_path: Path) -> None:
    models = ("pocket:mlp", "pocket:cnn-small")
    setting = Setting(models, ("native",), pocket_data, shifts=("pocket-r", "pocket-sketch"))
    ended = campaign(setting, runs=3, seed=7, scratch=tmp_path)
    assert all(run.ok for run in ended), tally(ended)
    assert sum(run.was_killed for run in ended) == 3


def test_a_run_that_differs_redoes_too_much_or_leaves_litter_is_not_ok() -> None:
    good = Run(1.0, True, 9, SHARD_ROWS + IN_FLIGHT, True, 0)
    assert good.ok
    assert not Run(1.0, True, 9, 1, False, 0).ok
    assert not Run(1.0, True, 9, SHARD_ROWS + IN_FLIGHT + 1, True, 0).ok
    assert not Run(1.0, True, 9, 1, True, 1).ok
    assert tally([good]).startswith("1 of 1 ended byte-equal; 1 were killed")


def test_a_torn_line_of_the_log_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("a 0 64\na 1 64\na 1 8\na 1 6")
    assert forwarded(tmp_path / "log") == {("a", 0): 64, ("a", 1): 72} and forwarded(tmp_path / "none") == {}
