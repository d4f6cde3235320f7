"""Whatever a file of accuracies or answers holds, the command ends in rows or in a sentence, never in a traceback."""

from __future__ import annotations

import csv
import io
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from effrob.cli import main

HEADINGS = st.sampled_from(
    ["model", "imagenet", "val", "imagenet-r", "r", "imagenet-r-clean", "imagenet-r-n", "imagenet-v2", "imagenet-v2-clean",
     "objectnet-clean", "imagenet-real", "imagenet-a", "pocket", "pocket-r", "params", "", "Model", "imagenet-r-clean-n"]
)  # fmt: skip
CELLS = st.one_of(
    st.floats(0, 100).map(repr), st.floats(0, 1).map(repr), st.integers(-2, 10**9).map(str), st.text(max_size=6),
    st.sampled_from(["", " ", "nan", "inf", "-inf", "1e400", "0x1", "76,4", "76.4%", "１２", "NA", "1_0", "0", "1", "100"]),
)  # fmt: skip
SLOW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)


def ends_well(*args: str) -> None:
    done = CliRunner().invoke(main, list(args))
    assert done.exit_code in (0, 1, 2), (args, done.output)
    assert done.exception is None or isinstance(done.exception, SystemExit), (args, done.exception)
    assert "unexpected" not in done.output, done.output
    if done.exit_code == 0 and "--json" in args:
        for row in json.loads(done.stdout):
            assert 0 <= row["accuracy"] <= 1 and row["axis"] in ("clean", "full")


@SLOW
@given(st.lists(HEADINGS, min_size=1, max_size=6), st.lists(st.lists(CELLS, max_size=7), max_size=4), st.booleans())
def test_any_table_of_accuracies(headings: list[str], rows: list[list[str]], fit: bool) -> None:
    text = io.StringIO()
    out = csv.writer(text)
    out.writerow(headings)
    for row in rows:
        out.writerow([*row, *[""] * len(headings)][: len(headings)] if fit else row)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.csv"
        path.write_text(text.getvalue(), encoding="utf-8", newline="")
        ends_well("place", str(path), "--json")
        ends_well("place", str(path), "--axis", "clean", "--unit", "percent", "--json")
        ends_well("leaderboard", "--published", "none", "--add", str(path), "--results", folder)


@SLOW
@given(
    st.binary(max_size=200), st.sampled_from([".csv", ".json", ".f", ".jsonl", ".npz", ".npy", ".parquet", ".feather"])
)
def test_any_bytes(content: bytes, suffix: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"t{suffix}"
        path.write_bytes(content)
        ends_well("place", str(path))
        words = ("--model", "m", "--shift", "imagenet-v2", "--results", folder)
        ends_well("import", str(path), *words)
        ends_well("import", str(path), *words, "--order", "official")
        ends_well("import", str(path), *words, "--ids", str(path))


@SLOW
@given(st.lists(st.tuples(st.text(max_size=12), CELLS), max_size=4))
def test_any_numbers(pairs: list[tuple[str, str]]) -> None:
    ends_well("place", "--json", "--", *[f"{name}={value}" for name, value in [("imagenet", "70"), *pairs]])


ARRAYS = st.sampled_from(
    [np.zeros(0), np.zeros((3, 0)), np.array(5), np.arange(4), np.array(["a", "b"]), np.array([True, False]), np.zeros((2, 3)),
     np.array([1e300, -1e300]), np.array([np.nan, 1]), np.array([2**62]), np.zeros((2, 1000)), np.array([1 + 2j]),
     np.array(["2020-01-01"], dtype="datetime64[D]"), np.arange(4, dtype=np.uint64) + 2**63]
)  # fmt: skip
NAMES = st.sampled_from(["ids", "classes", "logits", "labels", "id", "predictions", "x", "0", "1"])


@SLOW
@given(
    st.dictionaries(NAMES, ARRAYS, max_size=4),
    st.sampled_from(["imagenet-v2", "objectnet", "imagenet-real", "imagenet-r"]),
)
def test_any_arrays(arrays: dict[str, Any], shift: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.npz"
        np.savez(path, **arrays)
        for more in (
            (),
            ("--partial",),
            ("--order", "official"),
            ("--what", "classes", "--partial"),
            ("--what", "logits"),
        ):
            words = ("--model", "m", "--shift", shift, "--results", os.path.join(folder, "r"))  # noqa: PTH118
            ends_well("import", str(path), *words, *more)
