"""Sets of a suite file as Shifts: contents, class table, label map and training part put together.

A set is called SUITE/SET; the training part of one SUITE/train.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path

import numpy as np

from shifts import classes as tables
from shifts import registry
from shifts.declared.contents import Contents, read_contents, read_pairs, selected
from shifts.declared.suite import Suite, SuiteSet, TrainingSplit
from shifts.errors import DataError, DataMissing
from shifts.labels import LabelSpace
from shifts.layout import Places, data_root
from shifts.protocol import Protocol
from shifts.shift import Shift

NOTE = "declared in a suite file: counts and labels are what it says, no official ones are known"


def in_training_part(id: str, split: TrainingSplit) -> bool:
    """Whether an image belongs to the training part: the first 8 bytes of SHA-256 of `SEED:ID` over 2^64, below the share."""
    first = hashlib.sha256(f"{split.seed}:{id}".encode()).digest()[:8]
    return int.from_bytes(first, "big") < split.share * 2**64


@dataclass(frozen=True)
class DeclaredSuite:
    """The sets of a suite under one data folder, each read when it is asked for: `suite["sketch"]`, `for name in suite`.

    root  the data folder;  at  a set's own place by its full name, instead of the one in the suite file
    """

    suite: Suite
    root: Path | None
    protocol: Protocol
    at: Mapping[str, Path] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Shift:
        """The set SET or SUITE/SET. DataMissing for one the suite does not have, or that is not there."""
        full = self.suite.full_name(name)
        if full not in self.suite.sets:
            known = [each.rpartition("/")[2] for each in self.suite.sets]
            near = get_close_matches(name, known, n=3) or known
            raise DataMissing(f"the suite {self.suite.name} has no set {name!r}; did you mean {' or '.join(near)}?")
        declared = self.suite.sets[full]
        if declared.form is None:
            own = full not in registry.TABLE
            places = data_root(self.root, full) if own else Places(self.root, self.at)
            return registry.loader(full)(places, self.protocol, False)
        contents, split = self._contents(full), self.suite.train
        if isinstance(split, TrainingSplit) and full in (split.source, self.suite.train_set):
            inside = np.array([in_training_part(id, split) for id in contents.source.ids])
            part = full == self.suite.train_set
            contents = selected(contents, inside if part else ~inside)
            if not contents.labels:
                raise DataError(
                    f"a share of {split.share} leaves no image of {contents.where} to {'train' if part else 'test'} on"
                )
        space, targets = self._labels(full, contents, declared)
        clean = None if declared.teaches or full == self.suite.clean else self.suite.clean
        return Shift(
            name=full,
            source=contents.source,
            rows=np.arange(len(targets), dtype=np.int64),
            targets=np.array(targets, dtype=np.int64),
            labels=space,
            clean=clean,
            protocol=self.protocol.name,
            n_expected=len(targets),
            licence=declared.licence,
            citation=declared.citation,
            notes=(NOTE,),
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self.suite.sets)

    def __len__(self) -> int:
        return len(self.suite.sets)

    def _contents(self, full: str) -> Contents:
        declared = self.suite.sets[full]
        if declared.form is None or declared.place is None:
            raise DataMissing(
                f'classes = "folders" needs the place of {full} in {self.suite.file}: add folder = "{full}"'
            )
        return read_contents(declared.form, self._place(full, declared.place), self._listed)

    def _place(self, full: str, place: str) -> Path:
        """Where a set lies: as named for this call, under the data folder, or beside the suite file."""
        if full in self.at:
            return self.at[full]
        if self.root is not None and (self.root / place).exists():
            return self.root / place
        beside = self.suite.file.parent / place
        return beside if self.root is None or beside.exists() else self.root / place

    @property
    def _listed(self) -> tuple[str, ...] | None:
        """The classes where the suite names them; None where they are the folders of the clean set."""
        if isinstance(self.suite.classes, tuple):
            return self.suite.classes
        return None if self.suite.classes == "folders" else tables.class_table(self.suite.classes).ids

    @cached_property
    def classes(self) -> LabelSpace:
        """Every class of the suite in index order, with the words a zero-shot head uses."""
        name, listed = self.suite.name, self._listed
        if listed is None:
            listed = tuple(sorted(set(self._contents(self.suite.clean).labels), key=_order))
            name = f"{name}-{len(listed)}"
        elif isinstance(self.suite.classes, str):
            return tables.class_table(self.suite.classes).full()
        else:
            name = f"{name}-{len(listed)}"
        foreign = sorted(set(self.suite.names) - set(listed))
        if foreign:
            raise DataError(
                f"{self.suite.file} names the class {foreign[0]}, which the suite does not have; correct it"
            )
        names = tuple(self.suite.names.get(id, id.replace("_", " ")) for id in listed)
        return LabelSpace(name, listed, names, tuple((k,) for k in range(len(listed))), listed, names)

    def _labels(self, full: str, contents: Contents, declared: SuiteSet) -> tuple[LabelSpace, list[int]]:
        """The label space of a set, and each image's class in it: every class, a subset, or groups by the set's map."""
        whole = self.classes
        index = {id: k for k, id in enumerate(whole.parent_ids)}
        present = sorted(set(contents.labels), key=_order)
        groups = (
            self._mapped(declared, present, index)
            if declared.map
            else {label: (index.get(label, -1),) for label in present}
        )
        foreign = next((label for label, group in groups.items() if group == (-1,)), None)
        if foreign is not None:
            near = get_close_matches(foreign, whole.parent_ids, n=1)
            raise DataError(
                f"{contents.where} holds the class {foreign}, which is none of the {len(index)} of {self.suite.name}"
                f'{f" (near {near[0]})" if near else ""}; move it away, or map it with map = "map.csv" (folder,wnid)'
            )
        if not declared.map and (full == self.suite.clean or len(groups) == len(index)):
            return whole, [index[label] for label in contents.labels]
        distinct = list(dict.fromkeys(groups[label] for label in present))
        self._check_disjoint(distinct, groups, declared)
        ids = tuple(next(label for label in present if groups[label] == group) for group in distinct)
        names = tuple(whole.parent_names[group[0]] if not declared.map else id for id, group in zip(ids, distinct))
        space = LabelSpace(
            f"{declared.name}-{len(ids)}", ids, names, tuple(distinct), whole.parent_ids, whole.parent_names
        )
        rank = {group: k for k, group in enumerate(distinct)}
        return space, [rank[groups[label]] for label in contents.labels]

    def _mapped(
        self, declared: SuiteSet, present: Sequence[str], index: Mapping[str, int]
    ) -> dict[str, tuple[int, ...]]:
        """Label -> the classes it stands for, by the set's map; every label must be in it."""
        file = self._place("", str(declared.map))
        groups: dict[str, set[int]] = {}
        for number, label, class_id in read_pairs(file, ("folder", "wnid")):
            if class_id not in index:
                raise DataError(
                    f"line {number:,} of {file} maps {label} to {class_id}, no class of {self.suite.name}; correct it"
                )
            groups.setdefault(label, set()).add(index[class_id])
        missing = [label for label in present if label not in groups]
        if missing:
            raise DataError(
                f"{file} does not map {missing[0]}{f' and {len(missing) - 1} more' if missing[1:] else ''}; add a row"
            )
        return {label: tuple(sorted(groups[label])) for label in present}

    def _check_disjoint(
        self, distinct: Sequence[tuple[int, ...]], groups: Mapping[str, tuple[int, ...]], declared: SuiteSet
    ) -> None:
        owner: dict[int, tuple[int, ...]] = {}
        for group in distinct:
            for k in group:
                if owner.setdefault(k, group) != group:
                    one, other = (next(label for label in groups if groups[label] == g) for g in (owner[k], group))
                    raise DataError(
                        f"{declared.map} maps both {one} and {other} to {self.classes.parent_ids[k]}, and to others apart; "
                        "an answer would be right for both: leave the class to one of them"
                    )


def _order(label: str) -> tuple[int, int, str]:
    """Numbers in their order, before all else in string order."""
    return (0, int(label), "") if label.isascii() and label.isdigit() else (1, 0, label)
