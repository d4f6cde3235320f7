"""The worked examples of docs/bring-your-own.md are run: its files are written, its commands called, their output compared."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner

from effrob.cli import main

PAGE = Path(__file__).resolve().parents[1] / "docs" / "bring-your-own.md"
FENCE = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced block: its language, the file it is, its text."""

    language: str
    file: str | None
    text: str


def blocks(text: str) -> dict[str, list[Block]]:
    """Section -> its fenced blocks, in order."""
    sections = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    return {
        name: [Block(*found) for found in FENCE.findall(body)] for name, body in zip(sections[1::2], sections[2::2])
    }


def commands(text: str) -> Iterator[tuple[str, list[str]]]:
    """(command, lines that its output must hold)."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        first, *expected = part.replace("\\\n", " ").splitlines()
        yield first, [line.strip() for line in expected if line.strip()]


def run(text: str) -> None:
    for command, expected in commands(text):
        words = shlex.split(command)
        assert words[0] == "effrob", command
        done = CliRunner().invoke(main, words[1:])
        assert done.exit_code == 0, f"{command}: {done.output}"
        said = " ".join(done.output.split())
        for line in expected:
            assert " ".join(line.split()) in said, f"{command} does not say {line!r}: {done.output}"


@pytest.mark.parametrize("section", [name for name, found in blocks(PAGE.read_text(encoding="utf-8")).items() if found])
def test_the_examples_of_the_page_do_what_it_says(
    section: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = 0
    for block in blocks(PAGE.read_text(encoding="utf-8"))[section]:
        if block.file:
            Path(block.file).write_text(block.text, encoding="utf-8")
        elif block.language == "console":
            run(block.text)
            done += 1
        elif block.language == "python":
            exec(compile(block.text, section, "exec"), {})
            done += 1
    assert done


def test_an_example_that_is_not_so_is_seen() -> None:
    with pytest.raises(AssertionError, match="does not say"):
        run("$ effrob place imagenet=76.4 imagenet-r=71.2\n+99.9 points\n")
    with pytest.raises(AssertionError):
        run("$ effrob place nowhere=76.4\n")
