"""What reads numbers starts in a moment and loads no torch; what is unknown is answered with near matches."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from effrob.cli import VERBS, main
from tests.processor import in_time

PROGRAM = """
import sys
from effrob.cli import main
try:
    main({args!r}, standalone_mode=True)
except SystemExit as stop:
    assert not stop.code, stop.code
heavy = sorted({{"torch", "torchvision", "open_clip", "timm", "transformers", "sklearn", "pandas", "ray"}} & set(sys.modules))
assert not heavy, f"loaded {{heavy}}"
"""


@pytest.mark.parametrize(
    ("args", "limit"),
    [
        (["--help"], 1.0),
        (["fit", "--help"], 1.0),
        (["leaderboard", "--published", "all", "--format", "json"], 2.0),
        (["leaderboard", "--published", "all", "--format", "html", "--out", "page"], 3.5),
        (["shifts"], 1.0),
        (["place", "imagenet=76.4", "imagenet-r=71.2", "--json"], 2.0),
        (["cite", "vit_b_32_clip_zeroshot"], 2.0),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_numbers_are_read_in_a_moment_and_without_torch(args: list[str], limit: float, tmp_path: Path) -> None:
    if args[0] == "leaderboard":
        args = [
            str(tmp_path / each) if each == "page" else each for each in [*args, "--results", str(tmp_path / "none")]
        ]
        (tmp_path / "none").mkdir()
    done = in_time(PROGRAM.format(args=args), (), limit)
    assert done.returncode == 0, done.stderr


def test_a_command_that_takes_too_long_is_seen() -> None:
    with pytest.raises(pytest.fail.Exception, match=r"took 0.\d+ s of the processor, more than the 0.\d+ s it may"):
        in_time("sum(range(10**7))", (), 0.01)


def test_the_check_for_torch_can_fail() -> None:
    program = "import torch\n" + PROGRAM.format(args=["--help"])
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode != 0 and "loaded" in done.stderr


@pytest.mark.parametrize("verb", VERBS)
def test_every_command_has_help_that_names_its_options(verb: str) -> None:
    result = CliRunner().invoke(main, [verb, "--help"], catch_exceptions=False)
    assert result.exit_code == 0 and "Usage:" in result.stdout and len(result.stdout.splitlines()) > 5


def test_an_unknown_command_or_option_has_near_matches() -> None:
    for args, words in (
        (["evall"], "did you mean eval"),
        (["fit", "--shfit", "x"], "--shift"),
        (["fit", "--shift", "imagnet-r"], "imagenet-r"),
    ):
        result = CliRunner().invoke(main, args)
        assert result.exit_code == 2 and words in result.stderr, result.stderr


def test_json_is_strict_and_alone_on_standard_output() -> None:
    result = CliRunner().invoke(main, ["fit", "--shift", "imagenet-a", "--json"], catch_exceptions=False)
    assert [line["segment"] for line in json.loads(result.stdout)] == ["below", "above"]
