"""False discovery rates on a board: whose p-values are asked together, and how a departure that does not stand is shown."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from effrob.leaderboard.board import Board, board
from effrob.leaderboard.discoveries import RATE
from effrob.leaderboard.gather import gather
from effrob.leaderboard.render import as_json, csv_text, markdown
from effrob.leaderboard.row import BoardRow
from effrob.leaderboard.scored_shift import score
from effrob.results.accuracy import Accuracy
from effrob.results.model_result import ModelResult
from effrob.robustness.lines import LineOptions, Lines

from .conftest import SHIFTS, submit


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Board:
    return gather([tmp_path_factory.mktemp("no-records")], "all").board(LineOptions())


def _cells(found: Board, kind: str = "published") -> list[tuple[str, dict[str, Any]]]:
    rows = [row for row in as_json(found) if row["source"].startswith(kind)]
    return [(shift, cell) for row in rows for shift, cell in row["shifts"].items() if cell["p_value"] is not None]


def test_q_is_benjamini_and_hochbergs_over_the_board_without_the_diagnostic_set(everything: Board) -> None:
    cells = [(shift, cell) for shift, cell in _cells(everything) if not cell["extrapolated"]]
    asked = [cell for shift, cell in cells if shift != "imagenet-a"]
    assert len(asked) > 1000
    wanted = stats.false_discovery_control([cell["p_value"] for cell in asked])
    assert [cell["q_value"] for cell in asked] == pytest.approx(wanted.tolist(), rel=1e-12)
    assert {cell["q_value"] for shift, cell in cells if shift == "imagenet-a"} == {None}


def test_a_p_value_agrees_with_its_verdict_and_nothing_is_claimed_of_an_extrapolated_cell(everything: Board) -> None:
    said = set()
    for shift, facts in _cells(everything):
        if shift == "imagenet-a":
            assert facts["q_value"] is None
            continue
        if facts["extrapolated"]:
            assert facts["q_value"] is None and facts["verdict"] == "cannot-tell"
            continue
        assert facts["q_value"] >= facts["p_value"] * (1 - 1e-12)
        assert (facts["p_value"] < 0.05) == (facts["verdict"] in ("above", "below"))
        said.add((facts["verdict"], facts["q_value"] < RATE))
    assert {("above", True), ("above", False), ("below", True), ("below", False), ("on", False)} <= said


def test_published_rows_lend_a_measured_one_no_significance(tmp_path: Path) -> None:
    for shift, accuracy in SHIFTS.items():
        submit(tmp_path, "mine", shift, accuracy)
    alone, among = (gather([tmp_path], tables).board(LineOptions()) for tables in ("none", "all"))
    found = [[cell["q_value"] for _, cell in _cells(each, "measured")] for each in (alone, among)]
    assert found[0] == found[1] and len([q for q in found[0] if q is not None]) > 2


def _board_of_ordinary_models(seed: int, results: Path) -> Board:
    """Forty measured rows that scatter about the lines as a baseline's models do: whatever departs, departs by chance."""
    lines = Lines(LineOptions(), results)
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(40):
        cells = {}
        for shift in ("imagenet-v2", "imagenet-r", "imagenet-sketch", "objectnet"):
            fit = lines.at(shift, "clean")
            assert not isinstance(fit, str)
            x = rng.uniform(*np.quantile(fit.line.x, [0.1, 0.9]))
            y = fit.scale.back(fit.line.at(fit.scale.to(x)) + fit.line.scatter * rng.standard_normal())
            clean, seen = (Accuracy(float(rng.binomial(10_000, p)), 10_000) for p in (x, y))
            result = ModelResult(f"m{i}", f"m{i}", {shift: seen}, clean, {shift: clean})
            cells[shift] = score(lines, result, shift, "clean")
        rows.append(
            BoardRow(f"m{i}", None, "measured", "native", None, "effrob", "imagenet", "clean", None, cells, None)
        )
    return board(rows)


def test_on_a_board_of_ordinary_models_departures_seldom_stand(tmp_path: Path) -> None:
    """Each board has 160 cells, of which some seven leave their own intervals; on one board in twenty one of them may stand."""
    alone, standing = [], []
    for seed in range(40):
        found = _board_of_ordinary_models(seed, tmp_path)
        cells = [cell for _, cell in _cells(found, "measured")]
        alone.append(sum(cell["verdict"] in ("above", "below") for cell in cells))
        standing.append(any(cell["q_value"] < RATE for cell in cells))
        assert markdown(found).count("\\!") >= alone[-1] - sum(cell["q_value"] < RATE for cell in cells)
    assert np.mean(alone) > 5
    assert sum(standing) <= 4


def test_markdown_marks_what_does_not_stand_and_csv_holds_p_and_q(everything: Board) -> None:
    text = markdown(everything)
    facts = [cell for _, cell in _cells(everything)]
    doubted = [f for f in facts if f["verdict"] in ("above", "below") and (f["q_value"] or 0.0) >= RATE]
    assert len(doubted) > 50
    shown = sum(line.count("\\!") for line in text.splitlines() if line.startswith("| ") and "| ---" not in line)
    four = ("imagenet-v2", "imagenet-r", "imagenet-sketch", "objectnet", "imagenet-a")
    named = [cell for shift, cell in _cells(everything) if shift in four and cell in doubted]
    assert shown == len(named) and "false discovery rate" in text
    rows = list(csv.DictReader(io.StringIO(csv_text(everything))))
    for row, fact in zip(rows[:200], as_json(everything)):
        for shift, cell in fact["shifts"].items():
            for name in ("p_value", "q_value"):
                assert row[f"{shift}.{name}"] == ("" if cell[name] is None else str(cell[name]))
