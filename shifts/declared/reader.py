"""Suite files: TOML to a Suite, with every key that is unknown, missing or of the wrong kind refused by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from shifts.bounds.files import read_toml
from shifts.declared.suite import FOLDER_NAMES, FORMS, TRAIN, Suite, SuiteSet, TrainingSplit
from shifts.errors import DataError, DataMissing

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SET_TEXTS = ("title", "subset", "folder_names", "map", "licence", "citation")
_SUITE_TEXTS = ("name", "title", "axis", "clean", "templates", "reference", "baseline")
SUITE_KEYS = {*_SUITE_TEXTS, "shifts", "diagnostic", "train", "classes", "names", "generated"}
SET_KEYS = {*_SET_TEXTS, *FORMS, "teaches"}


def read_suite(file: Path) -> Suite:
    """The suite a TOML file describes. DataMissing where there is no file, DataError where it is not a suite.

    A set whose place the file gives is called NAME/SET; one without a form is known by its own name.
    """
    try:
        content = read_toml(file.expanduser())
    except FileNotFoundError:
        raise DataMissing(
            f"there is no suite file {file}; name one that is there, or a suite of `effrob suite list`"
        ) from None
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read as TOML ({error}); mend it") from None
    return _Reader(file.expanduser().absolute()).suite(content)


class _Reader:
    """One file; every refusal names it and the key."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def suite(self, content: Mapping[str, Any]) -> Suite:
        head = self._table(content, "suite")
        self._known(content, {"suite", "sets"}, "")
        self._known(head, SUITE_KEYS, "suite.")
        texts = {key: self._text(head, key, "suite.") for key in _SUITE_TEXTS}
        ranked, diagnostic = (self._texts(head, key) for key in ("shifts", "diagnostic"))
        name, clean = texts["name"], texts["clean"]
        if not name or not clean or not ranked:
            raise self._error("suite needs name, clean and shifts")
        if not _NAME.fullmatch(name):
            raise self._error(f"suite.name is letters, digits, dots and dashes, not {name!r}")
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
        if isinstance(train, TrainingSplit) and TRAIN not in sets:
            sets[TRAIN] = replace(
                sets[train.source], name=TRAIN, title=f"{sets[train.source].title}, training part", teaches=True
            )
        elif isinstance(train, str):
            sets[train] = replace(sets[train], teaches=True)

        def full(key: str) -> str:
            return key if sets[key].form is None else f"{name}/{key}"

        return Suite(
            name=name,
            title=texts["title"] or name,
            clean=full(clean),
            ranked=tuple(map(full, ranked)),
            diagnostic=tuple(map(full, diagnostic)),
            train=replace(train, source=full(train.source))
            if isinstance(train, TrainingSplit)
            else train and full(train),
            classes=self._texts(head, "classes") if isinstance(head.get("classes"), list) else self._classes(head),
            names={
                key: self._text(self._table(head, "names"), key, "suite.names.") or "" for key in head.get("names", {})
            },
            templates=texts["templates"] or "openai",
            reference=texts["reference"],
            baseline=texts["baseline"],
            axis_title=texts["axis"] or f"{sets[clean].title} accuracy",
            sets={full(key): replace(each, name=full(key)) for key, each in sets.items()},
            generated=self._flag(head, "generated", "suite."),
            file=self.file,
        )

    def _set(self, name: str, table: object) -> SuiteSet:
        if not isinstance(table, Mapping):
            raise self._error(f"sets.{name} must be a table")
        prefix = f"sets.{name}."
        self._known(table, SET_KEYS, prefix)
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
            if isinstance(source, str) and isinstance(share, float) and 0 < share < 1 and type(seed) is int:
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
        twice = next((each for at, each in enumerate(value) if each in value[:at]), None)
        if twice is not None:
            raise self._error(f"suite.{key} names {twice!r} more than once; leave it once")
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
