"""The text made of columns is, byte for byte, what json writes of the rows."""

from __future__ import annotations

import json

import numpy as np
import pytest

from effrob.leaderboard.json_columns import DIGITS, decimals, each, rows, table

AWKWARD = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    9.9999999,
    9.99999996,
    10.0,
    -12.5,
    1e-4,
    9.99e-5,
    -1e-7,
    4e-8,
    0.1,
    0.30000001,
    1234.5678,
    np.nan,
]


def _dumps(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _rounded(values: np.ndarray) -> list[float | None]:
    return [None if v != v else v for v in np.round(values, DIGITS).tolist()]


@pytest.mark.parametrize("scale", [1e-7, 1e-4, 1e-2, 1.0, 30.0])
def test_decimals_are_those_of_json(scale: float) -> None:
    values = np.concatenate([AWKWARD, np.random.default_rng(0).normal(0, scale, 20_000)])
    assert table(decimals(values)) == _dumps(_rounded(values))


def test_rows_of_numbers_words_and_nothing() -> None:
    values, words = np.array([0.25, np.nan, -3e-5]), np.array(["clean", 'a "full" one', "clean"])
    made = table(rows([decimals(values), each(words, _dumps)]))
    assert made == _dumps([[v, w] for v, w in zip(_rounded(values), words.tolist())])


def test_no_rows_are_an_empty_array() -> None:
    assert table(rows([decimals(np.array([])), each(np.array([]), str)])) == "[]"
