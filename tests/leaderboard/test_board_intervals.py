"""The intervals of a whole board are those of one model after another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from effrob.leaderboard.analyses import analyses
from effrob.leaderboard.gather import gather
from effrob.leaderboard.judging.intervals import keep_intervals
from effrob.results.accuracy import Accuracy, clopper_pearson, clopper_pearsons
from effrob.robustness.baselines.catalogue import baseline
from effrob.robustness.effective import Effective
from effrob.robustness.fit import fit
from effrob.robustness.lines import LineOptions


@pytest.mark.parametrize("scale", ["logit", "probit"])
@pytest.mark.parametrize("shift", ["imagenet-v2", "imagenet-a"])
def test_a_board_and_single_models_have_the_same_intervals(scale: str, shift: str) -> None:
    line, rng = fit(shift, baseline("testbed"), "clean", scale), np.random.default_rng(0)
    pairs = [
        (Accuracy(int(a), 10_000), Accuracy(int(b), 2_000)) for a, b in rng.integers([1, 0], [10_000, 2_001], (300, 2))
    ]
    together, alone = ([Effective(line, clean, shifted) for clean, shifted in pairs] for _ in range(2))
    keep_intervals(together)
    kept = 0
    for one, other in zip(together, alone):
        kept += "pi95" in vars(one)
        for name in ("ci95", "pi95", "model_variances"):
            if one.place is not None:
                assert getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-12, abs=1e-14)
        assert one.verdict == other.verdict
    assert kept == 300


def test_intervals_of_accuracies_are_those_of_one_accuracy_to_the_last_bit() -> None:
    rng = np.random.default_rng(0)
    n = rng.integers(1, 50_000, 500).astype(float)
    k = n * np.concatenate([[0.0, 1.0], rng.random(498)])
    low, high = clopper_pearsons(k, n)
    assert list(zip(low.tolist(), high.tolist())) == [clopper_pearson(*each) for each in zip(k.tolist(), n.tolist())]
    assert (low[0], high[1]) == (0.0, 1.0)


def test_a_page_keeps_the_very_intervals_that_a_board_has(tmp_path: Path) -> None:
    gathered, chosen = gather([tmp_path], "timm"), LineOptions(scale="probit")
    pages = {row.model: row for each in analyses(gathered, chosen).values() for row in each.rows}
    seen = 0
    for row in gathered.board(chosen).rows:
        for shift, cell in row.cells.items():
            one, other = cell.effective, pages[row.model].cells[shift].effective
            assert cell.accuracy_ci95 == pages[row.model].cells[shift].accuracy.clopper_pearson()
            assert (one is None) == (other is None)
            if one is not None and other is not None:
                assert (one.ci95, one.pi95) == (other.ci95, other.pi95)
                seen += one.pi95 is not None
    assert seen > 1000
