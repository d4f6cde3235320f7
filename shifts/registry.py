"""Shift names -> loaders: a table of our own, entry points of third parties, and names registered at run time.

A loader is `loader(root: Path, protocol: Protocol, partial: bool) -> Shift` and is imported on first use; our own also
take `Places`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from shifts.declared import suites
from shifts.declared.suite import Suite
from shifts.errors import DataError, DataMissing
from shifts.protocol import Protocol
from shifts.shift import Shift

Loader = Callable[[Any, Protocol, bool], Shift]

GROUP = "effrob.shifts"
TABLE: Mapping[str, str] = {
    "imagenet": "shifts.imagenet:load_imagenet",
    "imagenet-real": "shifts.imagenet:load_imagenet_real",
    "imagenet-v2": "shifts.imagenet_v2:load_matched_frequency",
    "imagenet-v2-threshold-0.7": "shifts.imagenet_v2:load_threshold",
    "imagenet-v2-top-images": "shifts.imagenet_v2:load_top_images",
    "imagenet-r": "shifts.imagenet_r:load_imagenet_r",
    "imagenet-sketch": "shifts.imagenet_sketch:load_imagenet_sketch",
    "objectnet": "shifts.objectnet:load_objectnet",
    "imagenet-a": "shifts.imagenet_a:load_imagenet_a",
    "pocket": "shifts.synthetic.pocket:load_pocket",
    "pocket-v2": "shifts.synthetic.pocket:load_pocket_v2",
    "pocket-r": "shifts.synthetic.pocket:load_pocket_r",
    "pocket-sketch": "shifts.synthetic.pocket:load_pocket_sketch",
    "pocket-object": "shifts.synthetic.pocket:load_pocket_object",
    "pocket-a": "shifts.synthetic.pocket:load_pocket_a",
    "imagenet-train": "shifts.imagenet:load_imagenet_train",
    "pocket-train": "shifts.synthetic.pocket:load_pocket_train",
}
_registered: dict[str, Loader] = {}
_declared: dict[str, tuple[str, bool]] = {}  # of the registered: the suite, and whether heads are trained on the set


def register(name: str, loader: Loader, suite: str = "imagenet", teaches: bool = False) -> None:
    """Add a loader for this process. DataError where the name is taken by another one.

    suite    the shipped suite whose classes the set is labelled in
    teaches  True for a set that heads are trained on
    """
    declared = suites.suite(suite).name, teaches
    known = _registered.get(name, loader), _declared.get(name, declared)
    if name in _entries() or known != (loader, declared):
        raise DataError(f"there is a shift {name!r} already; register yours under another name")
    _registered[name], _declared[name] = loader, declared


def names() -> tuple[str, ...]:
    """Every name `load` knows, training sources included, the table's first."""
    return (*_entries(), *_registered)


def suite_of(name: str) -> Suite:
    """The suite a set belongs to; `imagenet` for a set of another package and for a labelled list."""
    declared = _declared[name][0] if name in _declared else "imagenet"
    return suites.known_suite(name) or suites.suite(declared)


def teaches(name: str) -> bool:
    """True for a set that heads are trained on, as its suite or its registration says."""
    return _declared[name][1] if name in _declared else name in suite_of(name).training


def loader(name: str) -> Loader:
    """The loader of that name; DataMissing names the near matches."""
    if name in _registered:
        return _registered[name]
    entry = _entries().get(name)
    if entry is None:
        near = get_close_matches(name, names(), n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else "`effrob shifts` lists them"
        raise DataMissing(f"there is no shift {name!r}; {hint}")
    try:
        loaded: Loader = entry.load()
    except (ImportError, AttributeError) as error:
        raise DataError(f"the loader of shift {name!r}, {entry.value}, cannot be imported ({error}); mend it") from None
    return loaded


@functools.cache  # looking through every installed package takes 30 ms
def _offered(find: Callable[..., Iterable[EntryPoint]]) -> tuple[EntryPoint, ...]:
    return tuple(find(group=GROUP))


def _entries() -> dict[str, EntryPoint]:
    entries = {name: EntryPoint(name, value, GROUP) for name, value in TABLE.items()}
    for entry in _offered(entry_points):
        if entries.setdefault(entry.name, entry).value != entry.value:
            raise DataError(
                f"two packages offer a shift {entry.name!r}, {entries[entry.name].value} and {entry.value}; remove one"
            )
    return entries
