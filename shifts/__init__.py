"""The test sets: official layouts in, images with targets and a label space out. Imports no torch and nothing of effrob.

shifts.load("imagenet-r", root="/data")        # len, [i] -> image, target, id
shifts.find("/data")                           # what lies where, and what gets the rest
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shifts.catalogue import Found, find, load, load_suite
    from shifts.check import check_shift
    from shifts.declared.sets import DeclaredSuite
    from shifts.declared.suite import Suite, SuiteSet, TrainingSplit
    from shifts.declared.suites import add_suite, added_suites, declare, known_suite, suite, suite_names
    from shifts.errors import DataError, DataMissing
    from shifts.facts import describe
    from shifts.labels import LabelSpace, duplicate_names
    from shifts.protocol import PROTOCOLS, Protocol
    from shifts.registry import names, register, suite_of, teaches
    from shifts.shift import Example, ImageSource, Shift

_HOMES = {
    "DataError": "errors",
    "DataMissing": "errors",
    "DeclaredSuite": "declared.sets",
    "Example": "shift",
    "Found": "catalogue",
    "ImageSource": "shift",
    "LabelSpace": "labels",
    "PROTOCOLS": "protocol",
    "Protocol": "protocol",
    "Shift": "shift",
    "Suite": "declared.suite",
    "SuiteSet": "declared.suite",
    "TrainingSplit": "declared.suite",
    "add_suite": "declared.suites",
    "added_suites": "declared.suites",
    "check_shift": "check",
    "declare": "declared.suites",
    "describe": "facts",
    "duplicate_names": "labels",
    "find": "catalogue",
    "known_suite": "declared.suites",
    "load": "catalogue",
    "load_suite": "catalogue",
    "names": "registry",
    "register": "registry",
    "suite": "declared.suites",
    "suite_names": "declared.suites",
    "suite_of": "registry",
    "teaches": "registry",
}

__all__ = [
    "PROTOCOLS",
    "DataError",
    "DataMissing",
    "DeclaredSuite",
    "Example",
    "Found",
    "ImageSource",
    "LabelSpace",
    "Protocol",
    "Shift",
    "Suite",
    "SuiteSet",
    "TrainingSplit",
    "add_suite",
    "added_suites",
    "check_shift",
    "declare",
    "describe",
    "duplicate_names",
    "find",
    "known_suite",
    "load",
    "load_suite",
    "names",
    "register",
    "suite",
    "suite_names",
    "suite_of",
    "teaches",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'shifts' has no attribute {name!r}")
    return getattr(import_module(f"shifts.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
