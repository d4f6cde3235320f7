"""Sets by name: loading one, and finding which of them lie under a data folder."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from shifts import registry
from shifts.captions.labelled_lists import find_list, load_list
from shifts.declared.sets import DeclaredSuite
from shifts.declared.suite import Suite
from shifts.declared.suites import known_suite
from shifts.declared.suites import suite as named_suite
from shifts.errors import DataError, DataMissing
from shifts.layout import LAYOUTS, SAME_FILES, VARIABLE, Places, data_root, get_command, locate_set, set_hint
from shifts.protocol import protocol as named_protocol
from shifts.shift import Shift
from shifts.storage.kept_places import expanded, kept_places
from shifts.storage.tree import unread_images
from shifts.synthetic import pocket


class Found(NamedTuple):
    """Where a set lies, or None, and the command that gets it.

    form    folder, tar, zip, shards, parquet, arrow or tfrecord
    images  how many it holds; None for a training set, whose million files are not counted for a list
    note    what was passed over, and why
    """

    name: str
    path: Path | None
    command: str
    form: str | None = None
    images: int | None = None
    note: str | None = None


def load(
    name: str,
    root: str | Path | None = None,
    protocol: str = "effrob",
    partial: bool = False,
    generate_into: str | Path | None = None,
    at: str | Path | None = None,
    follow_links: bool = False,
    places: Mapping[str, str | Path] | None = None,
) -> Shift:
    """A set of images under a protocol; a labelled list by its folder's name under `root`, or by its path.

    root           the data folder; $EFFROB_DATA by default
    protocol       a name in PROTOCOLS
    partial        take a set whose counts differ from the official ones; the Shift then says `partial`
    generate_into  folder in which a pocket set is generated where the data folder lacks it
    at             the set's own folder or file, in any form that is read; it goes before what the data folder holds
    follow_links   follow links that leave the set's folder
    places         the same as `at` for several sets by name: a label view is found at the place of its images

    Raises DataMissing for a set, folder or name that is not there, DataError for a set that is not what it should be.
    """
    if name == "pocket-web":
        raise DataError(
            "pocket-web has captions and no labels; read it with shifts.synthetic.pocket.load_web, or let "
            "`effrob captions match pocket-web` label it by its captions"
        )
    named = _named_places({**(places or {}), **({} if at is None else {name: at})})
    own = known_suite(name) if "/" in name else None
    if own is not None and name in own.sets:
        return load_suite(own.name, root, protocol, named)[name]
    held = None if name in registry.names() else find_list(name, _optional_root(root))
    if held is not None:
        into = None if generate_into is None else Path(generate_into)
        return load_list(name, held, _optional_root(root), into, named_protocol(protocol))
    loader = registry.loader(name)
    chosen = named_protocol(protocol)
    if name not in registry.TABLE:
        return loader(named.get(name) or data_root(root, name), chosen, partial)
    files = SAME_FILES.get(name, name)
    optional = name in named or files in named or (name in pocket.SETS and generate_into is not None)
    looked = Places(_optional_root(root) if optional else data_root(root, name), named, follow_links)
    if name in pocket.SETS and generate_into is not None and locate_set(name, looked).opened is None:
        return loader(pocket.ensure(name, None, Path(generate_into)), chosen, partial)
    return loader(looked, chosen, partial)


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
    named = _named_places(at)
    places = {opened.full_name(name): place for name, place in named.items() if opened.full_name(name) in opened.sets}
    return DeclaredSuite(opened, _optional_root(root), named_protocol(protocol), places)


def find(
    root: str | Path | None = None,
    generate_into: str | Path | None = None,
    at: Mapping[str, str | Path] | None = None,
    follow_links: bool = False,
) -> tuple[Found, ...]:
    """Every known set with the path it was found at: named in `at`, under the data folder or, for pocket sets, generated."""
    check_names(at or ())
    places = Places(_optional_root(root), _named_places(at), follow_links)
    generated = None if generate_into is None else Places(Path(generate_into))
    return tuple(_found(name, places, generated) for name in dict.fromkeys((*registry.TABLE, *LAYOUTS)))


def _found(name: str, places: Places, generated: Places | None) -> Found:
    try:
        located = locate_set(name, places)
        if located.opened is None and name in pocket.SETS and generated is not None:
            located = locate_set(name, generated)
        opened = located.opened
        images = None if opened is None or registry.teaches(name) else len(opened.tree.paths)
        unread = None if opened is None or images is None else unread_images(opened.tree)
    except (DataError, DataMissing) as error:  # said in the list; the other sets are listed all the same
        return Found(name, None, get_command(name), note=str(error))
    note = "; ".join((*located.passed, *([unread] if unread else []))) or None
    if opened is None:
        return Found(name, None, get_command(name), note=note)
    return Found(name, opened.path, get_command(name), opened.form, images, note)


def check_names(names: Iterable[str], suite: Suite | None = None) -> None:
    """DataMissing for a set that no suite, loader or layout knows, with near matches: a slip would be passed over."""
    own = {} if suite is None else suite.sets
    known = {*registry.names(), *LAYOUTS, *own, *(each.rpartition("/")[2] for each in own)}
    for name in names:
        if name not in known and known_suite(name) is None:
            raise DataMissing(f"a place is named for {name!r}, and there is no such set; {set_hint(name, known)}")


def _named_places(at: Mapping[str, str | Path] | None) -> dict[str, Path]:
    """Set -> place: what was named now goes before what the user's configuration keeps."""
    return {**kept_places(), **{name: expanded(place) for name, place in (at or {}).items()}}


def _optional_root(root: str | Path | None) -> Path | None:
    """The data folder, or None where none was named; one that was named and does not exist is an error all the same."""
    return None if root is None and not os.environ.get(VARIABLE) else data_root(root)
