"""Every row of papers.csv is shown with its source, and compared and set on a line where its paper states what that takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from effrob.cli import main
from effrob.robustness.fit import fit
from model_zoo.published import PublishedAccuracy, published

ROWS = published("papers")
ON_THE_LINE = ("imagenet-v2", "imagenet-r", "imagenet-sketch", "objectnet")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def _run(*args: str) -> Result:
    return CliRunner().invoke(main, list(args))


def _ranked(row: PublishedAccuracy) -> list[str]:
    return [shift for shift in ON_THE_LINE if shift in row.accuracies]


def test_most_rows_state_what_a_comparison_takes() -> None:
    assert sum(bool(_ranked(row)) and row.clean_full is not None for row in ROWS) >= 100


def _says_what_it_lacks(row: PublishedAccuracy, compared: Result, cited: Result) -> None:
    """Accuracies are compared all the same; that no line judges them is said, and for want of which column."""
    shifts = _ranked(row)
    assert compared.exit_code == 0, compared.stderr
    found = json.loads(compared.stdout)
    assert [each["shift"] for each in found] == (shifts or ["imagenet"])
    resnet = next(each for each in published("testbed") if each.model == "resnet50")
    for each in found:
        name = each["shift"]
        stated, other = (one.clean_full if name == "imagenet" else one.accuracies[name] for one in (row, resnet))
        assert stated is not None and other is not None
        assert each["accuracy_difference"] == pytest.approx(stated - other, abs=2e-4)
        assert each["effective_robustness_difference"] is None
        assert (f"no clean accuracy of {row.model} is known" if shifts else "imagenet is the clean set") in each["why"]
    judged = _run("fit", "--multiverse", f"papers:{row.model}")
    assert judged.exit_code == 2 and judged.stderr.count("\n") == 1
    if shifts:
        assert "no accuracy on the whole clean set is known" in judged.stderr
        assert cited.exit_code == 0 and "cannot be told: no clean accuracy is known" in cited.stdout
        assert all(f"{100 * row.accuracies[shift]:.1f} % on {shift}" in cited.stdout for shift in shifts)
        return
    assert row.clean_full is not None
    assert "one on the clean set alone is known" in judged.stderr or "accuracies on imagenet-real" in judged.stderr
    assert cited.exit_code == 2 and f"it has: {100 * row.clean_full:.2f} % on the clean set" in cited.stderr


def test_the_board_shows_every_row_with_its_source() -> None:
    rows = json.loads(_run("leaderboard", "--published", "papers", "--format", "json").stdout)
    shown = {row["model"]: row for row in rows}
    assert len(rows) == len(ROWS)
    for row in ROWS:
        mine = shown[row.model]
        assert mine["source"] == "published:papers" and mine["clean_full"] == pytest.approx(row.clean_full)
        for shift, cell in mine["shifts"].items():
            assert cell["accuracy"] == pytest.approx(row.accuracies[shift])
            if row.clean_full is None:
                assert cell["why_not"] == "no clean accuracy"


def test_a_row_is_cited_by_its_own_reference() -> None:
    text = _run("cite", "papers:SigLIP2-g-opt/16@384 [PE 2504.13181 Tab.5]", "--shift", "objectnet").stdout
    assert "as published (papers; PE 2504.13181 Tab.5; arXiv 2504.13181, table 5" in text


@pytest.mark.parametrize(
    ("pattern", "shift", "words"),
    [
        ("MetaCLIP2-L/14 worldwide 29B*", "imagenet-r", "rows have one on the clean set alone"),
        ("DINOv2-S/14 *", "imagenet-r", "1 row has no class-matched clean accuracy (--axis full draws those"),
    ],
)
def test_a_picture_says_what_keeps_a_row_off(pattern: str, shift: str, words: str, tmp_path: Path) -> None:
    asked = ("plot", "--model", pattern, "--shift", shift, "--out", str(tmp_path / "p.png"))
    done = _run(*asked)
    assert done.exit_code == 2 and words in done.stderr
    if "class-matched" in words:
        assert "1 row has no accuracy on the clean set to stand over" in _run(*asked, "--axis", "full").stderr


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.model)
def test_a_row_is_shown_compared_and_set_on_a_line_or_says_what_it_lacks(row: PublishedAccuracy) -> None:
    (facts,) = json.loads(_run("models", row.model, "--json").stdout)
    assert (row.reference, row.where) in {(each["reference"], each["where"]) for each in facts["published"]}
    shifts = _ranked(row)
    named = [part for shift in shifts for part in ("--shift", shift)]
    compared = _run("compare", f"papers:{row.model}", "testbed:resnet50", "--json", *named)
    cited = _run("cite", f"papers:{row.model}")
    if row.clean_full is None or not shifts:
        _says_what_it_lacks(row, compared, cited)
        return
    assert compared.exit_code == 0 and cited.exit_code == 0, compared.stderr + cited.stderr
    found: list[dict[str, Any]] = json.loads(compared.stdout)
    assert [each["shift"] for each in found] == shifts
    for each in found:
        line = fit(each["shift"], axis="full")
        wanted = row.accuracies[each["shift"]] - line.predicted(row.clean_full)
        assert each["first"]["effective_robustness"] == pytest.approx(wanted, abs=2e-4)
        assert f"{100 * row.accuracies[each['shift']]:.1f} % on {each['shift']}" in cited.stdout
