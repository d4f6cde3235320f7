"""A record that cannot be believed is a sentence of its own: the others' rows are printed and kept, and the status is 1."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from effrob.cli import main
from tests.leaderboard.conftest import submit


def torn(folder: Path) -> None:
    path = folder / "record.json"
    path.write_bytes(path.read_bytes()[:200])


def edited(folder: Path) -> None:
    path = folder / "record.json"
    facts = json.loads(path.read_text())
    facts["counts"]["n_correct"] += 1
    path.write_text(json.dumps(facts))


def without_predictions(folder: Path) -> None:
    (folder / "predictions.npz").unlink()


def a_pipe(folder: Path) -> None:
    (folder / "predictions.npz").unlink()
    os.mkfifo(folder / "predictions.npz")


def empty(folder: Path) -> None:
    (folder / "record.json").write_bytes(b"")


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("two")
    submit(root, "sound", "imagenet-r", 0.6, n=50)
    submit(root, "spoilt", "imagenet-r", 0.5, n=50)
    return root


@pytest.mark.parametrize(
    ("spoil", "form"),
    [(torn, "html"), *((spoil, "json") for spoil in (torn, edited, without_predictions, a_pipe, empty))],
)
def test_one_record_costs_one_row(spoil: Callable[[Path], None], form: str, two: Path, tmp_path: Path) -> None:
    root = tmp_path / "results"
    shutil.copytree(two, root)
    (folder,) = (path.parent for path in root.rglob("record.json") if "spoilt" in str(path))
    spoil(folder)
    out = tmp_path / ("site" if form == "html" else "board.json")
    found = CliRunner().invoke(
        main, ["leaderboard", "--results", str(root), "--published", "none", "--format", form, "--out", str(out)]
    )
    assert found.exit_code == 1 and str(folder) in found.stderr and "left out" in found.stderr, found.output
    assert found.exception is None or isinstance(found.exception, SystemExit)
    written = out.read_text() if form == "json" else "".join(p.read_text() for p in out.rglob("*.*"))
    assert "sound" in written and "spoilt" not in written


def test_records_that_contradict_each_other_are_both_refused(two: Path, tmp_path: Path) -> None:
    root = tmp_path / "results"
    shutil.copytree(two, root)
    (folder,) = (path.parent for path in root.rglob("record.json") if "spoilt" in str(path))
    other = submit(tmp_path / "other", "spoilt", "imagenet-r", 0.9, n=50).folder
    twin = root / "again" / other.relative_to(tmp_path / "other")
    shutil.copytree(other, twin)
    found = CliRunner().invoke(main, ["leaderboard", "--results", str(root), "--published", "none"])
    assert found.exit_code == 1 and str(folder) in found.stderr and str(twin) in found.stderr, found.output
