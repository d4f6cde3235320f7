"""The data sets of a request: each loaded and digested once, and the set that a head is trained on.

Loads no model. `load_set` is what a worker in another process calls as well, so it depends on the request alone.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import shifts
from effrob.errors import UsageProblem, stops_one_thing
from effrob.evaluation.content import source_digest
from effrob.evaluation.request import Request
from shifts.shift import Shift, label_digest
from shifts.storage.tree import TreeSource, unread_images


@lru_cache(maxsize=64)
def load_shift(
    name: str,
    data: Path | None,
    protocol: str,
    partial: bool,
    limit: int | None,
    train_limit: int | None,
    pocket: Path,
    at: tuple[tuple[str, Path], ...] = (),
    follow_links: bool = False,
) -> Shift:
    """A set within the request's limits; pocket sets are generated into `pocket` where the data folder lacks them."""
    allowed = partial or limit is not None
    shift = shifts.load(
        name, data, protocol, partial=allowed, generate_into=pocket, places=dict(at), follow_links=follow_links
    )
    if shifts.teaches(name):
        return shift if train_limit is None else shift.limited_per_class(train_limit)
    return shift if limit is None else shift.limited(limit)


@lru_cache(maxsize=64)
def load_declared(
    suite: str,
    written_ns: int,
    name: str,
    data: Path | None,
    protocol: str,
    limit: int | None,
    train_limit: int | None,
    at: tuple[tuple[str, Path], ...] = (),
) -> Shift:
    """A set whose place the suite file says, within the request's limits. written_ns: when the file was last written."""
    opened = shifts.load_suite(suite, data, protocol, dict(at))
    shift = opened[name]
    if opened.suite.sets[shift.name].teaches:
        return shift if train_limit is None else shift.limited_per_class(train_limit)
    return shift if limit is None else shift.limited(limit)


def load_set(request: Request, name: str) -> Shift:
    """The set `name` of this request; loaded once a process. A set of the suite may be named SET or SUITE/SET."""
    data, pocket = request.data, request.cache / "pocket"
    suite = shifts.suite(request.suite)
    declared = suite.sets.get(suite.full_name(name))
    if declared is not None and declared.form is not None:
        written_ns = suite.file.stat().st_mtime_ns
        declared_limits = request.limit, request.train_limit, request.at
        return load_declared(request.suite, written_ns, declared.name, data, request.protocol, *declared_limits)
    if name == request.train and not shifts.teaches(name):  # a labelled list: its limit is `train_limit`, not `limit`
        shift = load_shift(
            name, data, request.protocol, request.partial, None, None, pocket, request.at, request.follow_links
        )
        return shift if request.train_limit is None else shift.limited_per_class(request.train_limit)
    limits = request.limit, request.train_limit
    return load_shift(name, data, request.protocol, request.partial, *limits, pocket, request.at, request.follow_links)


class RequestData:
    """The sets of one request with their digests, each computed once: 50,000 files are looked at for one."""

    def __init__(self, request: Request, read: bool = True) -> None:
        """`read` False: a set whose content was never digested is not read now; it gets a digest no record has."""
        self.request, self._read = request, read
        self.suite = shifts.suite(request.suite)
        if self.suite.declares_places:
            shifts.declare(self.suite)
        self._sources: dict[int, str] = {}  # keys are ids of objects that `load_shift` keeps alive
        self._labels: dict[int, str] = {}
        self.broken: list[str] = []  # a sentence for each set that is there and cannot be used

    def source(self, shift: Shift) -> str:
        """The digest of a set's images."""
        if id(shift.source) not in self._sources:
            self._sources[id(shift.source)] = source_digest(shift.source, self.request.cache, self._read)
        return self._sources[id(shift.source)]

    def labels(self, shift: Shift) -> str:
        """The digest of what is asked about a set's images."""
        if id(shift) not in self._labels:
            self._labels[id(shift)] = label_digest(shift)
        return self._labels[id(shift)]

    def evaluated(self) -> tuple[list[Shift], list[str]]:
        """The sets asked for, or every set of the suite that is at hand; and a sentence for each that is missing, and for each
        with files that are passed over.

        One that is there and cannot be read is named in `broken`, and the others are evaluated.
        """
        request = self.request
        names = tuple(dict.fromkeys(self.suite.tests if request.shifts is None else request.shifts))
        present, missing = [], []
        for name in names:
            try:
                shift = load_set(request, name)
                self.source(shift)
                present.append(shift)
                unread = unread_images(shift.source.tree) if isinstance(shift.source, TreeSource) else None
                if unread is not None and unread not in missing:
                    missing.append(unread)
            except shifts.DataMissing as error:
                if request.shifts is not None:
                    raise
                missing.append(str(error))
            except BaseException as error:
                said = stops_one_thing(error)
                if len(names) == 1 or isinstance(error, UsageProblem):
                    raise
                self.broken.append(f"{name} is left out: {said}")
        if not present and self.broken:
            raise shifts.DataError(" ".join(self.broken))
        if not present:
            raise shifts.DataMissing(f"no set of the suite {self.suite.name} was found: " + " ".join(missing[-1:]))
        return present, missing

    def prompts(self) -> tuple[str, ...]:
        """The prompt sets asked for, or the suite's templates: a name, or a file beside the suite file."""
        beside = self.suite.file.parent / self.suite.templates
        return self.request.prompts or (str(beside) if beside.is_file() else self.suite.templates,)

    def training(self, shift: Shift) -> Shift:
        """The set a head is trained on: the one named, or the training set of the shift's suite."""
        suite = self.suite if shift.name in self.suite.sets else shifts.suite_of(shift.name)
        belongs = shift.name in suite.sets or shift.clean == suite.clean
        name = self.request.train or (suite.train_set if belongs else None)
        if name is None:
            raise UsageProblem(
                f"{shift.name} has no training set of its own, and a head learns from one: name it with --train"
            )
        train = load_set(self.request, name)
        if not train.labels.is_full:
            raise UsageProblem(
                f"{train.name} is labelled among {len(train.labels)} of {len(train.labels.parent_ids)} classes, as test "
                f"sets are: a head learns from a training set, or from a list made without --second-set"
            )
        if train.labels.parent_ids != shift.labels.parent_ids:
            raise UsageProblem(
                f"{train.name} and {shift.name} have different classes: a head cannot learn from one for the other"
            )
        return train
