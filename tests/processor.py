"""Processor seconds of commands in processes of their own; limits are those of a quick machine, and grow on a slower one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from os import times
from pathlib import Path
from typing import NamedTuple

import pytest

QUICK = 0.26  # processor seconds of WORK on the machine the limits are meant for
WORK = """
import csv, io, json, numpy
rows = [{str(k): f"{k * n / 7:.5f}" for k in range(20)} for n in range(12_000)]
csv.writer(io.StringIO()).writerows(row.values() for row in rows)
assert len(json.loads(json.dumps(rows))) == 12_000
"""

# A command, and on the last line of standard error the heavy libraries that it loaded.
PROGRAM = """
import sys
from effrob.cli import main
try:
    main(sys.argv[1:])
finally:
    heavy = {"torch", "torchvision", "open_clip", "timm", "transformers", "sklearn", "pandas", "ray"} & set(sys.modules)
    print(sorted(heavy), file=sys.stderr)
"""


class Timed(NamedTuple):
    """A process that ended, and the processor seconds it took with its children."""

    done: subprocess.CompletedProcess[str]
    seconds: float


def timed(code: str, words: Sequence[str] = (), where: Path | None = None) -> Timed:
    """Python code in a process of its own."""
    before = times()
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, cwd=where)
    after = times()
    seconds = after.children_user + after.children_system - before.children_user - before.children_system
    return Timed(done, seconds)


def slowness() -> float:
    """How many times longer this machine takes, now, for the like of what is measured; at least 1."""
    return max(1.0, min(timed(WORK).seconds for _ in range(2)) / QUICK)


def in_time(
    code: str, words: Sequence[str], limit: float, where: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run it, up to thrice while it takes more than `limit` seconds of a quick machine's processor; fail if it always does."""
    spent, allowed = [], limit
    for _ in range(3):
        done, seconds = timed(code, words, where)
        spent.append(seconds)
        if done.returncode != 0 or seconds < allowed:
            return done
        allowed = limit * slowness()
        if seconds < allowed:
            return done
    pytest.fail(
        f"{' '.join(words) or code} took {min(spent):.2f} s of the processor, more than the {allowed:.2f} s it may"
    )
