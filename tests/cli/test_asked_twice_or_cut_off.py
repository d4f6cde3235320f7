"""What a command line says of options given twice, closed pipes, ranks without an engine, and figures with nothing to draw."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from click.testing import Result as Ran

from effrob.cli import main
from effrob.evaluation.data import load_shift
from effrob.evaluation.worker import ENCODERS


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    yield
    load_shift.cache_clear()
    ENCODERS.clear()


def run(*words: str) -> Ran:
    return CliRunner().invoke(main, list(words))


@pytest.fixture
def results(tmp_path: Path, pocket_data: Path) -> Path:
    """Two models of the pocket suite, one of them by two protocols."""
    common = ["--data", str(pocket_data), "--cache", str(tmp_path / "c"), "--results", str(tmp_path / "r")]
    for words in (["--model", "pocket:mlp"], ["--model", "pocket:clip", "--prompts", "simple"]):
        for protocol in ("effrob", "testbed"):
            shift = ["--shift", "pocket-sketch", "--protocol", protocol]
            done = run("eval", "--suite", "pocket", *words, *shift, *common)
            assert done.exit_code == 0, done.output + done.stderr
    return tmp_path / "r"


@pytest.mark.parametrize(
    "words",
    [
        ("eval", "--model", "pocket:mlp", "--protocol", "effrob", "--protocol", "testbed"),
        ("plot", "--axis", "full", "--axis", "clean"),
        ("baseline", "show", "pocket", "--results", "a", "--results", "b"),
    ],
)
def test_an_option_of_one_value_given_twice_is_refused(words: tuple[str, ...]) -> None:
    done = run(*words)
    assert done.exit_code == 2 and f"{words[-2]} takes one value and was given twice" in done.stderr


def test_options_of_several_values_may_come_again() -> None:
    assert run("fit", "--shift", "imagenet-r", "--shift", "objectnet").exit_code == 0


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    command = f"{sys.executable} -m effrob leaderboard | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == "" and len(done.stdout.splitlines()) == 1


def test_ranks_without_an_engine_for_them_are_refused(
    monkeypatch: pytest.MonkeyPatch, pocket_data: Path, tmp_path: Path
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    folders = ["--data", str(pocket_data), "--results", str(tmp_path / "r"), "--cache", str(tmp_path / "c")]
    done = run("eval", "--suite", "pocket", "--model", "pocket:mlp", *folders)
    assert done.exit_code == 2 and "--engine torchrun" in done.stderr and not (tmp_path / "r").exists()


def test_a_figure_with_nothing_on_its_axis_says_which_axis_has_it(tmp_path: Path) -> None:
    out = ["--published", "openclip", "--shift", "imagenet-r", "--out", str(tmp_path / "f.svg")]
    done = run("plot", *out)
    assert done.exit_code == 2 and "--axis full draws those" in done.stderr
    assert run("plot", *out, "--axis", "full").exit_code == 0 and (tmp_path / "f.svg").is_file()


def test_a_figure_of_another_suite_draws_its_shifts_and_names_no_imagenet(results: Path, tmp_path: Path) -> None:
    words = ["plot", "--published", "none", "--results", str(results), "--out", str(tmp_path / "f.svg")]
    done = run(*words)
    drawn = (tmp_path / "f.svg").read_text()
    assert done.exit_code == 0 and "pocket-sketch" in drawn and "ImageNet" not in drawn, done.stderr
    wrong = run(*words, "--shift", "mean-of-four")
    assert wrong.exit_code == 2 and "did you mean mean-of-four" not in wrong.stderr


def test_two_protocols_are_told_apart_by_an_option_and_left_out_members_are_named(results: Path) -> None:
    words = ["compare", "pocket:clip", "pocket:mlp", "--results", str(results), "--json"]
    unsure = run(*words)
    assert unsure.exit_code == 2 and "name one by --protocol" in unsure.stderr
    done = run(*words, "--protocol", "testbed")
    assert done.exit_code == 0, done.stderr
    (row,) = json.loads(done.stdout)
    assert "pocket:mlp is left out of the line" in " ".join(row["notices"])
    assert run(*words, "--protocol", "other").exit_code == 2


def test_a_reading_without_clean_accuracy_is_said_once() -> None:
    done = run("fit", "--multiverse", "openclip:ViT-B-32@openai", "--shift", "imagenet-r")
    assert "clean clean" not in done.output + done.stderr
