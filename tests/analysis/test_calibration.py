"""Calibration error and selective prediction against independent computations, and the command on evaluated models."""

from __future__ import annotations

import json
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from sklearn.calibration import calibration_curve

from effrob.analysis.calibration import calibration, mass_bins, width_bins
from effrob.analysis.selective import risk_coverage, selective_prediction
from effrob.cli import main
from effrob.errors import UsageProblem


def drawn(seed: int, n: int, bias: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Confidences, and answers right with that probability less `bias`."""
    rng = np.random.default_rng(seed)
    confidence = rng.beta(4, 1.5, size=n)
    return confidence, rng.random(n) < np.clip(confidence - bias, 0, 1)


@pytest.mark.parametrize("seed", range(5))
def test_both_calibration_errors_are_those_of_scikit_learns_curve(seed: int) -> None:
    confidence, correct = drawn(seed, 3000, 0.1)
    found = calibration(confidence, correct, bins=10, draws=50)
    truth, stated = calibration_curve(correct, confidence, n_bins=10, strategy="uniform")
    counts = np.histogram(confidence, bins=np.linspace(0, 1, 11))[0]
    assert found.ece == pytest.approx((np.abs(truth - stated) * counts[counts > 0]).sum() / 3000)
    assert [each.accuracy for each in found.bins] == pytest.approx(list(truth))
    truth, stated = calibration_curve(correct, confidence, n_bins=10, strategy="quantile")
    assert found.ece_equal_mass == pytest.approx(np.abs(truth - stated).mean(), abs=1e-3)


def test_bins_hold_their_upper_edge_and_equal_numbers() -> None:
    assert width_bins(np.array([0.0, 0.1, 0.10001, 0.5, 1.0]), 10).tolist() == [0, 0, 1, 4, 9]
    sizes = np.bincount(mass_bins(np.random.default_rng(0).random(103), 10))
    assert sizes.sum() == 103 and set(sizes.tolist()) == {10, 11}


def test_the_error_of_a_calibrated_model_is_what_chance_alone_gives_and_bias_is_seen() -> None:
    within = [(found := calibration(*drawn(seed, 2000), draws=200)).ece - found.ece_if_calibrated for seed in range(20)]
    assert abs(float(np.mean(within))) < 0.003
    biased = calibration(*drawn(3, 2000, 0.2), draws=200)
    assert biased.ece_ci95[0] > biased.ece_if_calibrated and biased.confidence - biased.accuracy == pytest.approx(
        0.2, abs=0.03
    )


def test_the_interval_covers_the_bias_that_was_put_in() -> None:
    """A constant overconfidence of 0.2 has calibration error 0.2 exactly: nominal 95 % of the intervals hold it."""
    inside = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        confidence = rng.uniform(0.4, 0.9, size=1500)
        found = calibration(confidence, rng.random(1500) < confidence - 0.2, draws=200)
        inside += found.ece_ci95[0] <= 0.2 <= found.ece_ci95[1]
    assert inside >= 53


def test_risk_coverage_with_ties_is_the_mean_over_every_order() -> None:
    score, correct = np.array([0.9, 0.5, 0.5, 0.5, 0.1]), np.array([True, False, True, False, True])
    orders = [(0, *middle, 4) for middle in permutations((1, 2, 3))]
    by_hand = np.mean([np.cumsum(~correct[list(order)]) / np.arange(1, 6) for order in orders], axis=0)
    assert risk_coverage(score, correct) == pytest.approx(by_hand)


@pytest.mark.parametrize("seed", range(3))
def test_the_area_is_the_mean_risk_of_a_plain_loop_and_the_best_order_loses_nothing(seed: int) -> None:
    score, correct = drawn(seed, 400)
    found = selective_prediction(score, correct, draws=50)
    order = sorted(range(400), key=lambda i: -score[i])
    risks = [sum(not correct[i] for i in order[:k]) / k for k in range(1, 401)]
    assert found.aurc == pytest.approx(sum(risks) / 400) and found.risk_at(1.0) == pytest.approx(1 - correct.mean())
    assert found.risk_at(0.5) == pytest.approx(risks[199])
    assert selective_prediction(correct.astype(float), correct, draws=10).excess_aurc == pytest.approx(0)
    assert found.excess_aurc > 0 and found.aurc_ci95[0] < found.aurc < found.aurc_ci95[1]


@pytest.mark.parametrize(
    ("confidence", "words"),
    [([], "a confidence an image"), ([0.5, np.nan], "hold no confidence"), ([0.5, 1.5], r"lies in \[0, 1\]")],
)
def test_what_cannot_be_measured_is_a_sentence(confidence: list[float], words: str) -> None:
    with pytest.raises(UsageProblem, match=words):
        calibration(np.array(confidence), np.ones(len(confidence), dtype=bool))


def _run(*words: str) -> object:
    return CliRunner().invoke(main, ["calibration", *words], catch_exceptions=False)


def test_the_command_measures_what_was_kept(evaluated: object, tmp_path: Path) -> None:
    done = _run("pocket:clip", "pocket:resnet", "--shift", "pocket-r", "--json", "--out", str(tmp_path / "chart.svg"))
    rows = json.loads(done.stdout)  # type: ignore[attr-defined]
    assert [row["model"] for row in rows] == ["pocket:clip", "pocket:resnet"]
    folder = next(Path("effrob-results/pocket-resnet/pocket-r").iterdir())
    kept = np.load(folder / "predictions.npz")
    assert int(kept["schema"]) == 2 and kept["entropy"].dtype == np.float32
    truth, stated = calibration_curve(kept["correct"], kept["confidence"], n_bins=15)
    counts = np.histogram(kept["confidence"], bins=np.linspace(0, 1, 16))[0]
    assert rows[1]["ece"] == pytest.approx((np.abs(truth - stated) * counts[counts > 0]).sum() / len(kept["correct"]))
    assert rows[1]["clean"]["ece"] < rows[1]["ece"] and rows[1]["overconfidence"] > 0.2
    assert "pocket-r" in (tmp_path / "chart.svg").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("pocket:clop",), "no record of pocket:clop lies below"),
        (("pocket:clip", "--shift", "pocket-q"), "has no record on pocket-q"),
        (("pocket:clip", "--head", "native"), "known: zero-shot"),
        (("pocket:clip", "--bins", "1"), "at least 2 bins"),
        (("pocket:clip", "--shift", "pocket-r", "--out", "x.gif"), ".png, .pdf, .svg"),
    ],
)
def test_bad_input_is_a_sentence(words: tuple[str, ...], said: str, evaluated: object) -> None:
    done = _run(*words)
    assert done.exit_code == 2 and said in done.stderr and "Traceback" not in done.stderr  # type: ignore[attr-defined]
