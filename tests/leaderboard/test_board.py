"""The board: golden numbers of the published rows, ranks, means that are null, and a line a row that says its axis."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from effrob.leaderboard.board import Board
from effrob.leaderboard.gather import gather
from effrob.leaderboard.render import as_json, json_text
from effrob.robustness.lines import LineOptions

GOLDEN = {  # points; testbed baseline, class-matched axis, logit: imagenet-testbed's vit_b_32_clip_zeroshot
    "imagenet-v2": 5.63,
    "imagenet-r": 38.95,
    "imagenet-sketch": 28.02,
    "objectnet": 18.10,
    "imagenet-a": 29.21,
}


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Board:
    empty = tmp_path_factory.mktemp("no-records")
    return gather([empty], "all").board(LineOptions())


def _row(board: Board, model: str, source: str) -> dict[str, Any]:
    rows = [row for row in as_json(board) if row["model"] == model and row["source"] == f"published:{source}"]
    assert len(rows) == 1
    return rows[0]


def test_testbed_clip_row_has_the_golden_numbers(everything: Board) -> None:
    row = _row(everything, "vit_b_32_clip_zeroshot", "testbed")
    shifts = row["shifts"]
    found = {shift: round(100 * shifts[shift]["effective_robustness"], 2) for shift in GOLDEN}
    assert found == GOLDEN
    assert {shifts[shift]["axis"] for shift in GOLDEN} == {"clean"}
    four = [shifts[s]["effective_robustness"] for s in GOLDEN if s != "imagenet-a"]
    assert row["mean_effective_robustness"] == pytest.approx(sum(four) / 4)
    assert row["effective_robustness_of_mean"] == pytest.approx(0.2572, abs=5e-5)
    assert "diagnostic-only" in shifts["imagenet-a"]["flags"]


def test_every_shipped_table_is_on_the_board_in_order_of_the_logit_mean(everything: Board) -> None:
    rows = json.loads(json_text(everything))
    assert len(rows) == 2040
    means = [row["mean_effective_robustness_logit"] for row in rows]
    ranked = [mean for mean in means if mean is not None]
    assert ranked == sorted(ranked, reverse=True)
    assert means[len(ranked) :] == [None] * (len(means) - len(ranked))


def test_rows_without_class_matched_accuracy_stand_on_the_full_axis_and_say_so(everything: Board) -> None:
    row = _row(everything, "openclip:ViT-B-32-quickgelu@openai", "openclip")
    assert row["shifts"]["imagenet-r"]["clean_accuracy"] is None
    assert {cell["axis"] for cell in row["shifts"].values()} == {"full"}
    assert {cell["baseline"] for cell in row["shifts"].values()} == {"testbed"}
    assert row["shifts"]["imagenet-r"]["effective_robustness"] == pytest.approx(0.444, abs=5e-4)


def test_a_mean_is_null_unless_all_four_stand(everything: Board) -> None:
    row = _row(everything, "resnet50.a1_in1k", "timm")
    assert "objectnet" not in row["shifts"]
    assert row["shifts"]["imagenet-r"]["effective_robustness"] is not None
    assert row["mean_effective_robustness"] is None
    assert row["mean_effective_robustness_logit"] is None
    assert row["effective_robustness_of_mean"] is None
    assert row["rank"] is None


def test_imagenet_a_moves_no_rank_and_no_mean(everything: Board) -> None:
    rows = [row for row in everything.rows if row.source == "published:testbed" and row.mean is not None]
    for row in rows[:20]:
        others = {shift: cell for shift, cell in row.cells.items() if shift != "imagenet-a"}
        assert dataclasses.replace(row, cells=others).mean_logit == row.mean_logit


def test_ranks_count_comparable_rows_and_intervals_leave_ranks_open(everything: Board) -> None:
    for group, rows in everything.groups.items():
        ranges = [everything.rank_range(row) for row in rows]
        if group.reach == "unranked":
            assert {ranks.rank for ranks in ranges} == {None}
            continue
        assert ranges[0].rank == 1
        assert {row.axis for row in rows} == {group.axis}
        for ranks in ranges:
            assert ranks.best and ranks.rank and ranks.worst
            assert 1 <= ranks.best <= ranks.rank <= ranks.worst <= len(rows)
    clip = [row for row in everything.rows if row.model == "vit_b_32_clip_zeroshot"]
    assert everything.rank_range(clip[0]).rank == 1


def test_extrapolated_rows_never_share_a_ranking_with_rows_the_line_covers(everything: Board) -> None:
    for row in everything.rows:
        flags = [cell.robustness["extrapolated"] for cell in row.four or ()]
        if row.group.reach == "within":
            assert not any(flags)
        elif row.group.reach in ("below", "above"):
            assert any(flags)


def test_the_full_axis_is_worth_points_and_is_asked_for_by_name(tmp_path: Path) -> None:
    board = gather([tmp_path], "testbed").board(LineOptions(axis="full"))
    row = _row(board, "vit_b_32_clip_zeroshot", "testbed")
    assert round(100 * row["shifts"]["imagenet-r"]["effective_robustness"], 2) == 44.34
    assert row["shifts"]["imagenet-r"]["axis"] == "full"
