"""What is known of a set before anything of it is read: images, classes, terms, and where it is looked for.

Reads the class tables, the layouts and the loader's own docstring and terms; opens no data folder.
"""

from __future__ import annotations

import inspect
import sys
from typing import Any

from shifts import classes, registry, suites
from shifts.layout import LAYOUTS, SAME_FILES, get_command

_SUBSETS = {"imagenet-r": "r", "imagenet-a": "a", "pocket-r": "r", "pocket-a": "a"}
_OBJECTS = ("objectnet", "pocket-object")


def describe(name: str) -> dict[str, Any]:
    """JSON-ready facts of one set; `images` and `classes` are None where a third party's loader does not declare them.

    DataMissing for a name nobody knows.
    """
    loader = registry.loader(name)
    terms = getattr(sys.modules[loader.__module__], "TERMS", None)
    images, asked = _counts(name)
    layout = LAYOUTS.get(SAME_FILES.get(name, name))
    return {
        "name": name,
        "about": (inspect.getdoc(loader) or "").partition("\n")[0],
        "images": images,
        "classes": asked,
        "suites": [each for each in suites.suite_names() if name in suites.suite(each).tests],
        "trains_heads": registry.teaches(name),
        "folders": [] if layout is None else list(layout.folders),
        "archives": [] if layout is None else [archive for archive, _ in layout.archives],
        "get": get_command(name),
        "licence": None if terms is None else terms.licence,
        "citation": None if terms is None else terms.citation,
        "notes": [] if terms is None else list(terms.notes),
    }


def _counts(name: str) -> tuple[int | None, int | None]:
    """Official images, and classes of the question."""
    if name == "imagenet-real":
        from shifts.imagenet import real_labels

        return sum(map(bool, real_labels())), len(classes.imagenet().ids)
    table = classes.class_table(str(registry.suite_of(name).classes))
    held = table.expected.get(name)
    if name in _SUBSETS:
        return (None if held is None else held.total), len(table.subsets[_SUBSETS[name]])
    if name in _OBJECTS:
        return (None if held is None else held.total), len(table.object_groups)
    return (None, None) if held is None else (held.total, len(table.ids))
