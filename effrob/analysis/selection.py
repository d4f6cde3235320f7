"""The records an analysis reads: a model by name, its shifts, one way of reading it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from shlex import quote

from effrob.errors import UsageProblem, suggest
from effrob.results.select import fullest, is_named, read_records, reading_of
from effrob.results.store import Stored


def records_of(
    model: str, results: Path, shifts: Sequence[str] = (), head: str | None = None, prompts: str | None = None
) -> list[Stored]:
    """One record a shift, the fullest, in the order of the folder or of `shifts`; records hold an answer an image.

    Raises UsageProblem for a model, head, prompts or shift without a record, and where the model was read in several ways.
    """
    every = read_records(results)
    mine = [stored for stored in every if is_named(stored, model)]
    if not mine:
        hint = suggest(model, sorted({stored.record.asked.model for stored in every}))
        raise UsageProblem(
            f"no record of {model} lies below {results}{hint}; answers an image are wanted: "
            f"run `effrob eval --model {quote(model)}`"
        )
    for what, value in (("head", head), ("prompts", prompts)):
        if value is not None:
            known = sorted({str(getattr(stored.record.asked, what)) for stored in mine} - {"None"})
            mine = [stored for stored in mine if getattr(stored.record.asked, what) == value]
            if not mine:
                raise UsageProblem(f"no record of {model} has --{what} {value}; known: {', '.join(known) or 'none'}")
    readings = sorted(set(map(reading_of, mine)))
    if len(readings) > 1:
        raise UsageProblem(
            f"{model} was evaluated in several ways ({', '.join(readings)}): name one by --head and --prompts"
        )
    by_shift = {stored.record.asked.shift: stored for stored in fullest(mine)}
    lacking = [shift for shift in shifts if shift not in by_shift]
    if lacking:
        raise UsageProblem(
            f"{model} has no record on {', '.join(lacking)} below {results}; it has {', '.join(by_shift)}: "
            f"run `effrob eval --model {quote(model)} --shift {quote(lacking[0])}`"
        )
    return [by_shift[shift] for shift in dict.fromkeys(shifts or by_shift)]
