"""Suites by name: the shipped `imagenet` and `pocket`, those the user added, and those that records tell of.

Every suite is a TOML file read by the same reader. No image is opened here.
"""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from pathlib import Path

from shifts.declared.added import add, added
from shifts.declared.reader import read_suite
from shifts.declared.suite import Suite
from shifts.errors import DataError, DataMissing

SHIPPED = Path(str(files("shifts") / "data" / "suites"))
_declared: dict[str, Suite] = {}


def suite_names() -> tuple[str, ...]:
    """Names of the shipped suites."""
    return tuple(_shipped())


def suite(name: str | Path) -> Suite:
    """A suite by its name or by the path of its TOML file.

    DataMissing where there is none, DataError for a bad file, and for one that calls itself as a shipped suite does.
    """
    if str(name) in _shipped():
        return _shipped()[str(name)]
    if Path(name).suffix == ".toml":
        return _own(Path(name))
    own = added()
    if str(name) in own:
        return _own(own[str(name)])
    if str(name) in _declared:
        return _declared[str(name)]
    known = [*_shipped(), *own]
    near = get_close_matches(str(name), known, n=1, cutoff=0.5)
    raise DataMissing(
        f"there is no suite {str(name)!r}{f'; did you mean {near[0]}?' if near else ''}; the suites are "
        f"{', '.join(known[:-1])} and {known[-1]}, and the path of a TOML file is one too"
    )


def add_suite(file: str | Path, replace: bool = False) -> Suite:
    """Make a suite file known by the name in it, and give the suite. DataError where the name is another suite's."""
    opened = _own(Path(file), itself=False)
    add(opened.name, opened.file, replace)
    return opened


def _own(file: Path, itself: bool = True) -> Suite:
    """The suite of a file, whose name is no shipped one's. itself: but for the very file that ships."""
    opened = read_suite(file)
    shipped = _shipped().get(opened.name)
    if shipped is not None and not (itself and opened.file.resolve() == shipped.file.resolve()):
        raise DataError(f"{opened.name} is a suite that ships; give yours another name in {opened.file}")
    return opened


def added_suites() -> dict[str, Path]:
    """Name -> file of the suites that were added."""
    return added()


def declare(suite: Suite) -> None:
    """Make a suite's sets known in this process, so that tables of its records have its titles; nothing is written."""
    _declared[suite.name] = suite


def known_suite(set_name: str) -> Suite | None:
    """The suite that a set belongs to, None for a set of none. A set of one's own is called SUITE/SET."""
    for each in _shipped().values():
        if set_name in each.sets:
            return each
    prefix, slash, _ = set_name.partition("/")
    if not slash:
        return None
    if prefix not in _declared and prefix in added():
        declare(suite(prefix))
    return _declared.get(prefix)


@cache
def _shipped() -> dict[str, Suite]:
    return {file.stem: read_suite(file) for file in sorted(SHIPPED.glob("*.toml"))}
