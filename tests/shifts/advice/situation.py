"""A situation in which a sentence gives advice, and what it advises."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

from advice_sites import ROOT

import shifts

Step = Callable[[Path], Any]
Act = Callable[..., Any]


class Said(Exception):
    """What a function said without raising."""


class Situation(NamedTuple):
    """One situation.

    site    the sentence, `FILE: some of its words`
    make    builds the situation under a folder
    mends   each way the sentence offers, followed in a fresh situation; gives arguments for `act`, or none
    act     what is tried in that folder: it raises the sentence before, and nothing afterwards
    result  what `act` gives afterwards, None where anything does
    """

    site: str
    make: Step
    mends: tuple[Step, ...]
    act: Act
    result: Any = None


def loads(name: str, **fixed: Any) -> Act:
    """Load a set of the folder, in part; how many images it has."""

    def act(root: Path, /, **how: Any) -> int:
        return len(shifts.load(name, **{"root": root, "partial": True, **fixed, **how}))

    return act


def says(*texts: str | None) -> None:
    """Raise what was said, if anything was."""
    if said := "; ".join(text for text in texts if text):
        raise Said(said)


def run(*command: str, within: Path) -> None:
    """Run a command of the system."""
    subprocess.run(command, cwd=within, check=True, capture_output=True)


@contextmanager
def called() -> Iterator[set[tuple[str, str]]]:
    """(file, function) of everything in `shifts` that is called meanwhile."""
    codes: set[CodeType] = set()
    found: set[tuple[str, str]] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            codes.add(frame.f_code)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield found
    finally:
        sys.setprofile(before)
        for code in codes:
            if (file := Path(code.co_filename)).is_relative_to(ROOT):
                found.add((file.relative_to(ROOT).as_posix(), code.co_qualname.replace(".<locals>", "")))
