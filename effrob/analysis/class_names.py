"""What the classes of a record are called, and which of them a zero-shot head cannot tell apart. Opens no image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from effrob.results.store import Stored
from shifts import DataMissing
from shifts.classes import class_table
from shifts.declared.suites import known_suite
from shifts.labels import LabelSpace, duplicate_names
from shifts.protocol import protocol


@dataclass(frozen=True)
class ClassNames:
    """names (K,) in the order of the label space; spoken_twice: a spoken name -> the classes that share it."""

    names: tuple[str, ...]
    spoken_twice: Mapping[str, tuple[int, ...]]


def class_names(stored: Stored, n_classes: int) -> ClassNames:
    """From the class table of the set's suite; `class 7` where its classes are the user's own and no table tells."""
    labels = _label_space(stored)
    if labels is None or len(labels) < n_classes:
        return ClassNames(tuple(f"class {index}" for index in range(n_classes)), {})
    shared = duplicate_names(labels) if stored.record.asked.head == "zero-shot" else {}
    return ClassNames(labels.class_names, shared)


def _label_space(stored: Stored) -> LabelSpace | None:
    asked = stored.record.asked
    suite = known_suite(asked.shift)
    if suite is None:
        return None
    try:
        table = class_table(str(suite.classes))
    except DataMissing:
        return None
    of = suite.sets[asked.shift]
    if of.folder_names == "objects":
        return table.objects(protocol(asked.protocol))
    return table.full() if of.subset is None else table.subset(of.subset)
