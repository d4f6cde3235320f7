"""The intervals of a whole board are those of one model after another."""

from __future__ import annotations

import numpy as np
import pytest

from effrob.leaderboard.judging.intervals import keep_intervals
from effrob.results.accuracy import Accuracy
from effrob.robustness.baselines.catalogue import baseline
from effrob.robustness.effective import Effective
from effrob.robustness.fit import fit


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
