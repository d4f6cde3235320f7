"""Columns of numbers as the rows of a JSON table, an array at a time: the text that `json` would write, in a third of its time.

Texts are (n, w) bytes in which a zero byte is no character, so that rows of unequal length lie in one array.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from effrob.leaderboard.judging.places import Floats

DIGITS = 7  # decimals that are kept
WIDTH = 24  # characters of the longest repr of a float64
Texts = NDArray[np.uint8]

_FOUR = np.frombuffer("".join(f"{i:04d}" for i in range(10_000)).encode(), np.uint8).reshape(-1, 4)


def decimals(values: Floats) -> Texts:
    """Each rounded to DIGITS decimals, as Python's repr has it; `null` for NaN."""
    rounded = np.round(values, DIGITS)
    text = np.zeros((len(rounded), WIDTH), np.uint8)
    with np.errstate(invalid="ignore"):
        plain = (np.abs(rounded) < 10) & ((np.abs(rounded) >= 1e-4) | (rounded == 0))  # repr has no exponent
    whole = np.rint(np.abs(rounded[plain]) * 10**DIGITS).astype(np.int64)
    digits = np.concatenate([_FOUR[whole // 10**4], _FOUR[whole % 10**4]], axis=1)  # one before the point, seven behind
    used = np.maximum.accumulate(digits[:, ::-1] != ord("0"), axis=1)[:, ::-1]
    used[:, :2] = True
    some = np.where(np.signbit(rounded[plain]), ord("-"), 0)[:, None], digits[:, :1], np.full((len(whole), 1), ord("."))
    text[plain, : 3 + DIGITS] = np.concatenate([*some, np.where(used, digits, 0)[:, 1:]], axis=1)
    none = np.isnan(rounded)
    text[none, :4] = np.frombuffer(b"null", np.uint8)
    for i in np.flatnonzero(~(plain | none)).tolist():
        told = json.dumps(float(rounded[i]), allow_nan=False).encode()
        text[i, : len(told)] = np.frombuffer(told, np.uint8)
    return text


def each(values: NDArray[Any], text: Callable[[Any], str]) -> Texts:
    """The text of each, made once for equal values."""
    distinct, place = np.unique(values, return_inverse=True)
    texts = np.array([text(value).encode() for value in distinct.tolist()], dtype="S")
    return texts.view(np.uint8).reshape(len(distinct), texts.itemsize)[place]


def rows(columns: Sequence[Texts]) -> Texts:
    """(n, w) a JSON array a row."""
    parts = [part for column in columns for part in (_same(",", len(column)), column)][1:]
    return np.concatenate([_same("[", len(columns[0])), *parts, _same("]", len(columns[0]))], axis=1)


def table(texts: Texts) -> str:
    """A JSON array of the texts."""
    between = np.concatenate([_same(",", len(texts)), texts], axis=1)
    return f"[{between[between != 0].tobytes().decode()[1:]}]"


def _same(character: str, n: int) -> Texts:
    return np.full((n, 1), ord(character), np.uint8)
