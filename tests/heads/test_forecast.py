"""A probe's cost is said before it starts: by its own device's pace, and by the memory formula that its record has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from effrob.heads import probe
from effrob.heads.classifier import Training
from effrob.heads.forecast import PASSES, ProbeForecast, forecast
from effrob.logistic.feature_blocks import FeatureBlocks
from effrob.logistic.regularization_path import fit_path

N, D, K = 1500, 12, 4


@pytest.fixture
def kept(tmp_path: Path) -> np.memmap:
    """Features in a file, as the cache has them."""
    rng = np.random.default_rng(0)
    targets = np.arange(N) % K
    np.save(tmp_path / "x.npy", (rng.normal(size=(N, D)) + rng.normal(size=(K, D))[targets]).astype(np.float32))
    return np.load(tmp_path / "x.npy", mmap_mode="r")


def test_memory_is_that_of_the_record_and_time_grows_with_rows_and_strengths(
    kept: np.memmap, monkeypatch: pytest.MonkeyPatch
) -> None:
    targets = np.arange(N) % K
    blocks = FeatureBlocks.measure(kept)
    assert blocks.resident is None
    ticks = iter(range(100))
    monkeypatch.setattr("effrob.heads.forecast.time.perf_counter", lambda: float(next(ticks)))  # a second a pass
    one, four = (forecast(blocks, targets, K, strengths) for strengths in (1, 4))
    assert one.seconds == pytest.approx(PASSES) and four.seconds == pytest.approx(4 * PASSES)
    part = FeatureBlocks.measure(kept, block_rows=100)
    assert forecast(part, targets, K, 1).seconds == pytest.approx(PASSES * N / 400)
    (point,) = fit_path(blocks, targets, K, [1.0])
    assert one.memory == point.report.memory and one.streamed
    assert not forecast(blocks.in_memory(), targets, K, 1).streamed


def test_a_long_probe_says_so_before_the_first_pass(
    kept: np.memmap, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train = Training("imagenet-train", "m", kept, np.arange(N), np.arange(N) % K, K, "penultimate")
    probe.Probe().fit(None, None, train)  # type: ignore[arg-type]
    assert capsys.readouterr().err == "", "a short one says nothing"

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(probe, "WORTH_SAYING", 0.0)
    monkeypatch.setattr(probe, "MAX_RESIDENT", 0)
    monkeypatch.setattr(probe, "RegularizationPath", stop)
    with pytest.raises(KeyboardInterrupt):
        probe.Probe().fit(None, None, train)  # type: ignore[arg-type]
    said = capsys.readouterr().err
    assert "linear-probe of m: the probe learns from 1,500 rows of 12 features and 4 classes" in said
    assert "read from the cache in every pass" in said and "on cpu for 15 strengths at most" in said


def test_hours_and_gigabytes_are_written_as_such() -> None:
    said = str(ProbeForecast(1_281_167, 1024, 1000, 15, "cuda", 4 * 3600.0, 620_000_000, True))
    assert "about 4.0 h on cuda" in said and "up to 0.6 GB beside" in said
    assert "about 20 s on cpu for one strength" in str(ProbeForecast(9_000, 64, 20, 1, "cpu", 20.0, 9_000_000, False))
