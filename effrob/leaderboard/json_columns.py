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

_FOUR = np.frombuffer("".join(f"{i:04d}" for i in range(10_000)).encode(), np.uint32)  # four digits in four bytes


def decimals(values: Floats) -> Texts:
    """Each rounded to DIGITS decimals, as Python's repr has it; `null` for NaN."""
    rounded = np.round(values, DIGITS)
    size = np.abs(rounded)
    text = np.zeros((len(rounded), WIDTH), np.uint8)
    with np.errstate(invalid="ignore"):
        plain = (size < 10) & ((size >= 1e-4) | (size == 0))  # repr has no exponent
    whole = np.rint(size[plain] * 10**DIGITS).astype(np.int64)
    digits = np.stack([_FOUR[whole // 10**4], _FOUR[whole % 10**4]], axis=1).view(np.uint8)  # one before the point
    used = digits != ord("0")
    for i in range(DIGITS - 1, 1, -1):  # a zero before a digit that is used
        used[:, i] |= used[:, i + 1]
    used[:, :2] = True
    made = np.zeros((len(whole), 3 + DIGITS), np.uint8)
    made[:, 0] = np.signbit(rounded[plain]) * np.uint8(ord("-"))
    made[:, 1], made[:, 2] = digits[:, 0], ord(".")
    made[:, 3:] = digits[:, 1:] * used[:, 1:]
    text[plain, : 3 + DIGITS] = made
    none = np.isnan(rounded)
    text[none, :4] = np.frombuffer(b"null", np.uint8)
    for i in np.flatnonzero(~(plain | none)).tolist():
        told = json.dumps(float(rounded[i]), allow_nan=False).encode()
        text[i, : len(told)] = np.frombuffer(told, np.uint8)
    return text


def fields(of: NDArray[np.void], *names: str) -> list[Texts]:
    """`decimals` of each field named."""
    every = decimals(np.concatenate([of[name] for name in names]))
    return list(every.reshape(len(names), len(of), WIDTH))


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
