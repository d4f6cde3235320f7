"""Which image each answer of a file is of: by ids, by an order that is known, or by the labels the file brings."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import shifts
from effrob.errors import UsageProblem, suggest
from effrob.results.answer_files import AnswerFile, read_answers, read_ids
from effrob.results.answer_predictions import MatchedAnswers
from effrob.results.given.formats import dataset_of
from shifts.answer_key import ORDERS, by_ids, by_labels, has_key, of_loaded, official_ids
from shifts.declared.suite import Suite
from shifts.protocol import protocol as named_protocol
from shifts.shift import Shift

KEY = re.compile(r"[\w-]+")  # a webdataset's key: no folder and no suffix


@dataclass(frozen=True)
class AnsweredSet:
    """The set that answers are of, and how it can be had.

    suite  the user's own that it is of, or None;  data  where sets lie, for those that are not known by ids alone
    cache  where the pocket sets are drawn
    """

    name: str
    suite: Suite | None
    data: Path | None
    cache: Path
    protocol: str = "effrob"
    partial: bool = False

    def load(self) -> Shift:
        """The set itself, from its files or its label file. DataMissing where it is not at hand."""
        if self.suite is not None and self.suite.declares_places:
            return shifts.load_suite(self.suite.file, self.data, self.protocol)[self.name]
        return shifts.load(self.name, self.data, self.protocol, self.partial, generate_into=self.cache)


def answered_set(
    name: str, suite: str | None, data: Path | None, cache: Path, protocol: str = "effrob", partial: bool = False
) -> AnsweredSet:
    """A set by its name, of a suite where one is named. Raises DataMissing for an unknown suite, set or protocol."""
    named_protocol(protocol)
    own = None if suite is None else shifts.suite(suite)
    if own is not None:
        full = own.full_name(name)
        if full not in own.sets or full in own.training:
            raise UsageProblem(f"the suite {own.name} has no test set {name!r}{suggest(name, own.tests)}")
        if own.declares_places:
            shifts.declare(own)
        return AnsweredSet(full, own, data, cache, protocol, partial)
    result = shifts.known_suite(name)
    if result is None and name not in shifts.names():
        hint = suggest(name, [each for each in shifts.names() if not shifts.teaches(each)])
        raise UsageProblem(
            f"no test set is named {name!r}{hint}; a set of your own is SUITE/SET once `effrob suite add "
            "FILE.toml` has made it known, or SET with --suite FILE.toml"
        )
    return AnsweredSet(name, result if result and result.declares_places else None, data, cache, protocol, partial)


def match_answers(
    path: Path, of: AnsweredSet, what: str | None = None, ids: Path | None = None, order: str | None = None
) -> MatchedAnswers:
    """A file of answers, each beside its image of the set.

    ids  a text file with one id a line, in the order of the answers;  order  `official` or `folders`, for answers without ids

    Raises UsageProblem and DataError naming what gave a wrong file away: ids given twice, missing, or of another set; counts
    that are another set's; labels that differ.
    """
    file = read_answers(path, what)
    if order is not None and order not in ORDERS:
        raise UsageProblem(f"--order is {' or '.join(ORDERS)}; got {order!r}{suggest(order, ORDERS)}")
    if ids is not None and order is not None:
        raise UsageProblem("--ids and --order both say which image a row is of: give one of the two")
    if file.dataset is not None and dataset_of(file.dataset) not in (None, of.name):
        raise UsageProblem(
            f"{path} says it is of {file.dataset}, not {of.name}: use --shift {dataset_of(file.dataset)}"
        )
    if file.ids is not None and (ids is not None or order is not None):
        raise UsageProblem(f"{path} has ids of its own: leave out {'--ids' if ids else '--order'}")
    names = file.ids if ids is None else read_ids(ids)
    if names is not None and len(names) != len(file):
        raise UsageProblem(f"{ids} has {len(names):,} ids and {path} {len(file):,} answers: give one of each an image")
    if order is not None:
        return _in_order(file, of, order)
    if file.labels is not None and has_key(of.name) and (names is None or all(map(KEY.fullmatch, names))):
        keys = names or tuple(f"{i:06d}" for i in range(len(file)))
        result = by_labels(of.name, file.labels.tolist(), keys, file.where, named_protocol(of.protocol), of.partial)
        return MatchedAnswers(file, *result)
    if names is None:
        raise UsageProblem(
            f"{path} does not say which image a row is of: give --ids FILE with one id a line, or --order official"
        )
    where = file.where if ids is None else str(ids)
    if has_key(of.name):
        return MatchedAnswers(file, *by_ids(of.name, names, where, named_protocol(of.protocol), of.partial))
    return MatchedAnswers(file, *of_loaded(of.load(), names, where, of.partial))


def _in_order(file: AnswerFile, of: AnsweredSet, order: str) -> MatchedAnswers:
    if has_key(of.name) and not (of.data is not None and of.name not in ("imagenet", "imagenet-real")):
        names = official_ids(of.name, order)
        _check_number(file, of.name, len(names))
        result = by_ids(of.name, names, f"the official order of {of.name}", named_protocol(of.protocol))
        return MatchedAnswers(file, *result)
    shift = of.load()
    _check_number(file, of.name, len(shift))
    return MatchedAnswers(file, shift, np.arange(len(shift), dtype=np.int64))


def _check_number(file: AnswerFile, name: str, wanted: int) -> None:
    if len(file) == wanted:
        return
    same = [each for each in shifts.suite("imagenet").sets if shifts.describe(each)["images"] == len(file)]
    raise UsageProblem(
        f"{file.where} has {len(file):,} answers, and {name} has {wanted:,} images"
        f"{f' ({len(file):,} is the number of {same[0]})' if same else ''}: give all of {name} in order, or ids"
    )
