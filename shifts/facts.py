"""Facts about a set that need no data: number of images and classes, licence, citation, and where it is looked for.

They come from the class tables, the layouts, and the docstring and TERMS of the loader's module.
"""

from __future__ import annotations

import inspect
import sys
from typing import Any

from shifts import classes, registry
from shifts.classes import folder_order
from shifts.declared import suites
from shifts.layout import LAYOUTS, SAME_FILES, get_command


def describe(name: str) -> dict[str, Any]:
    """Facts about one set, as strict JSON; `images` and `classes` are None where a third party's loader does not declare them.

    clean_images  images of the clean set that show a class of this one; None for a clean set, and where it is not declared
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
        "clean_images": _clean_images(name),
        "suites": [each for each in suites.suite_names() if name in suites.suite(each).tests],
        "trains_heads": registry.teaches(name),
        "folders": [] if layout is None else list(layout.folders),
        "archives": [] if layout is None else list(layout.archives),
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
    suite = registry.suite_of(name)
    table = classes.class_table(str(suite.classes))
    if name not in table.expected:
        return None, None
    return table.expected[name].total, len(folder_order(suite.sets[name], table))


def _clean_images(name: str) -> int | None:
    """Images of the class-matched clean view."""
    owner = suites.known_suite(name)
    if owner is None or name in (owner.clean, *owner.training) or not isinstance(owner.classes, str):
        return None
    table = classes.class_table(owner.classes)
    each = table.expected[owner.clean].each
    of = owner.sets[name]
    if of.folder_names == "objects":
        asked = tuple(table.ids[i] for group in table.object_groups.values() for i in group)
    else:
        asked = table.subsets.get(of.subset or "", table.ids)
    return None if each is None else sum(each[id] for id in asked)
