"""Every record that an evaluation writes is found by `leaderboard`, `compare` and `study`, whatever its model is called."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from click.testing import CliRunner
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from effrob.cli import main
from tests.leaderboard.conftest import submit

SHIFT = "imagenet-v2"
# What a spec, a path or the name of an object can hold: no control characters, no lone surrogates, no spaces at its ends.
NAME = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=300).filter(
    lambda text: text == text.strip() and not text.startswith("-")
)
STUDY = """
title = "Two"
question = "Does it?"
factor = "name"
decides = "Little."
cannot_decide = "Much."
axis = "full"
shifts = ["imagenet-v2"]
headline = "one"
[[arm]]
name = "a"
model = {first}
head = "native"
[[arm]]
name = "b"
model = {second}
head = "native"
[[contrast]]
name = "one"
kind = "pair"
arms = ["a", "b"]
"""


def run(*words: str) -> str:
    done = CliRunner().invoke(main, list(words))
    assert done.exit_code == 0, (words, done.output)
    return done.stdout


@given(first=NAME, second=NAME)
@example(first="openclip:ViT-B-32@runs/epoch_*.pt", second="mix:A,B@0:1:0.5")
@example(first="x" * 300, second="x" * 299 + "y")
@example(first="ViT-B/32", second="vit-b/32")
@example(first="=cmd|'/c calc'!A1", second="a|b,c\"d'e\\f")
@example(first="..", second=".")
@example(first="netz é", second="netz é")
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_every_command_finds_a_model_by_the_name_in_its_record(first: str, second: str) -> None:
    if first == second:
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "results"
        for name, accuracy in ((first, 0.6), (second, 0.5)):
            submit(root, name, SHIFT, accuracy)
        board = json.loads(run("leaderboard", "--results", str(root), "--published", "none", "--format", "json"))
        assert {row["model"] for row in board} == {first, second}
        (told,) = json.loads(run("compare", first, second, "--results", str(root), "--shift", SHIFT, "--json"))
        assert (told["first_model"], told["second_model"]) == (first, second)
        study = Path(folder) / "study.toml"
        study.write_text(
            STUDY.format(first=json.dumps(first, ensure_ascii=False), second=json.dumps(second, ensure_ascii=False)),
            encoding="utf-8",
        )
        found = json.loads(run("study", "run", str(study), "--results", str(root), "--json"))
        assert first in json.dumps(found, ensure_ascii=False) or json.dumps(first)[1:-1] in json.dumps(found)
