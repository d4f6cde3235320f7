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


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.model)
def test_a_row_is_shown_compared_and_set_on_a_line_or_says_what_it_lacks(row: PublishedAccuracy) -> None:
    (facts,) = json.loads(_run("models", row.model, "--json").stdout)
    assert (row.reference, row.where) in {(each["reference"], each["where"]) for each in facts["published"]}
    shifts = _ranked(row)
    named = [part for shift in shifts for part in ("--shift", shift)]
    compared = _run("compare", f"papers:{row.model}", "testbed:resnet50", "--json", *named)
    cited = _run("cite", f"papers:{row.model}")
    if row.clean_full is None or not shifts:
        said = cited.stdout + cited.stderr + compared.stderr
        assert "Traceback" not in said and (
            "cannot be told: no clean accuracy is known" in said or compared.exit_code == 2
        )
        return
    assert compared.exit_code == 0 and cited.exit_code == 0, compared.stderr + cited.stderr
    found: list[dict[str, Any]] = json.loads(compared.stdout)
    assert [each["shift"] for each in found] == shifts
    for each in found:
        line = fit(each["shift"], axis="full")
        wanted = row.accuracies[each["shift"]] - line.predicted(row.clean_full)
        assert each["first"]["effective_robustness"] == pytest.approx(wanted, abs=2e-4)
        assert f"{100 * row.accuracies[each['shift']]:.1f} % on {each['shift']}" in cited.stdout
