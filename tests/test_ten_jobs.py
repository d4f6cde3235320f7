"""The worked examples of the documents are run: their files are written, their commands called, their output compared."""

from __future__ import annotations

import logging
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner

from effrob.cli import main
from effrob.evaluation.data import load_declared, load_shift
from effrob.evaluation.worker import ENCODERS

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGES = ("bring-your-own.md", "worked-examples.md")
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


EXAMPLES = [
    (page, section)
    for page in PAGES
    for section, found in blocks((DOCS / page).read_text(encoding="utf-8")).items()
    if found
]


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setattr("shifts.declared.suites._declared", {})
    for name in ("CONFIG", "BASELINES", "CACHE"):
        monkeypatch.setenv(f"EFFROB_{name}", str(tmp_path / name.lower()))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    handlers, level = list(logging.root.handlers), logging.root.level
    yield
    logging.root.handlers[:] = handlers  # a trainer sets up its own
    logging.root.setLevel(level)
    load_shift.cache_clear()
    load_declared.cache_clear()
    ENCODERS.clear()
    sys.modules.pop("net", None)
    if trainer := sys.modules.get("open_clip_train.main"):  # an example wraps it
        trainer.train_one_epoch = sys.modules["open_clip_train.train"].train_one_epoch  # type: ignore[attr-defined]


@pytest.mark.parametrize(("page", "section"), EXAMPLES)
def test_the_examples_of_the_page_do_what_it_says(page: str, section: str, tmp_path: Path, pocket_data: Path) -> None:
    (tmp_path / "data").symlink_to(pocket_data)
    done, session = 0, dict[str, object]()  # the Python of a section is one session
    for block in blocks((DOCS / page).read_text(encoding="utf-8"))[section]:
        if block.file:
            Path(block.file).write_text(block.text, encoding="utf-8")
        elif block.language == "console":
            run(block.text)
            done += 1
        elif block.language == "python":
            exec(compile(block.text, section, "exec"), session)
            done += 1
    assert done


def test_an_example_that_is_not_so_is_seen() -> None:
    with pytest.raises(AssertionError, match="does not say"):
        run("$ effrob place imagenet=76.4 imagenet-r=71.2\n+99.9 points\n")
    with pytest.raises(AssertionError):
        run("$ effrob place nowhere=76.4\n")
