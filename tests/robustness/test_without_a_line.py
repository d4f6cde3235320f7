"""Two models where there is no line: accuracies are told apart on the same images, and the sentence says what lacks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.stats import binomtest
from stores import MODELS, ROBUST

from effrob.cli import main
from effrob.errors import NoLine, UsageProblem
from effrob.results.accuracy import Accuracy
from effrob.results.model_result import ModelResult
from effrob.robustness.baselines.baseline import Baseline
from effrob.robustness.compare import compare
from effrob.robustness.fit import fit

CLASSES = ("cat", "dog", "horse")


def run(*args: object, status: int = 0) -> str:
    done = CliRunner().invoke(main, [str(arg) for arg in args])
    assert done.exit_code == status, done.output
    return done.output


def test_a_clean_set_is_compared_image_by_image(results: Path) -> None:
    (row,) = compare(MODELS[6], ROBUST, ["pocket"], results).as_json()
    answers = {}
    for file in results.rglob("record.json"):
        asked = json.loads(file.read_text())["asked"]
        if asked["shift"] == "pocket":
            answers[asked["model"]] = np.load(file.parent / "predictions.npz")["correct"]
    first, second = answers[MODELS[6]], answers[ROBUST]
    only = int((first & ~second).sum()), int((second & ~first).sum())
    assert (row["only_first"], row["only_second"]) == only
    assert row["accuracy_difference"] == pytest.approx(first.mean() - second.mean(), abs=1e-12)
    assert row["mcnemar_p"] == pytest.approx(binomtest(only[0], sum(only)).pvalue, rel=1e-9)
    assert row["effective_robustness_difference"] is None and "clean set" in row["why"]


def test_published_rows_have_their_clean_accuracy_compared_unpaired() -> None:
    (row,) = compare("testbed:resnet101", "testbed:resnet50", ["imagenet"]).as_json()
    assert not row["paired"] and row["mcnemar_p"] is None
    low, high = row["accuracy_difference_ci95"]
    assert low < row["accuracy_difference"] < high
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt((0.774 * 0.226 + 0.7566 * 0.2434) / 50_000), rel=0.02)


def test_a_suite_without_a_baseline_is_compared_and_says_how_to_make_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CONFIG", "CACHE", "BASELINES"):
        monkeypatch.setenv(f"EFFROB_{name}", str(tmp_path / name))
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(5)
    labels = rng.integers(3, size=300)
    for name in ("plain", "drawn"):
        rows = "".join(f"{i},{label}\n" for i, label in enumerate(labels.tolist()))
        Path(f"{name}.csv").write_text("id,label\n" + rows)
    sets = "".join(f'[sets.{name}]\nlabels = "{name}.csv"\n' for name in ("plain", "drawn"))
    Path("zoo.toml").write_text(
        f'[suite]\nname = "zoo"\ntitle = "Zoo"\nclean = "plain"\nshifts = ["drawn"]\nclasses = {json.dumps(CLASSES)}\n{sets}'
    )
    for model, share in (("good", 0.9), ("fair", 0.7)):
        for name in ("plain", "drawn"):
            answer = np.where(rng.random(300) < share, labels, (labels + 1) % 3)
            np.savez(f"{model}-{name}.npz", ids=np.array([str(i) for i in range(300)]), classes=answer)
        beside = ("--clean", f"{model}-plain.npz")
        run("import", f"{model}-drawn.npz", "--model", model, "--suite", "zoo.toml", "--shift", "drawn", *beside)
    told = run("compare", "good", "fair")
    assert "zoo/drawn" in told and "McNemar" in told and "the first is more accurate [paired" in told
    assert "effrob baseline build zoo --suite" in told
    assert "zoo/plain" in run("compare", "good", "fair", "--shift", "zoo/plain")
    refused = run("compare", "good", "fair", "--baseline", "testbed", status=2)
    assert "the baseline has none of zoo/drawn" in refused


def test_members_at_nought_or_one_are_named_as_the_cause() -> None:
    def member(name: str, right: int) -> ModelResult:
        at = Accuracy(right, 100)
        return ModelResult(name, name, {"pocket-r": at}, Accuracy(50 + right // 10, 100), {"pocket-r": at})

    whole = Baseline("few", tuple(member(f"m{i}", [0, 100, 0, 50, 60, 70][i]) for i in range(6)), "effrob", "test")
    with pytest.raises(NoLine, match=r"of the 6 of baseline few, 3 stand at 0 or 1 .*m0, m1, m2\).*more images"):
        fit("pocket-r", whole)


def test_a_wrong_option_is_no_missing_line() -> None:
    with pytest.raises(UsageProblem, match="no axis is named"):
        compare("testbed:resnet101", "testbed:resnet50", axis="cleen")
