"""Real answers, no pictures: 30 networks on CIFAR-10 and CIFAR-10.1 (Recht et al. 2018) as a suite of label files."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import effrob
from effrob.cli import main
from effrob.robustness.baselines.built import load

SETS = ("original", "v4", "v6")
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
# Accuracy on CIFAR-10 and CIFAR-10.1 (v4) in percent, of the paper (arXiv 1806.00451); the answers in the folder give the same.
PAPER = {
    "shake_shake_26_2x64d_SSI_cutout16": (97.1, 93.0),
    "wrn_28_10_cutout16": (97.0, 92.0),
    "shake_shake_26_2x96d_SSI": (97.1, 91.9),
    "wrn_28_10": (95.9, 89.7),
    "resnet_basic_32": (92.5, 84.9),
    "vgg_15_BN_64": (93.0, 84.9),
    "cudaconvnet": (88.5, 77.5),
    "random_features_256k_aug": (85.6, 73.1),
}


def run(*args: object) -> Any:
    done = CliRunner().invoke(main, [str(arg) for arg in args])
    assert done.exit_code == 0, done.output
    return done


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, np.ndarray]]]:
    import os

    file = Path(os.environ.get("EFFROB_REAL", "nowhere")) / "cifar10_1" / "cifar10_1.npz"
    if not file.is_file():
        pytest.skip("real answers are not here (EFFROB_REAL)")
    folder = tmp_path_factory.mktemp("networks")
    with np.load(file) as held:
        answers = {name: held[name] for name in held.files}
    for name in SETS:
        with (folder / f"{name}.csv").open("w", newline="") as out:
            csv.writer(out).writerows([("id", "label"), *enumerate(answers[f"labels_{name}"].tolist())])
    (folder / "cifar.toml").write_text(
        f"""[suite]
name = "cifar10.1"
title = "CIFAR-10.1"
clean = "original"
shifts = ["v4", "v6"]
classes = {json.dumps(CLASSES)}
baseline = "networks"
{"".join(f'[sets.{name}]{chr(10)}labels = "{name}.csv"{chr(10)}' for name in SETS)}
"""
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EFFROB_BASELINES", str(folder / "baselines"))
        patch.setenv("EFFROB_CONFIG", str(folder / "config"))
        patch.setenv("EFFROB_CACHE", str(folder / "cache"))
        patch.chdir(folder)
        load.cache_clear()
        for model in sorted(name.removeprefix("v4/") for name in answers if name.startswith("v4/")):
            for name in SETS:
                ids = np.array([str(i) for i in range(len(answers[f"{name}/{model}"]))])
                np.savez(folder / f"{model}-{name}.npz", ids=ids, classes=answers[f"{name}/{model}"])
            for name in SETS[1:]:
                beside = ("--clean", f"{model}-original.npz")
                run(
                    "import", f"{model}-{name}.npz", "--model", model, "--suite", "cifar.toml", "--shift", name, *beside
                )
        members = [word for name in sorted(answers) if name.startswith("v4/") for word in ("--model", name[3:])]
        run("baseline", "build", "networks", "--suite", "cifar.toml", *members)
        yield folder, answers


@pytest.fixture(autouse=True)
def at_home(networks: tuple[Path, dict[str, np.ndarray]], _own_home: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The baseline that was built is at hand in every test of this file."""
    monkeypatch.chdir(networks[0])
    monkeypatch.setenv("EFFROB_BASELINES", str(networks[0] / "baselines"))
    load.cache_clear()


def test_accuracies_are_those_of_the_answers(networks: tuple[Path, dict[str, np.ndarray]]) -> None:
    _, answers = networks
    board = json.loads(run("leaderboard", "--published", "none", "--format", "json").stdout)
    assert len(board) == 30 and {row["source"] for row in board} == {"imported"}
    for row in board:
        for name in ("v4", "v6"):
            right = answers[f"{name}/{row['model']}"] == answers[f"labels_{name}"]
            assert row["shifts"][f"cifar10.1/{name}"]["accuracy"] == pytest.approx(right.mean(), abs=1e-12)
        clean = answers[f"original/{row['model']}"] == answers["labels_original"]
        assert row["clean_full"] == pytest.approx(clean.mean(), abs=1e-12)


def test_accuracies_are_the_papers(networks: tuple[Path, dict[str, np.ndarray]]) -> None:
    board = {
        row["model"]: row for row in json.loads(run("leaderboard", "--published", "none", "--format", "json").stdout)
    }
    for model, (clean, v4) in PAPER.items():
        assert round(100 * board[model]["clean_full"], 1) == clean
        assert round(100 * board[model]["shifts"]["cifar10.1/v4"]["accuracy"], 1) == v4


def test_both_shifts_have_a_line_and_it_is_the_least_squares_one(networks: tuple[Path, dict[str, np.ndarray]]) -> None:
    _, answers = networks
    models = sorted(name[3:] for name in answers if name.startswith("v4/"))
    share = {s: np.array([(answers[f"{s}/{m}"] == answers[f"labels_{s}"]).mean() for m in models]) for s in SETS}
    lines = {row["shift"]: row for row in json.loads(run("fit", "--baseline", "networks", "--json").stdout)}
    for name in ("v4", "v6"):
        x, y = (np.log(share[s] / (1 - share[s])) for s in ("original", name))
        slope, intercept = np.polyfit(x, y, 1)
        line = lines[f"cifar10.1/{name}"]
        assert line["n"] == 30 and line["slope"] == pytest.approx(slope, abs=1e-9)
        assert line["intercept"] == pytest.approx(intercept, abs=1e-9) and line["r2"] > 0.98


def test_intervals_are_paired_and_narrower_for_it(networks: tuple[Path, dict[str, np.ndarray]]) -> None:
    again = ("--suite", "cifar.toml", "--shift", "v6", "--clean", "wrn_28_10-original.npz", "--json")
    (row,) = [json.loads(run("import", "wrn_28_10-v6.npz", "--model", "wrn_28_10", *again).stdout)]
    assert row["origin"] == row["source"] == "imported" and row["baseline"] == "networks"
    assert "conservative-interval" not in row["flags"] and "in-baseline" in row["flags"]
    given = effrob.assess(
        effrob.fit("cifar10.1/v6", "networks").without(["wrn_28_10"]),
        effrob.Accuracy.of(row["clean_accuracy"], 10_000),
        effrob.Accuracy.of(row["accuracy"], 2000),
    )
    assert given.effective_robustness == pytest.approx(row["effective_robustness"], abs=1e-12)
    low, high = row["effective_robustness_ci95"]
    assert given.ci95 is not None and high - low < given.ci95[1] - given.ci95[0]
    assert row["accuracy_top5"] is None and row["record"] and Path(row["record"]).is_dir()


def test_two_networks_are_compared_on_the_same_images(networks: tuple[Path, dict[str, np.ndarray]]) -> None:
    _, answers = networks
    one, two = "shake_drop", "resnet_basic_110"
    found = json.loads(run("compare", one, two, "--baseline", "networks", "--json").stdout)
    assert {row["shift"] for row in found} == {"cifar10.1/v4", "cifar10.1/v6"}
    for row in found:
        name = row["shift"].partition("/")[2]
        labels = answers[f"labels_{name}"]
        difference = (answers[f"{name}/{one}"] == labels).mean() - (answers[f"{name}/{two}"] == labels).mean()
        assert row["paired"] and row["first_source"] == row["second_source"] == "imported"
        assert row["accuracy_difference"] == pytest.approx(difference, abs=1e-12)


def test_agreement_without_labels_predicts_the_accuracies(networks: tuple[Path, dict[str, np.ndarray]]) -> None:
    kept = effrob.baseline("networks")
    assert kept.answers is not None and len(kept.members) == 30
    for name in ("cifar10.1/v4", "cifar10.1/v6"):
        line = effrob.agreement_on_the_line(kept.answers.clean[name], kept.answers.shift[name])
        assert line.holds and line.error(kept.answers.shift[name].correct.mean(axis=1))[1] < 0.03


def test_boards_say_imported_and_the_suites_name(networks: tuple[Path, dict[str, np.ndarray]]) -> None:
    board = run("leaderboard", "--published", "none", "--format", "md").stdout
    assert "Imported, cifar10.1 suite" in board and "shake\\_drop" in board and "ImageNet" not in board
    page = run("leaderboard", "--published", "none", "--format", "html", "--out", "site")
    assert page.exit_code == 0 and '"imported"' in Path("site/data/board.js").read_text(encoding="utf-8")
    run("plot", "--published", "none", "--shift", "cifar10.1/v6", "--out", "figure.png")
    assert Path("figure.png").stat().st_size > 10_000


def test_other_answers_under_the_same_name_are_refused(networks: tuple[Path, dict[str, np.ndarray]]) -> None:
    words = ("import", "wrn_28_10-v6.npz", "--model", "shake_drop", "--suite", "cifar.toml", "--shift", "v6")
    refused = CliRunner().invoke(main, [*words, "--clean", "shake_drop-original.npz"])
    assert refused.exit_code == 1 and "holds other" in refused.output and "Traceback" not in refused.output
    wrong = CliRunner().invoke(main, ["import", "wrn_28_10-v4.npz", "--model", "x", *words[4:]])
    assert wrong.exit_code == 2 and "no image of cifar10.1/v6" in wrong.output
