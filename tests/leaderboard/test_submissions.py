"""A measured row is believed for what its predictions prove; whatever was touched is refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from effrob.errors import EffrobError, UsageProblem
from effrob.leaderboard.gather import gather
from effrob.leaderboard.render import as_json
from effrob.results.predictions import file_digest
from effrob.robustness.lines import LineOptions
from tests.honest import answers, official

from .conftest import SHIFTS, submit


def _record(root: Path, shift: str = "imagenet-r") -> Path:
    return next(root.glob(f"*/{shift}/*/record.json"))


def _edit(path: Path, change: Callable[[dict[str, object]], None]) -> None:
    facts = json.loads(path.read_text())
    change(facts)
    path.write_text(json.dumps(facts))


def test_records_of_one_model_make_one_measured_row(submission: Path) -> None:
    rows = as_json(gather([submission], "none").board(LineOptions()))
    assert [row["model"] for row in rows] == ["my-model"]
    row = rows[0]
    assert row["source"] == "measured" and row["img_size"] == 224 and row["rank"] == 1
    assert {shift: cell["accuracy"] for shift, cell in row["shifts"].items()} == SHIFTS
    assert row["clean_full"] == 0.63
    assert row["mean_effective_robustness"] > 0
    assert Path(row["shifts"]["imagenet-r"]["record"]).is_dir()


def test_measured_and_published_rows_stand_in_different_groups(submission: Path) -> None:
    groups = gather([submission], "testbed").board(LineOptions()).groups
    assert next(iter(groups)).kind == "measured"
    assert all({row.measured for row in rows} == {group.kind == "measured"} for group, rows in groups.items())


def test_a_shift_missing_leaves_the_mean_null(tmp_path: Path) -> None:
    submit(tmp_path, "my-model", "imagenet-r", 0.6)
    row = as_json(gather([tmp_path], "none").board(LineOptions()))[0]
    assert row["mean_effective_robustness"] is None and row["rank"] is None


def test_the_fullest_of_several_records_is_shown_and_the_others_are_counted(submission: Path) -> None:
    submit(submission, "my-model", "imagenet-r", 0.1, n=100)
    (row,) = as_json(gather([submission], "none").board(LineOptions()))
    assert row["shifts"]["imagenet-r"]["n"] == 1000
    assert row["note"] == "1 smaller records are not shown"


def test_edited_counts_are_refused_by_name(submission: Path) -> None:
    path = _record(submission)
    _edit(path, lambda facts: facts["counts"].update(n_correct=999))  # type: ignore[attr-defined]
    with pytest.raises(EffrobError, match=f"{path.parent}.*not those of its predictions"):
        gather([submission], "none").board(LineOptions())


def test_edited_clean_counts_are_refused_by_name(submission: Path) -> None:
    path = _record(submission)
    _edit(path, lambda facts: facts["clean"].update(n_correct=1))  # type: ignore[attr-defined]
    with pytest.raises(EffrobError, match=f"{path.parent}.*clean view"):
        gather([submission], "none").board(LineOptions())


def test_edited_full_clean_counts_disagree_with_the_other_records(submission: Path) -> None:
    path = _record(submission)
    _edit(path, lambda facts: facts["clean_full"].update(n_correct=640, n_correct_1000way=640))  # type: ignore[attr-defined]
    with pytest.raises(EffrobError, match="state different clean accuracies"):
        gather([submission], "none").board(LineOptions())


def test_an_edited_question_is_refused_by_name(submission: Path) -> None:
    path = _record(submission)
    _edit(path, lambda facts: facts["asked"].update(model="someone-else"))  # type: ignore[attr-defined]
    with pytest.raises(EffrobError, match=f"{path}.*edited or torn"):
        gather([submission], "none").board(LineOptions())


def test_a_predictions_file_touched_is_refused_by_name(submission: Path) -> None:
    path = _record(submission).parent / "predictions.npz"
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(EffrobError, match=f"{path}.*SHA-256 differs"):
        gather([submission], "none").board(LineOptions())


def test_a_predictions_file_missing_is_refused_by_name(submission: Path) -> None:
    path = _record(submission).parent / "predictions.npz"
    path.unlink()
    with pytest.raises(EffrobError, match=str(path)):
        gather([submission], "none").board(LineOptions())


def test_answers_called_right_against_their_target_are_refused_even_with_matching_digests(submission: Path) -> None:
    path = _record(submission)
    rows = answers(official("imagenet-r"), 0.2)
    columns = {name: getattr(rows, name) for name in rows.__dataclass_fields__}
    columns["correct"] = np.ones(1000, dtype=bool)
    columns["correct_top5"] = columns["correct_1000"] = columns["correct"]
    np.savez_compressed(path.parent / "predictions.npz", **columns)

    def change(facts: dict[str, dict[str, object]]) -> None:
        facts["files"]["predictions.npz"] = file_digest(path.parent / "predictions.npz")
        facts["counts"] = {"n": 1000, "n_correct": 1000, "n_correct_top5": 1000, "n_correct_1000way": 1000}

    _edit(path, change)  # type: ignore[arg-type]
    with pytest.raises(EffrobError, match="calls answers right that are not"):
        gather([submission], "none").board(LineOptions())


def test_every_wrong_record_is_named_at_once(submission: Path) -> None:
    for shift in ("imagenet-r", "objectnet"):
        _edit(_record(submission, shift), lambda facts: facts["counts"].update(n_correct=0))  # type: ignore[attr-defined]
    with pytest.raises(EffrobError) as refused:
        gather([submission], "none").board(LineOptions())
    assert "imagenet-r" in str(refused.value) and "objectnet" in str(refused.value)


def test_a_folder_or_a_table_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageProblem, match="is not there"):
        gather([tmp_path / "nowhere"], "none").board(LineOptions())
    with pytest.raises(UsageProblem, match="did you mean testbed"):
        gather([tmp_path], "testbeds").board(LineOptions())
