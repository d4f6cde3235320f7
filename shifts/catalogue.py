"""Sets by name: loading one, and finding which of them lie under a data folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from shifts import registry
from shifts.captions.labelled_lists import find_list, load_list
from shifts.declared.sets import DeclaredSuite
from shifts.errors import DataError
from shifts.layout import LAYOUTS, SAME_FILES, VARIABLE, data_root, get_command, locate
from shifts.protocol import protocol as named_protocol
from shifts.shift import Shift
from shifts.suites import known_suite
from shifts.suites import suite as named_suite
from shifts.synthetic import pocket


class Found(NamedTuple):
    """Where a set lies, or None, and the command that gets it."""

    name: str
    path: Path | None
    command: str


def load(
    name: str,
    root: str | Path | None = None,
    protocol: str = "effrob",
    partial: bool = False,
    generate_into: str | Path | None = None,
) -> Shift:
    """A set of images under a protocol; a labelled list by its folder's name under `root`, or by its path.

    root           the data folder; $EFFROB_DATA by default
    protocol       a name in PROTOCOLS
    partial        take a set whose counts differ from the official ones; the Shift then says `partial`
    generate_into  folder in which a pocket set is generated where the data folder lacks it

    Raises DataMissing for a set, folder or name that is not there, DataError for a set that is not what it should be.
    """
    if name == "pocket-web":
        raise DataError(
            "pocket-web has captions and no labels; read it with shifts.synthetic.pocket.load_web, or let "
            "`effrob captions match pocket-web` label it by its captions"
        )
    own = known_suite(name) if "/" in name else None
    if own is not None and name in own.sets:
        return load_suite(own.name, root, protocol)[name]
    held = None if name in registry.names() else find_list(name, _optional_root(root))
    if held is not None:
        into = None if generate_into is None else Path(generate_into)
        return load_list(name, held, _optional_root(root), into, named_protocol(protocol))
    loader = registry.loader(name)
    chosen = named_protocol(protocol)
    if name in pocket.SETS and generate_into is not None:
        return loader(pocket.ensure(name, _optional_root(root), Path(generate_into)), chosen, partial)
    return loader(data_root(root, name), chosen, partial)


def load_suite(
    suite: str | Path,
    root: str | Path | None = None,
    protocol: str = "effrob",
    at: Mapping[str, str | Path] | None = None,
) -> DeclaredSuite:
    """The sets of a suite, shipped, added or a TOML file: `load_suite("pacs.toml", root="/data")["sketch"]` is a Shift.

    root      the data folder; $EFFROB_DATA by default, and the suite file's own folder where a set is not under it
    at        a set's own folder or file, by its name
    Raises DataMissing and DataError as `load`, when a set is asked for.
    """
    opened = named_suite(suite)
    places = {opened.full_name(name): Path(place) for name, place in (at or {}).items()}
    return DeclaredSuite(opened, _optional_root(root), named_protocol(protocol), places)


def find(root: str | Path | None = None, generate_into: str | Path | None = None) -> tuple[Found, ...]:
    """Every known set with the path it was found at, under the data folder or, for pocket sets, the generated one."""
    held = _optional_root(root)
    located = []
    for name in dict.fromkeys((*registry.TABLE, *LAYOUTS)):
        path = None if held is None else locate(SAME_FILES.get(name, name), held)
        if path is None and name in pocket.SETS and generate_into is not None:
            path = locate(name, Path(generate_into))
        located.append(Found(name, path, get_command(name)))
    return tuple(located)


def _optional_root(root: str | Path | None) -> Path | None:
    """The data folder, or None where none was named; one that was named and does not exist is an error all the same."""
    return None if root is None and not os.environ.get(VARIABLE) else data_root(root)
