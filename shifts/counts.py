"""Counts per class against the official ones: a set that lost or gained images is not the set of the published numbers.

Knows no files: it is given what was found, class by class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shifts.classes import Expected
from shifts.errors import DataError

SHOWN = 3


def check_counts(
    name: str, where: str, classes: Sequence[str], found: Mapping[str, int], expected: Expected, partial: bool
) -> bool:
    """True where the set is incomplete or overfull and `partial` allows it; False where the counts are official.

    Raises DataError naming the first differing classes where `partial` is False. Where only the total is published,
    the total is compared and every class must be present. A set without any image is refused in either case.
    """
    total = sum(found.values())
    if not total:
        raise DataError(
            f"{name} should hold {expected.total:,} images and {where} holds none; `effrob data get {name}` gets it"
        )
    if expected.each is None:
        differing = [(c, "at least 1", found.get(c, 0)) for c in classes if not found.get(c)]
    else:
        differing = [
            (c, str(expected.each[c]), found.get(c, 0)) for c in classes if found.get(c, 0) != expected.each[c]
        ]
    if total == expected.total and not differing:
        return False
    if partial:
        return True
    first = ", ".join(f"{c}: {wanted} wanted, {have} found" for c, wanted, have in differing[:SHOWN])
    rest = f" and {len(differing) - SHOWN:,} more classes" if len(differing) > SHOWN else ""
    detail = f" ({first}{rest})" if differing else ""
    raise DataError(
        f"{name} should hold {expected.total:,} images and {where} holds {total:,}{detail}; "
        f"complete it, or give --partial to evaluate what is there"
    )
