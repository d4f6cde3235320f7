"""A board and `effrob eval` judge a measured model alike; a published row is flagged where its own line holds it."""

from __future__ import annotations

from pathlib import Path

import effrob
from effrob.leaderboard.gather import gather
from effrob.robustness.lines import LineOptions

FIELDS = ("effective_robustness", "effective_robustness_ci95", "effective_robustness_pi95", "verdict", "flags")


def test_a_measured_model_stands_on_the_board_where_its_evaluation_put_it(pocket_data: Path, tmp_path: Path) -> None:
    models = ["pocket:linear", "pocket:reference"]  # a member of the line, and a stranger to it
    rows = effrob.evaluate(
        models, suite="pocket", data=pocket_data, results=tmp_path / "r", cache=tmp_path / "c", progress=False
    )
    board = {row.model: row.cells for row in gather([tmp_path / "r"], "none").board(LineOptions()).rows}
    compared = 0
    for row in rows:
        if row.effective_robustness is None:
            continue
        there = board[row.model][row.shift].as_json()
        assert {key: there[key] for key in FIELDS} == {key: row.robustness[key] for key in FIELDS}, (
            row.model,
            row.shift,
        )
        assert ("in-baseline" in there["flags"]) == (row.model == "pocket:linear")
        compared += 1
    assert compared == 10


def test_published_members_of_a_line_are_flagged_and_their_numbers_stay_the_published_ones(tmp_path: Path) -> None:
    rows = gather([tmp_path], "testbed,openclip,timm").board(LineOptions(axis="full")).rows
    flagged = {
        (row.source, row.model)
        for row in rows
        if any(cell.effective is not None and "in-baseline" in cell.effective.flags for cell in row.cells.values())
    }
    assert len(flagged) == 85 and {source for source, _ in flagged} == {"published:testbed"}
