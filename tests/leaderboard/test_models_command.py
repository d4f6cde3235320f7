"""`effrob models`: what is known of a model, without loading weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from effrob.cli import main
from effrob.leaderboard.gather import gather
from effrob.leaderboard.render import as_json
from effrob.robustness.lines import LineOptions


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def _run(*args: str) -> Result:
    return CliRunner().invoke(main, ["models", *args], catch_exceptions=False)


def test_a_spec_shows_card_pixels_default_weights_published_accuracies_and_cache() -> None:
    done = _run("openclip:ViT-B-32", "--json")
    (facts,) = json.loads(done.stdout)
    assert done.exit_code == 0 and facts["model"] == "openclip:ViT-B-32@laion2b_s34b_b79k"
    assert facts["asked"] == "openclip:ViT-B-32" and "default" in facts["notes"][0]
    assert facts["pixels"]["size"] == [224, 224] and facts["pixels"]["interpolation"] == "bicubic"
    assert facts["card"]["trained_on"] == "LAION-2B-en" and facts["card"]["samples_seen"] == 34_000_000_000
    assert facts["card"]["sources"] and facts["cached"] == []
    rows = [row for row in as_json(gather([], "all").board(LineOptions())) if row["model"] == facts["model"]]
    assert len(facts["published"]) == len(rows) >= 3
    by_source = {f"published:{row['source']}": row for row in facts["published"]}
    for row in rows:
        shown = by_source[row["source"]]
        assert shown["imagenet"] == row["clean_full"] and shown["protocol"] == row["protocol"]
        for shift, cell in row["shifts"].items():
            assert shown[shift] == pytest.approx(cell["accuracy"])


def test_the_words_say_the_same_for_readers() -> None:
    text = _run("openclip:ViT-B-32").stdout
    for words in ("laion2b_s34b_b79k", "LAION-2B-en", "bicubic", "contrastive", "imagenet-r 76.43 %", "cached"):
        assert words in text


def test_timm_models_find_their_published_rows_and_unknown_names_their_neighbours() -> None:
    (facts,) = json.loads(_run("timm:resnet50.a1_in1k", "--json").stdout)
    assert {row["source"] for row in facts["published"]} == {"timm"}
    assert facts["card"]["trained_on"] == "ImageNet-1k" and facts["card"]["supervision"] == "labels"
    wrong = _run("openclip:ViT-B-33")
    assert wrong.exit_code == 2 and "ViT-B-32" in wrong.stderr and "Traceback" not in wrong.stderr


def test_the_list_names_every_architecture_with_its_default() -> None:
    rows = json.loads(_run("--json").stdout)
    defaults = {row["model"]: row["default"] for row in rows}
    assert defaults["openclip:ViT-B-32"] == "laion2b_s34b_b79k" and "pocket:clip" in defaults
    assert len(rows) > 80
