"""Half a million records, with as many images on disk: a minute of one core, two gigabytes."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shifts import classes

EACH, CLASSES = 500, 1000
SECONDS, KILOBYTES = 60.0, 2_000_000
PROGRAM = """
import resource, sys
from effrob.cli import main
try:
    main(sys.argv[1:])
except SystemExit as stop:
    assert not stop.code, stop.code
own = resource.getrusage(resource.RUSAGE_SELF)
print(f"cpu {own.ru_utime + own.ru_stime:.1f} s, peak {own.ru_maxrss} KB", file=sys.stderr)
"""


@pytest.fixture(scope="module")
def half_a_million(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder: words of Zipfian length and number as Flickr's, an image for 499 records of 500."""
    root, table, rng = tmp_path_factory.mktemp("scale"), classes.imagenet(), random.Random(0)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 10))) for _ in range(40_000)]
    train = root / "imagenet/train"
    train.mkdir(parents=True)
    pictures = [root / f"{n}.jpg" for n in range(12)]  # a file system counts 65,000 links at most
    for picture in pictures:
        picture.write_bytes(b"x")
    with (root / "imagenet_captions.json").open("w") as file:
        for k, wnid in enumerate(table.ids):
            (train / wnid).mkdir()
            for n in range(EACH):
                row = k * EACH + n
                name = f"{wnid}_{n}.JPEG"
                if row % 500 != 7:
                    os.link(pictures[row % 12], f"{train}/{wnid}/{name}")
                described = rng.random() < 0.58
                value = {
                    "filename": name,
                    "title": " ".join([*rng.choices(words, k=rng.randint(1, 9)), table.names[k]]) if row % 25 else "",
                    "tags": rng.choices(words, k=rng.randint(0, 22)),
                    "description": " ".join(rng.choices(words, k=rng.randint(5, 90))) if described else "",
                    "wnid": wnid,
                }
                if described and row % 3 == 0:
                    value["description"] = (
                        f'{value["description"]}\n<a href="http://example.org">more</a> &amp; me@x.org'
                    )
                file.write(("[" if row == 0 else ", ") + json.dumps(value))
        file.write("]")
    return root


def measured(*args: str | Path) -> tuple[float, int]:
    """CPU seconds and peak kilobytes of one command: wall clocks measure the neighbours too."""
    begun = time.monotonic()
    done = subprocess.run([sys.executable, "-c", PROGRAM, "captions", *map(str, args)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = re.search(r"cpu ([\d.]+) s, peak (\d+) KB", done.stderr)
    assert found is not None
    print(args[0], found[0], f"wall {time.monotonic() - begun:.1f} s")
    return float(found[1]), int(found[2])


@pytest.mark.slow
def test_half_a_million_records_take_a_minute_and_two_gigabytes(half_a_million: Path, tmp_path: Path) -> None:
    data = ["--data", half_a_million]
    arms = ["--variant", "title", "--variant", "title+description+tags"]
    costs = [
        measured("stats", *data),
        measured("build", *data, *arms, "--out", tmp_path / "b"),
        measured(
            "export", tmp_path / "b", *data, *arms, "--format", "csv", "--format", "labels", "--out", tmp_path / "a"
        ),
        measured("match", tmp_path / "a/title-csv/captions.csv", "--out", tmp_path / "m"),
        measured("match", tmp_path / "a/title+description+tags-csv/captions.csv", "--rule", "words"),
    ]
    for seconds, kilobytes in costs:
        assert seconds < SECONDS and kilobytes < KILOBYTES
