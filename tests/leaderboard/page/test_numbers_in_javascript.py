"""The page's script writes intervals and differences as Python does."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from effrob.leaderboard import formatting

SCRIPT = Path(formatting.__file__).parent / "page" / "data.js"
SIZES = (1e-9, 4e-6, 6e-6, 4e-5, 4.9e-4, 6e-4, 0.00123, 0.0391, 0.4567, 0.998)
ENDS = [0.0, *SIZES, *(-size for size in SIZES)]
RUN = """
const pairs = JSON.parse(require("fs").readFileSync(0));
const { between, points, logits } = effrob;
console.log(JSON.stringify(pairs.map(([a, b]) => [between(a, b), between(a, b, points), between(a, b, logits, 2), points(a)])));
"""


def test_intervals_near_zero_have_the_digits_that_python_gives_them() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node on the PATH")
    pairs = list(itertools.combinations(ENDS, 2))
    code = SCRIPT.read_text(encoding="utf-8") + RUN
    done = subprocess.run([node, "-e", code], input=json.dumps(pairs), capture_output=True, text=True, check=True)
    for ends, said in zip(pairs, json.loads(done.stdout), strict=True):
        wanted = [
            formatting.interval(ends),
            formatting.interval(ends, signed=True),
            formatting.logit_interval(ends),
            formatting.points(ends[0]),
        ]
        assert [text.replace("−", "-") for text in said] == wanted, ends
