"""Values of a file of answers as class numbers, class ids or scores; what is none is named by its row and column."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from effrob.errors import UsageProblem

NUMBER = re.compile(r"[+-]?\d+(\.0*)?")  # a whole number, as pandas also writes those of a column with gaps


def plain(where: str, name: str, values: Any) -> NDArray[Any]:
    """A column as an array: (N,), or (N, K) for rows of scores. Raises UsageProblem for rows of different lengths."""
    if isinstance(values, list):  # lists of an arrow column
        lengths = {len(value) if isinstance(value, list) else -1 for value in values}
        if len(lengths) != 1 or lengths == {-1}:
            raise UsageProblem(f"{where}: {name} has rows of different lengths: give a score a class in every row")
        values = [value[0] for value in values] if lengths == {1} else values
    try:
        return np.asarray(values)
    except ValueError as error:
        raise UsageProblem(
            f"{where}: {name} is no array ({error}): give a number an image, or a row of scores"
        ) from None


def told(
    where: str, column: str | None, array: NDArray[Any], what: str | None
) -> tuple[NDArray[Any] | None, NDArray[np.float32] | None]:
    """(classes, logits): two dimensions are scores, one is answers. Raises UsageProblem, naming the row, for a blank answer."""
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim not in (1, 2):
        raise UsageProblem(f"{where} wants (N,) answers or (N, K) scores, found an array {array.shape}: reshape it")
    seen = "classes" if array.ndim == 1 else "logits"
    if what is not None and what != seen:
        raise UsageProblem(f"{where} was said to hold {what}, and its array {array.shape} holds {seen}: mend --what")
    if seen == "logits":
        return None, floats(where, array)
    if array.dtype.kind == "O" and any(isinstance(value, str) for value in array.tolist()):
        array = np.array(["" if value is None or value != value else str(value) for value in array.tolist()], np.str_)
    if array.dtype.kind not in "US":
        return whole(where, column, array), None
    words = np.char.strip(array.astype(np.str_))
    blank = np.flatnonzero(words == "")
    if len(blank):
        raise UsageProblem(
            f"{where} has no answer in {place(column, blank[0])}: the cell is empty{_also(blank)}; give the class answered "
            "there, or leave that image out and give --partial"
        )
    if len(words) and all(map(NUMBER.fullmatch, words.tolist())):
        return whole(where, column, words), None
    return words, None


def place(column: str | None, row: int) -> str:
    """A row of a file of answers, and the column where it has several, as sentences name them."""
    return f"row {int(row):,} (counted from 0){f' of its column {column!r}' if column else ''}"


def _also(rows: NDArray[np.intp]) -> str:
    return f", and in {len(rows) - 1:,} more" if len(rows) > 1 else ""


def _check_numbers(where: str, array: NDArray[Any]) -> None:
    """Raises UsageProblem for dates, complex numbers and the like."""
    if array.dtype.kind not in "iufbUSO":
        raise UsageProblem(f"{where} holds {array.dtype} where classes or scores were wanted: give plain numbers")


def floats(where: str, array: NDArray[Any]) -> NDArray[np.float32]:
    """Scores as float32, of the same shape. Raises UsageProblem for what is no number, NaN or infinite."""
    _check_numbers(where, array)
    try:
        with np.errstate(all="ignore"):  # what float32 cannot hold becomes infinite, and is refused below
            scores = array.astype(np.float32)
    except (ValueError, TypeError):
        raise UsageProblem(f"{where} wants scores, and some are no numbers: write numbers alone") from None
    if not np.isfinite(scores).all():
        row = int(np.flatnonzero(~np.isfinite(scores).all(axis=1))[0])
        raise UsageProblem(
            f"{where} has a score that is NaN or infinite in {place(None, row)}: an answer cannot be told from it"
        )
    return scores


def whole(where: str, column: str | None, array: NDArray[Any]) -> NDArray[np.int64]:
    """Class numbers. Raises UsageProblem, naming the row and what stands there, for what is no whole number."""
    if array.dtype.kind == "b":
        raise UsageProblem(f"{where} holds right or wrong for each image, and no answer: give the class answered")
    _check_numbers(where, array)
    try:
        numbers = array.astype(np.float64)
    except (ValueError, TypeError, OverflowError):
        row, found = next((i, value) for i, value in enumerate(array.tolist()) if not _is_number(value))
        raise UsageProblem(
            f"{where} wants class numbers, found {str(found)[:40]!r} in {place(column, row)}: give whole numbers, or class ids"
        ) from None
    sound = np.isfinite(numbers) & (np.abs(np.where(np.isfinite(numbers), numbers, 0.0)) < 1e9)
    held = np.where(sound, numbers, 0.0).astype(np.int64)
    wrong = np.flatnonzero(~sound | (numbers != held))
    if len(wrong):
        row = wrong[0]
        if np.isnan(numbers[row]):
            raise UsageProblem(
                f"{where} wants whole class numbers, found nan, no answer, in {place(column, row)}{_also(wrong)}: give the "
                "class answered there, or leave that image out and give --partial"
            )
        raise UsageProblem(
            f"{where} wants whole class numbers, found {numbers[row]:g} in {place(column, row)}: scores are an (N, K) array"
        )
    return held


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (ValueError, TypeError, OverflowError):
        return False
    return True


def named_ids(where: str, name: str, values: Any) -> tuple[str, ...]:
    """The ids of a column. Raises UsageProblem for an empty one."""
    array = np.asarray(values)
    if array.ndim != 1:
        raise UsageProblem(f"{where}: {name} wants one id an image, found an array {array.shape}")
    texts = [value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value) for value in array.tolist()]
    empty = next((i for i, text in enumerate(texts) if not text.strip() or text in ("None", "nan")), None)
    if empty is not None:
        raise UsageProblem(f"{where} has no id in {place(name, empty)}: every answer needs the image it is of")
    return tuple(texts)
