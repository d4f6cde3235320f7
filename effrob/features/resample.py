"""Pillow's resize of 8-bit pictures, bit for bit, in compiled code, and of the crop window alone.

Two passes with integer coefficients of 22 bits, rounded to bytes in between, as in Pillow's `src/libImaging/Resample.c`.
Pixels are words of four bytes, RGBX. The horizontal pass transposes 16 rows at a time, so that both passes run along
contiguous bytes and compile to vector instructions. Needs numba; `compiled` proves it against the installed Pillow before use.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

Words = NDArray[np.uint32]  # (H, W)

PRECISION = 22  # bits after the point of a coefficient: 32 less 8 of a byte and 2 for sums beyond 0 and 255
HALF = 1 << (PRECISION - 1)
ROWS = 16  # transposed at a time: 64 bytes a pixel column, and a picture 2,000 pixels wide stays in a 128 kB cache

# filter -> its number in `_weight`, and its support in pixels of the output
FILTERS = {"box": (0, 0.5), "bilinear": (1, 1.0), "hamming": (2, 1.0), "bicubic": (3, 2.0), "lanczos": (4, 3.0)}
HAMMING = float(np.float32(0.54)), float(np.float32(0.46))  # Pillow has these two in float32

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """`function` in machine code, without the interpreter's lock, kept on disk."""
    made: Function = njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")(function)
    return made


@compiled
def _sinc(x: float) -> float:
    return 1.0 if x == 0.0 else math.sin(x * math.pi) / (x * math.pi)


@compiled
def _weight(kernel: int, x: float) -> float:
    """The filter at x, in the operations and the order of Pillow's."""
    if kernel == 0:
        return 1.0 if -0.5 < x <= 0.5 else 0.0
    if kernel == 4:
        return _sinc(x) * _sinc(x / 3) if -3.0 <= x < 3.0 else 0.0
    x = abs(x)
    if kernel == 1:
        return 1.0 - x if x < 1.0 else 0.0
    if kernel == 2:
        if x == 0.0:
            return 1.0
        if x >= 1.0:
            return 0.0
        x = x * math.pi
        return math.sin(x) / x * (HAMMING[0] + HAMMING[1] * math.cos(x))
    if x < 1.0:
        return ((-0.5 + 2.0) * x - (-0.5 + 3.0)) * x * x + 1
    return (((x - 5) * x + 8) * x - 4) * -0.5 if x < 2.0 else 0.0


@compiled
def coefficients(
    have: int, want: int, start: int, stop: int, kernel: int, support: float
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Of outputs start..stop of a side resized from `have` to `want` pixels.

    bounds (stop - start, 2) int32: the first input of each and their number; (stop - start, taps) int32 coefficients
    """
    scale = have / want
    stretch = max(scale, 1.0)
    support = support * stretch
    inverse = 1.0 / stretch
    bounds = np.zeros((stop - start, 2), np.int32)
    integers = np.zeros((stop - start, math.ceil(support) * 2 + 1), np.int32)
    weights = np.zeros(integers.shape[1])
    for i in range(stop - start):
        centre = (start + i + 0.5) * scale
        first = max(0, int(centre - support + 0.5))
        taps = min(have, int(centre + support + 0.5)) - first
        total = 0.0
        for j in range(taps):
            weights[j] = _weight(kernel, (j + first - centre + 0.5) * inverse)
            total += weights[j]
        for j in range(taps):
            part = (weights[j] / total if total != 0.0 else weights[j]) * (1 << PRECISION)
            integers[i, j] = int(part - 0.5 if part < 0 else part + 0.5)
        bounds[i, 0], bounds[i, 1] = first, taps
    return bounds, integers


@compiled
def _byte(total: int) -> int:
    return min(max(total >> PRECISION, 0), 255)


@compiled
def _horizontal(words: Words, bounds: NDArray[np.int32], integers: NDArray[np.int32], out: Words) -> None:
    """words (rows, W) -> out (rows, columns)."""
    rows, columns = out.shape
    left, right = bounds[0, 0], bounds[columns - 1, 0] + bounds[columns - 1, 1]
    block = np.zeros((right - left, ROWS), np.uint32)
    inputs = block.view(np.uint8)
    result = np.zeros(ROWS, np.uint32)
    outputs = result.view(np.uint8)
    totals = np.zeros(4 * ROWS, np.int32)
    for top in range(0, rows, ROWS):
        height = min(ROWS, rows - top)
        if height == ROWS:  # a loop of constant length is unrolled
            for x in range(right - left):
                for r in range(ROWS):
                    block[x, r] = words[top + r, left + x]
        else:
            for x in range(right - left):
                for r in range(height):
                    block[x, r] = words[top + r, left + x]
        for column in range(columns):
            first = bounds[column, 0] - left
            totals[:] = HALF
            for j in range(bounds[column, 1]):
                factor, pixels = integers[column, j], inputs[first + j]
                for i in range(4 * ROWS):
                    totals[i] += factor * np.int32(pixels[i])
            for i in range(4 * ROWS):
                outputs[i] = np.uint8(_byte(totals[i]))
            for r in range(height):
                out[top + r, column] = result[r]


@compiled
def _vertical(lines: NDArray[np.uint8], bounds: NDArray[np.int32], integers: NDArray[np.int32], out: Words) -> None:
    """lines (rows, 4 columns) bytes, the first of them row bounds[0, 0] -> out (height, columns)."""
    outputs = out.view(np.uint8)
    width = lines.shape[1]
    totals = np.zeros(width, np.int32)
    for y in range(len(out)):
        first, taps, j = bounds[y, 0] - bounds[0, 0], bounds[y, 1], 0
        totals[:] = HALF
        while j + 4 <= taps:  # four rows at once: fewer visits to the totals
            a, b, c, d = integers[y, j], integers[y, j + 1], integers[y, j + 2], integers[y, j + 3]
            p, q, r, s = lines[first + j], lines[first + j + 1], lines[first + j + 2], lines[first + j + 3]
            for i in range(width):
                totals[i] += a * np.int32(p[i]) + b * np.int32(q[i]) + c * np.int32(r[i]) + d * np.int32(s[i])
            j += 4
        while j < taps:
            a, p = integers[y, j], lines[first + j]
            for i in range(width):
                totals[i] += a * np.int32(p[i])
            j += 1
        line = outputs[y]
        for i in range(width):
            line[i] = np.uint8(_byte(totals[i]))


@compiled
def resize_window(
    words: Words,
    width: int,
    height: int,
    window: tuple[int, int, int, int],
    kernel: int,
    support: float,
    vertical_first: bool,
    out: NDArray[np.uint8],
) -> None:
    """Rows top..bottom and columns left..right of `words` (H, W) resized to (height, width), into out (.., .., 3).

    window: top, bottom, left, right
    """
    top, bottom, left, right = window
    across, along = width != words.shape[1], height != words.shape[0]
    columns, column_factors = coefficients(words.shape[1], width, left, right, kernel, support)
    rows, row_factors = coefficients(words.shape[0], height, top, bottom, kernel, support)
    if not across:
        words = words[:, left:right]
    elif not (along and vertical_first):
        if along:
            words = words[rows[0, 0] : rows[-1, 0] + rows[-1, 1]]
        else:
            words = words[top:bottom]
        narrow = np.empty((words.shape[0], right - left), np.uint32)
        _horizontal(words, columns, column_factors, narrow)
        words = narrow[:, :]
    if along:
        if across and not vertical_first:
            lines = words.copy()
        else:
            lines = words[rows[0, 0] : rows[-1, 0] + rows[-1, 1]].copy()
        low = np.empty((bottom - top, lines.shape[1]), np.uint32)
        _vertical(lines.view(np.uint8), rows, row_factors, low)
        words = low[:, :]
    elif not across:
        words = words[top:bottom]
    if across and along and vertical_first:
        narrow = np.empty((bottom - top, right - left), np.uint32)
        _horizontal(words, columns, column_factors, narrow)
        words = narrow[:, :]
    for y in range(bottom - top):
        for x in range(right - left):
            word = words[y, x]
            out[y, x, 0], out[y, x, 1], out[y, x, 2] = word & 255, (word >> 8) & 255, (word >> 16) & 255


@compiled
def normalise_by_table(batch: NDArray[np.uint8], table: NDArray[Any], out: NDArray[Any]) -> None:
    """(B, H, W, 3) bytes -> out (B, 3, H, W) by a table (3, 256) of the same type."""
    images, height, width = batch.shape[:3]
    for i in range(images):
        for c in range(3):
            levels = table[c]
            for y in range(height):
                for x in range(width):
                    out[i, c, y, x] = levels[batch[i, y, x, c]]
