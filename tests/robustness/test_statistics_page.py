"""The worked example of docs/statistics.md is what the code gives, and its arithmetic is right."""

from __future__ import annotations

import doctest
import math
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "statistics.md"


def test_the_worked_example_runs() -> None:
    done = doctest.testfile(str(PAGE), module_relative=False)
    assert done.attempted >= 10
    assert done.failed == 0


def test_the_arithmetic_by_hand() -> None:
    logit = math.log(0.8810 / (1 - 0.8810))
    height = 0.6368 * logit - 2.1077
    assert f"logit(0.8810) = {logit:.4f}; 0.6368 × {logit:.4f} − 2.1077 = −{-height:.4f}" in PAGE.read_text()
    assert f"1 / (1 + e^{-height:.4f}) = {1 / (1 + math.exp(-height)):.4f}" in PAGE.read_text()
