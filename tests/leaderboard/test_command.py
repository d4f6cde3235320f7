"""`effrob leaderboard`, called as a user calls it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner, Result

from effrob.cli import main


def _run(*args: str) -> Result:
    return CliRunner().invoke(main, ["leaderboard", *args])


def test_it_loads_neither_torch_nor_scipy_stats(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom effrob.cli import main\n"
        f"main(['leaderboard', '--published', 'systems', '--results', {str(tmp_path)!r}], standalone_mode=False)\n"
        "wrong = [m for m in ('torch', 'scipy.stats', 'pandas', 'matplotlib', 'plotly', 'jinja2') if m in sys.modules]\n"
        "sys.exit(', '.join(wrong) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_json_goes_to_standard_output_alone(submission: Path) -> None:
    found = _run("--results", str(submission), "--published", "none", "--format", "json")
    assert found.exit_code == 0
    assert [row["model"] for row in json.loads(found.stdout)] == ["my-model"]


def test_out_writes_the_file_whole(submission: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "board.md"
    found = _run("--results", str(submission), "--published", "none", "--out", str(out))
    assert found.exit_code == 0 and found.stdout == ""
    assert "my-model" in out.read_text()
    assert list(out.parent.iterdir()) == [out]


def test_a_tampered_record_ends_in_one_sentence_and_status_1(submission: Path) -> None:
    path = next(submission.glob("*/imagenet-r/*/predictions.npz"))
    path.write_bytes(b"not an archive")
    found = _run("--results", str(submission), "--published", "none", "--format", "json")
    assert found.exit_code == 1 and "Traceback" not in found.stderr
    assert str(path) in found.stderr and len(found.stderr.strip().splitlines()) == 1
    assert "imagenet-r" not in json.loads(found.stdout)[0]["shifts"]


def test_what_is_not_there_ends_in_status_2_with_near_matches(tmp_path: Path) -> None:
    results = ["--results", str(tmp_path)]
    for wrong, near in (
        (["--published", "testbeds"], "testbed"),
        (["--baseline", "testbad"], "testbed"),
        (["--axis", "cleen"], "clean"),
        (["--format", "jason"], "json"),
        (["--results", str(tmp_path / "none")], "is not there"),
    ):
        found = _run(*results, *wrong)
        assert found.exit_code == 2, wrong
        assert near in found.stderr and "Traceback" not in found.stderr


def test_no_records_and_no_tables_is_an_empty_board_that_says_what_to_do(tmp_path: Path) -> None:
    found = _run("--results", str(tmp_path), "--published", "none")
    assert found.exit_code == 0
    assert "effrob eval" in found.stdout and "holds no records" in found.stdout
