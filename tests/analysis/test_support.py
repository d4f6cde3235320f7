"""The support split: density ratios against the densities themselves and nearest neighbours, lines against a hand fit."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.special import expit, logit
from scipy.stats import multivariate_normal, spearmanr
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from effrob.analysis.support import density_ratios, part_lines
from effrob.cli import main
from effrob.errors import UsageProblem
from effrob.results.answers import PredictionMatrix
from effrob.robustness.line import BaselineLine
from effrob.robustness.scale import LOGIT

DIMENSIONS, AWAY = 6, 4.0


@pytest.fixture(scope="module")
def world() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(clean, shifted features, whether a shifted image was drawn as clean ones are): half of the shift lies `AWAY` off."""
    rng = np.random.default_rng(0)
    clean, shifted = rng.normal(size=(1500, DIMENSIONS)), rng.normal(size=(1000, DIMENSIONS))
    near = np.arange(1000) < 500
    shifted[~near, 0] += AWAY
    return clean, shifted, near


def test_density_ratios_are_those_of_the_densities(world: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    clean, shifted, near = world
    at_clean, at_away = (multivariate_normal(np.eye(DIMENSIONS)[0] * at) for at in (0.0, AWAY))
    true = at_clean.pdf(shifted) / (0.5 * at_clean.pdf(shifted) + 0.5 * at_away.pdf(shifted))
    found = density_ratios(clean, shifted)
    assert spearmanr(found.ratio, true)[0] > 0.9
    assert ((found.ratio >= 0.2) == (true >= 0.2)).mean() > 0.93
    assert ((found.ratio >= 0.2) == near).mean() > 0.9  # the densities themselves: 0.97
    assert abs(np.log(found.ratio[near] / true[near])).mean() < 0.7  # a ratio, not only an order


def test_nearest_neighbours_agree_on_what_is_near(world: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    clean, shifted, _ = world
    rows = np.concatenate([clean, shifted])
    around = NearestNeighbors(n_neighbors=41).fit(rows).kneighbors(shifted, return_distance=False)[:, 1:]
    share_clean = (around < len(clean)).mean(axis=1)
    by_neighbours = share_clean / np.maximum(1 - share_clean, 1 / 80) * len(shifted) / len(clean) >= 0.2
    found = density_ratios(clean, shifted)
    assert ((found.ratio >= 0.2) == by_neighbours).mean() > 0.95


def test_one_distribution_is_all_in_support_and_two_worlds_share_nothing() -> None:
    rng = np.random.default_rng(1)
    clean = rng.normal(size=(600, 64))
    same = density_ratios(clean, rng.normal(size=(300, 64)))
    assert 0.4 < same.auc < 0.6 and (same.ratio >= 0.2).all() and np.median(same.ratio) == pytest.approx(1, abs=0.2)
    apart = density_ratios(clean, rng.normal(size=(300, 64)) + 3)
    assert apart.auc > 0.999 and (apart.ratio < 0.2).all()


def test_what_says_nothing_is_a_sentence() -> None:
    rng = np.random.default_rng(2)
    clean = rng.normal(size=(100, 4))
    with pytest.raises(UsageProblem, match="30 of each, and 5 are shifted: evaluate the whole set"):
        density_ratios(clean, clean[:5])
    with pytest.raises(UsageProblem, match="found 4 and 3 numbers an image"):
        density_ratios(clean, clean[:, :3])
    broken = clean.copy()
    broken[3] = np.nan
    with pytest.raises(UsageProblem, match="shifted images are not finite"):
        density_ratios(clean, broken)


def measured(
    rng: np.random.Generator, models: int = 12
) -> tuple[BaselineLine, PredictionMatrix, PredictionMatrix, np.ndarray, np.ndarray, np.ndarray]:
    """A line, answers, and a mask of the near half, which holds the easy class: far images are harder by 2 logits."""
    ability = np.linspace(-1, 2, models + 1)
    target = np.repeat([0, 1], 2000)
    easy = np.where(target == 0, 1.0, -1.0)
    near = np.concatenate([np.arange(2000) < 1600, np.arange(2000) < 400])
    clean_right = rng.random((models + 1, 4000)) < expit(ability[:, None] + easy)
    shift_right = rng.random((models + 1, 4000)) < expit(0.8 * ability[:, None] + easy - np.where(near, 0.0, 2.0))
    names, ids = tuple(f"m{i}" for i in range(models)), np.arange(4000).astype(str)
    predicted = np.zeros((models, 4000), np.int64)
    shift = PredictionMatrix(names, ids, target, shift_right[:-1], predicted)
    clean = PredictionMatrix(names, ids, target, clean_right[:-1], predicted)
    x, y = clean.correct.mean(axis=1), shift.correct.mean(axis=1)
    line = BaselineLine(LOGIT, names, names, x, y, np.full(models, 4000.0), np.full(models, 4000.0))
    return line, shift, clean, shift_right[-1], clean_right[-1], near


def test_each_part_has_the_line_of_its_images_at_its_own_mix_of_classes() -> None:
    line, shift, clean, on_shift, on_clean, near = measured(np.random.default_rng(3))
    found = part_lines(line, shift, clean, on_shift, on_clean, (near, ~near))
    for part, mask in zip(found, (near, ~near)):
        share = np.array([(shift.target[mask] == c).mean() for c in (0, 1)])
        x = sum(share[c] * clean.correct[:, clean.target == c].mean(axis=1) for c in (0, 1))
        mine = sum(share[c] * on_clean[clean.target == c].mean() for c in (0, 1))
        slope, intercept = np.polyfit(logit(x), logit(shift.correct[:, mask].mean(axis=1)), 1)
        expected = on_shift[mask].mean() - expit(slope * logit(mine) + intercept)
        assert part.line is not None and part.line.slope == pytest.approx(slope) and part.n == mask.sum()
        assert part.effective_robustness == pytest.approx(expected) and part.clean == pytest.approx(mine)
        assert part.ci95 is not None and part.ci95[0] < expected < part.ci95[1]
    assert found[0].clean > found[1].clean  # the near part holds the easy class, for every model alike
    assert abs(found[0].effective_robustness or 1) < 0.04 and abs(found[1].effective_robustness or 1) < 0.04


def test_intervals_hold_what_another_measurement_gives() -> None:
    """A model on the line: of twenty measurements, both parts' intervals hold 0 about as often as they say."""
    held = []
    for seed in range(10):
        *measurement, near = measured(np.random.default_rng(100 + seed))
        for part in part_lines(*measurement, (near, ~near), draws=200):
            assert part.ci95 is not None
            held.append(part.ci95[0] <= 0 <= part.ci95[1])
    assert sum(held) >= 17


def test_one_part_is_the_whole_shift_where_all_is_near() -> None:
    line, shift, clean, on_shift, on_clean, near = measured(np.random.default_rng(4))
    whole, nothing = part_lines(line, shift, clean, on_shift, on_clean, (near | True, near & False))
    by_hand = on_shift.mean() - expit(line.at(float(logit(on_clean.mean()))))
    assert whole.effective_robustness == pytest.approx(by_hand) and nothing.why == "no image is in it"
    (few,) = part_lines(line, shift, clean, on_shift, on_clean, (np.arange(4000) < 7,))
    assert few.line is None and few.why == "a line wants 30 images, and 7 are in it"


def run(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(main, ["support", *arguments], catch_exceptions=False)
    return done.exit_code, done.stdout, done.stderr


def test_the_command_says_it_of_records_and_draws_it(evaluated: object, tmp_path: Path) -> None:
    status, out, _ = run(
        "pocket:clip", "pocket:reference", "--shift", "pocket-r", "--json", "--out", str(tmp_path / "parts.png")
    )
    document = json.loads(out)
    assert status == 0 and (tmp_path / "parts.png").read_bytes()[:4] == b"\x89PNG"
    ratios = np.array([each["density_ratio"] for each in document["images"]])
    inside = np.array([each["in_support"] for each in document["images"]])
    assert np.array_equal(inside, ratios >= 0.2) and 30 < inside.sum() == document["n_in_support"] < 570
    for model in document["models"]:
        near, far = model["parts"]
        assert near["n"] + far["n"] == document["n"]
        whole = (near["n"] * near["accuracy"] + far["n"] * far["accuracy"]) / document["n"]
        assert whole == pytest.approx({"pocket:clip": 0.27, "pocket:reference": 0.438333}[model["model"]], abs=1e-6)
        assert model["difference"] == pytest.approx(near["effective_robustness"] - far["effective_robustness"])


def test_a_shift_that_is_all_near_has_the_number_of_eval(evaluated: object) -> None:
    status, out, _ = run("pocket:clip", "--shift", "pocket-v2")
    assert status == 0 and "600 of 600 images" in out and "+0.1 [" in out and "no line: no image is in it" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("pocket:clip --shift pocket-r --threshold 0", "a density ratio over 0"),
        ("pocket:clip --shift pocket-r --axis full", "only --axis clean"),
        ("pocket:clip --shift pocket", "has no clean view"),
        ("pocket:clip --shift pocket-r --out p.jpg", "ends in .png, .pdf, .svg"),
        ("pocket:clip --shift pocket-r --baseline testbed", "effrob baseline"),
        ("pocket:clip --shift pocket-r --features pocket:mlp", "are not in the cache"),
        ("pocket:nobody --shift pocket-r", "no record of pocket:nobody"),
    ],
)
def test_bad_input_is_a_sentence(evaluated: object, arguments: str, words: str) -> None:
    status, out, err = run(*shlex.split(arguments))
    assert status == 2 and words in err and err.count("\n") == 1 and not out


def test_the_classifier_behind_the_number_is_one_that_did_not_see_the_image() -> None:
    """Fitted and scored on the same images, noise in many dimensions would be told apart."""
    rng = np.random.default_rng(5)
    clean, shifted = rng.normal(size=(120, 200)), rng.normal(size=(120, 200))
    found = density_ratios(clean, shifted)
    assert found.auc == pytest.approx(0.5, abs=0.12)
    from sklearn.linear_model import LogisticRegression

    rows, kind = np.concatenate([clean, shifted]), np.arange(240) < 120
    seen = LogisticRegression(max_iter=1000).fit(rows, kind).decision_function(rows)
    assert roc_auc_score(kind, seen) > 0.99
