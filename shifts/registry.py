"""Shift names -> loaders: a table anyone can read, entry points of third parties, and names registered at run time.

A loader is `loader(root: Path, protocol: Protocol, partial: bool) -> Shift` and is imported on first use.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from shifts.errors import DataError, DataMissing
from shifts.protocol import Protocol
from shifts.shift import Shift

Loader = Callable[[Path, Protocol, bool], Shift]

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
TRAINING = frozenset({"imagenet-train", "pocket-train"})
SUITES: Mapping[str, tuple[str, ...]] = {
    "imagenet": ("imagenet", "imagenet-v2", "imagenet-r", "imagenet-sketch", "objectnet", "imagenet-a"),
    "pocket": ("pocket", "pocket-v2", "pocket-r", "pocket-sketch", "pocket-object", "pocket-a"),
}
_registered: dict[str, Loader] = {}


def register(name: str, loader: Loader) -> None:
    """Add a loader for this process. DataError where the name is taken by another one."""
    if name in _entries() or _registered.get(name, loader) is not loader:
        raise DataError(f"there is a shift {name!r} already; register yours under another name")
    _registered[name] = loader


def names() -> tuple[str, ...]:
    """Every name `load` knows, training sources included, the table's first."""
    return (*_entries(), *_registered)


def suite(name: str) -> tuple[str, ...]:
    """The test sets of a suite, the clean one first; DataMissing names the near matches."""
    if name not in SUITES:
        raise DataMissing(f"there is no suite {name!r}; the suites are {' and '.join(SUITES)}")
    return SUITES[name]


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
        found: Loader = entry.load()
    except (ImportError, AttributeError) as error:
        raise DataError(f"the loader of shift {name!r}, {entry.value}, cannot be imported ({error}); mend it") from None
    return found


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
