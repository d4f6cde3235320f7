"""Percent or fraction: the unit of a user's table, found over the whole file or declared, and never guessed where both fit."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from effrob.errors import UsageProblem, suggest
from shifts.declared.suites import known_suite

UNITS = {"fraction": 1.0, "percent": 100.0}
# Values up to 1 and above it in one column of percents lie close together (a continuum of weak networks); those of two units
# lie a hundredfold apart.
GAP = 10.0


class GivenNumber(NamedTuple):
    """An accuracy as written: where it stands, under which heading, of which set."""

    where: str
    heading: str
    set: str
    value: float


def check_unit(unit: str) -> str:
    """The unit itself. Raises UsageProblem for another word."""
    known = ["auto", *UNITS]
    if unit not in known:
        raise UsageProblem(f"--unit is auto, percent or fraction; got {unit!r}{suggest(unit, known)}")
    return unit


def number(text: str, where: str) -> float | None:
    """A cell as a number, None where it is empty. Raises UsageProblem for what is no finite number from 0 to 100."""
    text = text.strip()
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if "_" in text or not math.isfinite(value):
        mend = (
            "write the number alone and declare --unit percent" if text.endswith("%") else "correct or empty the cell"
        )
        raise UsageProblem(f"{where}: an accuracy was wanted, found {text!r}: {mend}")
    if not 0.0 <= value <= 100.0:
        raise UsageProblem(f"{where}: an accuracy lies from 0 to 100 percent, found {text}: correct or empty the cell")
    return value


def unit_of(numbers: Sequence[GivenNumber], asked: str, where: str) -> str:
    """`percent` or `fraction`, for all the numbers of a file.

    `auto`: fraction where all are at most 1, else percent. Raises UsageProblem where a number does not fit the unit declared,
    and where the file seems to hold both units.
    """
    if asked == "fraction":
        over = next((each for each in numbers if each.value > 1.0), None)
        if over is not None:
            raise UsageProblem(
                f"{over.where}: a fraction was declared, found {over.value:g}: use --unit percent, or correct the cell"
            )
    if asked != "auto":
        return asked
    if all(each.value <= 1.0 for each in numbers):
        return "fraction"
    for heading in dict.fromkeys(each.heading for each in numbers):
        column = [each for each in numbers if each.heading == heading]
        small = max((each for each in column if 0.0 < each.value <= 1.0), key=_value, default=None)
        large = min((each for each in column if each.value > 1.0), key=_value, default=None)
        if small is None:
            continue
        if large is None:
            large = min((each for each in numbers if each.value > 1.0), key=_value)
            raise _both(small, large, where)
        # ImageNet-A was chosen against one network: in percents it holds 0.03 and 30 side by side.
        owner = known_suite(small.set)
        uneven = owner is not None and small.set in owner.diagnostic
        if large.value / small.value > GAP and not uneven:
            raise _both(small, large, where)
    return "percent"


def fractions(values: Iterable[float], unit: str) -> list[float]:
    """Numbers of a unit as fractions."""
    return [value / UNITS[unit] for value in values]


def _value(each: GivenNumber) -> float:
    return each.value


def _both(small: GivenNumber, large: GivenNumber, where: str) -> UsageProblem:
    return UsageProblem(
        f"{where}: fractions and percents at once, it seems: {small.value:g} ({small.where}) beside {large.value:g} "
        f"({large.where}): write all in one unit, or declare --unit percent if {small.value:g} is a percentage"
    )
