"""Files of others, mutated: named errors alone, no hang, under 1 GB. `python -m tests.hostile.fuzz_files` does 100,000."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.fuzz_files import BYTES, Target, fuzz, targets

TARGETS = targets()


@pytest.mark.parametrize("name", TARGETS)
def test_a_hundred_and_fifty_cases(name: str) -> None:
    ended = fuzz(name, TARGETS[name], 150)
    assert not ended.faults and ended.cases == 150 and ended.refused > 0
    assert (
        ended.largest < 4 * BYTES
    )  # of this process with all that other tests loaded; a run of its own is held to 1 GB


def test_a_reader_that_trusts_its_input_is_caught() -> None:
    def trusting(folder: Path) -> object:
        return int((folder / "n").read_bytes())

    assert fuzz("planted", Target({"n": b"12"}, trusting), 50).faults
