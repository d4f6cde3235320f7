"""The examples of the pages on analysis: each runs, and prints what the page shows; every command of analysis has one."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from effrob.cli import VERBS, main

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = ("confidence.md", "explaining.md", "classes.md", "errors-and-agreement.md")


def examples(page: str) -> list[tuple[str, str]]:
    """(command, output) of every console block; `…` in an output stands for lines that are left out."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.S):
        for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
            command, _, output = part.partition("\n")
            found.append((command, output))
    return found


@pytest.mark.parametrize("page", PAGES)
def test_a_page_shows_what_its_commands_print(page: str, evaluated: object, eight_models: object) -> None:
    shown = examples(page)
    assert shown
    for code in re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.S):
        pytest.importorskip("imagenet_x")
        exec(compile(code, page, "exec"), {})
    for command, output in shown:
        done = CliRunner().invoke(main, shlex.split(command)[1:], catch_exceptions=False)
        assert done.exit_code == 0, (command, done.stderr)
        printed = [line.rstrip() for line in done.stdout.splitlines()]
        for line in output.splitlines():
            if line.strip() and line.strip() != "…":
                assert line.rstrip() in printed, (command, line, done.stdout)


def test_every_command_of_analysis_has_an_example_that_is_run() -> None:
    run = {shlex.split(command)[1] for page in PAGES for command, _ in examples(page)}
    commands = {name for name, (place, _) in VERBS.items() if place.startswith("effrob.cli.analysis.")}
    assert commands <= run and "fit" in run, commands - run
