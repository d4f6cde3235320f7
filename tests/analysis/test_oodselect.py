"""Subsets that fool the line: found where one was put in, not found where there is none, and scored on held-out models."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm, pearsonr

from effrob.analysis.oodselect import fooling_subset
from effrob.errors import UsageProblem


def world(seed: int, fooled: int, models: int = 24, images: int = 1000) -> tuple[np.ndarray, np.ndarray]:
    """Answers on a line, and `fooled` first images that models get wrong the more, the better they are on clean data."""
    rng = np.random.default_rng(seed)
    x = np.linspace(-0.5, 1.5, models)
    heights = 0.8 * x[:, None] - 0.5 + rng.normal(scale=0.5, size=images)
    heights[:, :fooled] = 0.5 - 1.5 * x[:, None] + rng.normal(scale=0.3, size=fooled)
    return norm.cdf(x), rng.random((models, images)) < norm.cdf(heights)


def test_a_subset_that_was_put_in_is_found_and_breaks_the_line_on_held_out_models() -> None:
    clean, correct = world(0, 200)
    found = fooling_subset(clean, correct, 0.2)
    assert np.isin(found.images, np.arange(200)).mean() > 0.9
    assert found.selected < -0.8 < found.null95[0] and found.p_value < 0.01
    by_hand = pearsonr(norm.ppf(clean), norm.ppf(correct[:, found.images].mean(axis=1).clip(0.0025, 0.9975)))[0]
    assert found.selected == pytest.approx(by_hand, abs=0.1)


def test_where_every_image_follows_the_line_selection_on_other_models_breaks_nothing() -> None:
    """Chosen and scored on the same models the worst fifth would look broken; held-out models do not agree."""
    for seed in range(5):
        clean, correct = world(seed, 0)
        found = fooling_subset(clean, correct, 0.2)
        assert found.whole > 0.9 and found.selected > 0.5


@pytest.mark.parametrize(
    ("models", "share", "words"), [(4, 0.2, "at least 8 models"), (24, 0.0, "a share in"), (24, 0.001, "10 images")]
)
def test_too_little_is_a_sentence(models: int, share: float, words: str) -> None:
    clean, correct = world(0, 0, models)
    with pytest.raises(UsageProblem, match=words):
        fooling_subset(clean, correct, share)


def test_the_command_reads_records_and_asks_for_enough_models(evaluated: object) -> None:
    from click.testing import CliRunner

    from effrob.cli import main

    done = CliRunner().invoke(main, ["subsets", "--shift", "pocket-r"], catch_exceptions=False)
    assert done.exit_code == 2 and "at least 8 models, and 4 were given" in done.stderr
    none = CliRunner().invoke(main, ["subsets", "--shift", "imagenet-r"], catch_exceptions=False)
    assert none.exit_code == 2 and "no record on imagenet-r" in none.stderr


def test_the_command_lists_the_images_of_many_models(tmp_path: object) -> None:
    import json

    from click.testing import CliRunner

    from effrob.cli import main
    from tests.honest import small_sets
    from tests.leaderboard.conftest import submit

    with small_sets():
        for i in range(10):
            submit(tmp_path, f"model-{i}", "imagenet-r", 0.3 + 0.05 * i, clean=0.5 + 0.04 * i)  # type: ignore[arg-type]
        done = CliRunner().invoke(
            main, ["subsets", "--shift", "imagenet-r", "--results", str(tmp_path), "--json"], catch_exceptions=False
        )
    row = json.loads(done.stdout)
    assert row["n_models"] == 10 and len(row["ids"]) == row["n_images"] == 200 and row["correlation"] > 0.9
