"""Suites: a clean set, the shifts measured beside it, and what else an evaluation of them has to agree on.

A suite is a TOML file. `imagenet` and `pocket` are the two shipped ones, in `shifts/data/suites`; every file is read by
`read_suite`. No image is opened here.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from shifts.errors import DataError, DataMissing

SHIPPED = Path(str(files("shifts") / "data" / "suites"))
FORMS = ("folder", "list", "shards", "parquet", "labels")
FOLDER_NAMES = ("classes", "indices", "objects")
_SET_TEXTS = ("title", "subset", "folder_names", "map", "licence", "citation")
_SUITE_TEXTS = ("name", "title", "axis", "clean", "templates", "reference", "baseline")
_SUITE_KEYS = {*_SUITE_TEXTS, "shifts", "diagnostic", "train", "classes", "names", "generated"}


@dataclass(frozen=True)
class SuiteSet:
    """One set of a suite.

    title    heading of its column
    teaches  True for a set that heads are trained on
    subset   key of the subset of the class table that the set is scored in, None for all classes
    folder_names  what a class folder is called: `classes` by its class id, `indices` by the class index, `objects` as in
             ObjectNet, whose folders map to one or more classes
    form     how its files are kept, one of FORMS, and `place`, where: a path under the data folder. Both are None for a
             set whose loader knows where it lies
    map      CSV file of (folder, class) that maps its folders into the suite's classes
    """

    name: str
    title: str
    teaches: bool = False
    subset: str | None = None
    folder_names: str = "classes"
    form: str | None = None
    place: str | None = None
    map: str | None = None
    licence: str = ""
    citation: str = ""


@dataclass(frozen=True)
class TrainingSplit:
    """The training part of a set: images whose hash with the seed lies below `share`. The rest stays for testing."""

    source: str
    share: float
    seed: int = 0


@dataclass(frozen=True)
class Suite:
    """A clean set and its shifts, complete.

    clean       name of the clean set
    ranked      shifts that enter means and ranks, in the order of the columns
    diagnostic  shifts that are shown and rank nothing
    train       set that heads are trained on by default, a part of one, or None
    classes     name of a class table, "folders" (of the clean set, sorted), or the class names
    names       class -> the words a zero-shot head uses, where they are not the class names
    templates   prompt templates: a name or a file
    reference   model whose effect sets the scale of "no effect": `published:TABLE/MODEL`, a model spec, or None
    baseline    default baseline, None where none is shipped
    axis_title  what the horizontal axis shows, without unit
    sets        every set that belongs to the suite, by name
    generated   True where the sets are drawn by a program and need no download
    file        the file it was read from; paths in it are relative to its folder or to the data folder
    """

    name: str
    title: str
    clean: str
    ranked: tuple[str, ...]
    diagnostic: tuple[str, ...]
    train: str | TrainingSplit | None
    classes: str | tuple[str, ...]
    names: Mapping[str, str]
    templates: str
    reference: str | None
    baseline: str | None
    axis_title: str
    sets: Mapping[str, SuiteSet] = field(hash=False)
    generated: bool
    file: Path

    @property
    def shifts(self) -> tuple[str, ...]:
        """Ranked and diagnostic shifts."""
        return (*self.ranked, *self.diagnostic)

    @property
    def tests(self) -> tuple[str, ...]:
        """The sets that are evaluated by default, the clean one first."""
        return (self.clean, *self.shifts)

    @property
    def training(self) -> tuple[str, ...]:
        """Sets that heads are trained on."""
        return tuple(name for name, each in self.sets.items() if each.teaches)

    def set_title(self, name: str) -> str:
        """Heading of a set's column; its own name for a set that is not of the suite."""
        return self.sets[name].title if name in self.sets else name


def suite_names() -> tuple[str, ...]:
    """Names of the shipped suites."""
    return tuple(_shipped())


def suite(name: str | Path) -> Suite:
    """A suite by its name or by the path of its TOML file. DataMissing where there is none, DataError for a bad file."""
    if str(name) in _shipped():
        return _shipped()[str(name)]
    if Path(name).suffix == ".toml":
        return read_suite(Path(name))
    raise DataMissing(f"there is no suite {str(name)!r}; the suites are {' and '.join(_shipped())}")


def read_suite(file: Path) -> Suite:
    """The suite a TOML file describes. DataMissing where there is no file, DataError where it is not a suite."""
    try:
        with file.expanduser().open("rb") as opened:
            content = tomllib.load(opened)
    except FileNotFoundError:
        raise DataMissing(f"there is no suite file {file}; name one, or one of {' and '.join(_shipped())}") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read as TOML ({error}); mend it") from None
    return _Reader(file.expanduser().absolute()).suite(content)


def known_suite(set_name: str) -> Suite | None:
    """The shipped suite that a set belongs to, None for a set of none."""
    return next((each for each in _shipped().values() if set_name in each.sets), None)


@cache
def _shipped() -> dict[str, Suite]:
    return {file.stem: read_suite(file) for file in sorted(SHIPPED.glob("*.toml"))}


class _Reader:
    """One file; every refusal names it and the key."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def suite(self, content: Mapping[str, Any]) -> Suite:
        head = self._table(content, "suite")
        self._known(content, {"suite", "sets"}, "")
        self._known(head, _SUITE_KEYS, "suite.")
        texts = {key: self._text(head, key, "suite.") for key in _SUITE_TEXTS}
        ranked, diagnostic = (self._texts(head, key) for key in ("shifts", "diagnostic"))
        name, clean = texts["name"], texts["clean"]
        if not name or not clean or not ranked:
            raise self._error("suite needs name, clean and shifts")
        sets = {key: self._set(key, table) for key, table in self._table(content, "sets").items()}
        train = self._train(head.get("train"))
        used = (
            clean,
            *ranked,
            *diagnostic,
            *([train.source if isinstance(train, TrainingSplit) else train] if train else []),
        )
        for each in used:
            if each not in sets:
                raise self._error(f"the set {each} is used in [suite] and [sets.{each}] is missing")
        if len({clean, *ranked, *diagnostic}) != 1 + len(ranked) + len(diagnostic):
            raise self._error("a set stands twice among clean, shifts and diagnostic")
        return Suite(
            name=name,
            title=texts["title"] or name,
            clean=clean,
            ranked=ranked,
            diagnostic=diagnostic,
            train=train,
            classes=self._texts(head, "classes") if isinstance(head.get("classes"), list) else self._classes(head),
            names={
                key: self._text(self._table(head, "names"), key, "suite.names.") or "" for key in head.get("names", {})
            },
            templates=texts["templates"] or "openai",
            reference=texts["reference"],
            baseline=texts["baseline"],
            axis_title=texts["axis"] or f"{sets[clean].title} accuracy",
            sets=sets,
            generated=self._flag(head, "generated", "suite."),
            file=self.file,
        )

    def _set(self, name: str, table: object) -> SuiteSet:
        if not isinstance(table, Mapping):
            raise self._error(f"sets.{name} must be a table")
        prefix = f"sets.{name}."
        self._known(table, {*_SET_TEXTS, *FORMS, "teaches"}, prefix)
        texts = {key: self._text(table, key, prefix) for key in (*_SET_TEXTS, *FORMS)}
        forms = [key for key in FORMS if texts[key]]
        if len(forms) > 1:
            raise self._error(f"sets.{name} has {' and '.join(forms)}; keep one")
        if texts["folder_names"] not in (None, *FOLDER_NAMES):
            raise self._error(f"sets.{name}.folder_names is one of {', '.join(FOLDER_NAMES)}")
        return SuiteSet(
            name=name,
            title=texts["title"] or name,
            teaches=self._flag(table, "teaches", prefix),
            subset=texts["subset"],
            folder_names=texts["folder_names"] or "classes",
            form=forms[0] if forms else None,
            place=texts[forms[0]] if forms else None,
            map=texts["map"],
            licence=texts["licence"] or "",
            citation=texts["citation"] or "",
        )

    def _train(self, train: object) -> str | TrainingSplit | None:
        if train is None or isinstance(train, str):
            return train
        if isinstance(train, Mapping):
            self._known(train, {"from", "share", "seed"}, "suite.train.")
            source, share, seed = train.get("from"), train.get("share"), train.get("seed", 0)
            if isinstance(source, str) and isinstance(share, float) and 0 < share < 1 and isinstance(seed, int):
                return TrainingSplit(source, share, seed)
        raise self._error(
            'suite.train must be the name of a set, or { from = "SET", share = 0.5, seed = 0 }, 0 < share < 1'
        )

    def _classes(self, head: Mapping[str, Any]) -> str:
        return self._text(head, "classes", "suite.") or "folders"

    def _table(self, content: Mapping[str, Any], key: str) -> Mapping[str, Any]:
        table = content.get(key, {})
        if not isinstance(table, Mapping):
            raise self._error(f"{key} must be a table")
        return table

    def _text(self, table: Mapping[str, Any], key: str, prefix: str) -> str | None:
        value = table.get(key)
        if value is not None and not (isinstance(value, str) and value):
            raise self._error(f"{prefix}{key} must be a text that is not empty")
        return value

    def _texts(self, table: Mapping[str, Any], key: str) -> tuple[str, ...]:
        value = table.get(key, [])
        if not isinstance(value, list) or not all(isinstance(each, str) and each for each in value):
            raise self._error(f"suite.{key} must be a list of texts")
        return tuple(value)

    def _flag(self, table: Mapping[str, Any], key: str, prefix: str) -> bool:
        value = table.get(key, False)
        if not isinstance(value, bool):
            raise self._error(f"{prefix}{key} must be true or false")
        return value

    def _known(self, table: Mapping[str, Any], keys: set[str], prefix: str) -> None:
        for key in table:
            if key not in keys:
                near = get_close_matches(key, keys, n=1)
                raise self._error(f"{prefix}{key} is not known{f', did you mean {near[0]}?' if near else ''}")

    def _error(self, problem: str) -> DataError:
        return DataError(f"the suite file {self.file}: {problem}; mend it")
