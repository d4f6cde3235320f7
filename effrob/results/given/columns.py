"""What the columns of a user's table of accuracies mean: a set's accuracy, its class-matched clean accuracy, or a count.

A set goes by its own name, by a short one, or by the name that a shipped published table gives its column.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from effrob.errors import UsageProblem, suggest
from model_zoo.published import source, sources
from shifts import DataError, DataMissing, describe, load_suite, suite_of
from shifts.declared.suite import Suite
from shifts.declared.suites import known_suite, suite, suite_names

Kind = Literal["accuracy", "clean", "count", "clean count"]
SHORT = {
    "val": "imagenet",
    "v2": "imagenet-v2",
    "r": "imagenet-r",
    "sketch": "imagenet-sketch",
    "a": "imagenet-a",
    "real": "imagenet-real",
}
SUFFIXES: tuple[tuple[str, Kind], ...] = (("-clean-n", "clean count"), ("-clean", "clean"), ("-n", "count"))


@dataclass(frozen=True)
class SetSize:
    """A test set, as far as a number on it needs to know.

    images        of the official set; None where nobody says
    clean_set     name of the clean set it goes with; None for a clean set
    clean_images  of the clean set's view on the set's own classes; None where nobody says
    same_classes  True where the set has every class of its clean set, so that both clean accuracies are one
    """

    name: str
    images: int | None
    clean_set: str | None
    clean_images: int | None
    same_classes: bool


@dataclass(frozen=True)
class Column:
    """One column that is understood. heading: as written; images: the count its table states, where it states one."""

    heading: str
    kind: Kind
    set: str
    images: int | None = None

    @property
    def understood(self) -> str:
        """The interface's name of the column."""
        ends = {"accuracy": "", "clean": "-clean", "count": "-n", "clean count": "-clean-n"}
        return self.set + ends[self.kind]


@dataclass(frozen=True)
class GivenRow:
    """A line of a table as written: column -> text."""

    model: str
    where: str
    cells: Mapping[Column, str]


@functools.cache
def known_sets() -> tuple[str, ...]:
    """Every test set an accuracy can be of: all of the shipped suites but those that heads are trained on."""
    result = [name for each in suite_names() for name in suite(each).sets if name not in suite(each).training]
    return tuple(dict.fromkeys(result))


def set_size(name: str) -> SetSize:
    """Counts of a set: official ones from the shipped tables, else those of the user's own copy, where it is at hand.

    Raises UsageProblem for an unknown set.
    """
    owner = known_suite(name)
    if owner is not None and owner.declares_places and name in owner.sets and name not in owner.training:
        return _declared_size(name, owner.clean, owner.file, os.environ.get("EFFROB_DATA"))
    if owner is None or name not in known_sets():
        raise UsageProblem(f"no test set is named {name!r}{suggest(name, known_sets())}")
    return _shipped_size(name)


@functools.cache
def _declared_size(name: str, clean: str, file: Path, data: str | None) -> SetSize:
    """Of a set that a suite file says the place of: counted below `data` or beside the file, else without counts."""
    wanted = None if name == clean else clean
    try:
        sets = load_suite(file, data)
        test, reference = sets[name], sets[clean]
    except (DataMissing, DataError):
        return SetSize(name, None, wanted, None, name == clean)
    matched = len(test.labels.restrict(reference.targets)[0])
    return SetSize(name, len(test), wanted, matched, len(test.labels) == len(sets.classes))


@functools.cache
def _shipped_size(name: str) -> SetSize:
    owner = suite_of(name)
    facts = describe(name)
    if name == owner.clean:
        return SetSize(name, facts["images"], None, None, True)
    clean = describe(owner.clean)
    same = facts["classes"] == clean["classes"]
    return SetSize(name, facts["images"], owner.clean, clean["images"] if same else facts["clean_images"], same)


def columns(
    headings: Sequence[str], where: str, suite: Suite | None = None
) -> tuple[dict[int, Column], int, list[str]]:
    """(position -> column, position of `model`, headings that say nothing here).

    Raises UsageProblem where there is no `model` column or no accuracy, and where two columns mean one thing.
    """
    if len(headings) == 1 and any(mark in headings[0] for mark in ";\t"):
        mark = "semicolons" if ";" in headings[0] else "tabs"
        raise UsageProblem(f"{where} wants columns separated by commas, found {mark}: save it with commas")
    models = [i for i, heading in enumerate(headings) if heading.strip().lower() == "model"]
    if len(models) != 1:
        shown = ", ".join(heading.strip() for heading in headings[:8]) or "an empty line"
        result = f"its first line is: {shown}" if not models else "there are two"
        raise UsageProblem(f"{where} wants one column `model` and a column a set; {result}: name the columns in line 1")
    known, ignored = {}, []
    for i, heading in enumerate(headings):
        if i == models[0]:
            continue
        column = read_heading(heading, suite)
        if column is None:
            ignored.append(heading.strip())
        else:
            known[i] = column
    taken: dict[str, Column] = {}
    for column in known.values():
        before = taken.setdefault(column.understood, column)
        if before is not column:
            raise UsageProblem(
                f"{where} gives {column.understood} twice, as {before.heading} and {column.heading}: keep one of the two"
            )
    if not any(column.kind == "accuracy" for column in known.values()):
        shown = ", ".join(ignored[:8]) or "none"
        raise UsageProblem(
            f"{where} has no column of a test set; found: {shown}: name a column {', '.join(known_sets()[:4])}, ..."
        )
    return known, models[0], ignored


def read_heading(heading: str, suite: Suite | None = None) -> Column | None:
    """What a heading means; None where it names no set. suite: the user's own, whose sets may go by their short names."""
    text = heading.strip()
    direct = _named(text, suite)
    if direct is not None:
        return Column(text, "accuracy", direct)
    for ending, kind in SUFFIXES:
        stem = _named(text[: -len(ending)], suite) if text.lower().endswith(ending) else None
        if stem is not None:
            return Column(text, kind, stem)
    published = _published_headings().get(text)
    if published is None:
        return None
    kind, name, images = published
    return Column(text, kind, name, images)


def _named(text: str, suite: Suite | None) -> str | None:
    if suite is not None and suite.full_name(text) in suite.sets:
        full = suite.full_name(text)
        return None if full in suite.training else full
    owner = known_suite(text) if "/" in text else None
    if owner is not None and text in owner.sets and text not in owner.training:
        return text
    name = text.strip().lower()
    name = SHORT.get(name, name)
    return name if name in known_sets() else None


@functools.cache
def _published_headings() -> Mapping[str, tuple[Kind, str, int | None]]:
    """Heading in a shipped table -> (kind, set, its own count of images where that is not the official one)."""
    result: dict[str, tuple[Kind, str, int | None]] = {}
    for name in sources():
        table = source(name)
        result.setdefault(table.full, ("accuracy", "imagenet", None))
        for shift, heading in table.shifts.items():
            own = table.images[shift]
            result.setdefault(heading, ("accuracy", shift, own if own != set_size(shift).images else None))
        for shift, heading in table.clean.items():
            result.setdefault(heading, ("clean", shift, None))
    return result
