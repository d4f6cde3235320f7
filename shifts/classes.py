"""Class tables: the 1000 ImageNet classes with their subsets, and the generated pocket classes of the same structure.

Loaders take the table as an argument, so that one code path reads both families.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

from shifts.declared.suite import SuiteSet
from shifts.declared.suites import known_suite
from shifts.errors import DataMissing
from shifts.labels import LabelSpace
from shifts.protocol import Protocol

DATA = Path(str(files("shifts") / "data"))
WORDED = re.compile(r"([np]\d{8})[ _-]+[^\W\d_].*")  # a class id with a name behind it


@dataclass(frozen=True)
class Expected:
    """How many images the official set holds: in all, and in each class where that is published (else None)."""

    total: int
    each: Mapping[str, int] | None = None


@dataclass(frozen=True)
class ClassTable:
    """P classes in index order, and how the subset and many-to-one sets map into them.

    ids            P WordNet ids, ascending: index = rank
    names          P names that a zero-shot head puts into its prompts
    subsets        letter of a subset set ("r", "a") -> its ids, ascending
    object_groups  ObjectNet folder -> indices, folders ascending
    object_names   folder -> the set's own name of it
    object_others  folders of the set that map to no class
    expected       set name -> official counts
    """

    name: str
    ids: tuple[str, ...]
    names: tuple[str, ...]
    subsets: Mapping[str, tuple[str, ...]]
    object_groups: Mapping[str, tuple[int, ...]]
    object_names: Mapping[str, str]
    object_others: frozenset[str]
    expected: Mapping[str, Expected]

    @cached_property
    def index(self) -> Mapping[str, int]:
        """Class id -> index."""
        return {id: i for i, id in enumerate(self.ids)}

    def full(self) -> LabelSpace:
        """Every class."""
        groups = tuple((i,) for i in range(len(self.ids)))
        return LabelSpace(f"{self.name}-{len(self.ids)}", self.ids, self.names, groups, self.ids, self.names)

    def subset(self, letter: str) -> LabelSpace:
        """The classes of a subset set, ascending: their scores are columns of the full ones."""
        ids = self.subsets[letter]
        groups = tuple((self.index[id],) for id in ids)
        names = tuple(self.names[i] for (i,) in groups)
        return LabelSpace(f"{self.name}-{letter}-{len(ids)}", ids, names, groups, self.ids, self.names)

    def objects(self, protocol: Protocol) -> LabelSpace:
        """The overlapping object folders, ascending: projected from the full scores, or with class names of their own."""
        folders = tuple(self.object_groups)
        own = protocol.object_text == "own"
        names = tuple(self.object_names[f].lower() if own else self.object_names[f] for f in folders)
        family = "objectnet" if self.name == "imagenet" else f"{self.name}-object"
        groups = tuple(self.object_groups[f] for f in folders)
        return LabelSpace(f"{family}-{len(folders)}", folders, names, groups, self.ids, self.names, own_text=own)


def _lines(name: str) -> tuple[str, ...]:
    return tuple((DATA / name).read_text(encoding="utf-8").splitlines())


@cache
def imagenet() -> ClassTable:
    """The ILSVRC-2012 classes. Sources of every list: `shifts/data/SOURCES.md`."""
    ids = _lines("imagenet_wnids.txt")
    objects = json.loads((DATA / "objectnet.json").read_text(encoding="utf-8"))
    mapped: dict[str, dict[str, Any]] = {folder: objects["mapped"][folder] for folder in sorted(objects["mapped"])}
    counts = {folder: int(row["images"]) for folder, row in mapped.items()}
    v2 = Expected(10_000, dict.fromkeys(ids, 10))
    return ClassTable(
        name="imagenet",
        ids=ids,
        names=_lines("openai_classnames.txt"),
        subsets={letter: _lines(f"imagenet_{letter}_wnids.txt") for letter in "ra"},
        object_groups={folder: tuple(row["indices"]) for folder, row in mapped.items()},
        object_names={folder: str(row["name"]) for folder, row in mapped.items()},
        object_others=frozenset(objects["unmapped"]),
        expected={
            "imagenet": Expected(50_000, dict.fromkeys(ids, 50)),
            "imagenet-train": Expected(1_281_167),
            "imagenet-v2": v2,
            "imagenet-v2-threshold-0.7": v2,
            "imagenet-v2-top-images": v2,
            "imagenet-r": Expected(30_000),
            "imagenet-sketch": Expected(50_889),
            "objectnet": Expected(sum(counts.values()), counts),
            "imagenet-a": Expected(7_500),
        },
    )


@cache
def pocket() -> ClassTable:
    """The 20 classes of the pocket sets, with a rendition subset, an adversarial subset and object folders."""
    file = DATA / "pocket_classes.json"
    if not file.is_file():
        raise DataMissing(f"the pocket class table {file} is not installed; reinstall effrob")
    stored = json.loads(file.read_text(encoding="utf-8"))
    ids = tuple(stored["ids"])
    subsets = {letter: tuple(sorted(stored[letter])) for letter in "ra"}
    groups = {folder: tuple(sorted(stored["object"][folder])) for folder in sorted(stored["object"])}
    asked = {"pocket-r": subsets["r"], "pocket-a": subsets["a"], "pocket-object": tuple(groups)}
    expected = {}
    for name, count in stored["counts"].items():
        classes = asked.get(name, ids)
        each = {c: int(count[c]) for c in classes} if isinstance(count, dict) else dict.fromkeys(classes, int(count))
        expected[name] = Expected(sum(each.values()), each)
    return ClassTable(
        name="pocket",
        ids=ids,
        names=tuple(stored["names"]),
        subsets=subsets,
        object_groups=groups,
        object_names=dict(stored["object_names"]),
        object_others=frozenset(set(stored["object_names"]) - set(groups)),
        expected=expected,
    )


def folder_order(of: SuiteSet, table: ClassTable) -> tuple[str, ...]:
    """A set's class folders in the order that its labels 0, 1, ... count: class ids by rank, V2's indices, ObjectNet's 113."""
    if of.folder_names == "indices":
        return tuple(str(index) for index in range(len(table.ids)))
    return tuple(table.object_groups) if of.folder_names == "objects" else table.subsets.get(of.subset or "", table.ids)


def class_table(name: str) -> ClassTable:
    """The class table of that name, `imagenet` or `pocket`; DataMissing for another name."""
    tables = {"imagenet": imagenet, "pocket": pocket}
    if name not in tables:
        raise DataMissing(f"there is no class table {name!r}; the tables are {' and '.join(tables)}")
    return tables[name]()


OUTSIDE = ""  # in place of a class folder: an image of ObjectNet that maps to no class


@dataclass(frozen=True)
class ClassFolders:
    """The classes of one set as its files are labelled with them.

    folders     class folders in the order that labels 0, 1, ... count
    class_ids   folder -> ids of the table's classes that it stands for
    table       the table those ids are of
    prefix      where the class folders lie below the set's own folder: "images/" in ObjectNet, else ""
    teaches     True for a training set; held_out: the suite has a training set of its own beside this one
    """

    name: str
    folders: tuple[str, ...]
    class_ids: Mapping[str, frozenset[str]]
    table: ClassTable
    prefix: str = ""
    teaches: bool = False
    held_out: bool = False

    @cached_property
    def by_index(self) -> Mapping[int, str]:
        """Index in the table -> folder; indices whose class the set lacks are left out."""
        return {
            self.table.index[id]: folder
            for folder, ids in self.class_ids.items()
            for id in ids
            if id in self.table.index
        }

    @cached_property
    def by_name(self) -> Mapping[str, frozenset[str]]:
        """Class folder, class id, name, WordNet lemma or whole list of lemmas, in lower case -> the folders it may mean."""
        spoken: dict[str, set[str]] = {folder.casefold(): {folder} for folder in self.folders}
        for index, folder in self.by_index.items():
            names = {self.table.ids[index], self.table.names[index], self.table.object_names.get(folder, folder)}
            if self.table.name == "imagenet":
                names |= {imagenet_lemmas()[index], *imagenet_lemmas()[index].split(", ")}
            for name in names:
                spoken.setdefault(name.casefold().strip(), set()).add(folder)
        if self.prefix:  # ObjectNet's folders that map to no class: known by name, and left out
            for other in self.table.object_others:
                for name in (other, other.replace("_", " ")):
                    spoken.setdefault(name.casefold(), set()).add(OUTSIDE)
        return {name: frozenset(folders) for name, folders in spoken.items()}

    def by_id(self) -> ClassFolders:
        """The same set with folders that are called by class ids, where its own are numbers."""
        if set(self.folders) <= set(self.table.index) or self.prefix:
            return self
        ids = tuple(min(self.class_ids[folder]) for folder in self.folders)
        return replace(self, folders=ids, class_ids={id: frozenset({id}) for id in ids})

    def worded(self, folder: str) -> str | None:
        """The class id of a folder that is called by one and words, as `n01443537_goldfish`; None for any other."""
        match = WORDED.fullmatch(folder)
        return match[1] if match and match[1] in self.table.index and folder not in self.class_ids else None

    def is_class(self, folder: str) -> bool:
        """True for a class folder of the set, of the other classes of its table, or of ObjectNet's without a class."""
        return (
            folder in self.class_ids
            or folder in self.table.index
            or self.worded(folder) is not None
            or (bool(self.prefix) and folder in self.table.object_others)
        )


@cache
def imagenet_lemmas() -> tuple[str, ...]:
    """WordNet's lemmas of each ImageNet class, joined by ", " as in the synset list of the challenge."""
    return _lines("imagenet_lemmas.txt")


def plain_folders(name: str, folders: tuple[str, ...]) -> ClassFolders:
    """Class folders of a set whose classes are known by these names alone."""
    table = ClassTable(name, folders, folders, {}, {}, {}, frozenset(), {})
    return ClassFolders(name, folders, {folder: frozenset({folder}) for folder in folders}, table)


@cache
def class_folders(name: str) -> ClassFolders:
    """The class folders of a set of a shipped suite. DataMissing for a set of none."""
    suite = known_suite(name)
    if suite is None or name not in suite.sets:
        raise DataMissing(f"{name} is of no shipped suite, so the order of its classes is not known")
    own, table = suite.sets[name], class_table(str(suite.classes))
    folders = folder_order(own, table)
    if own.folder_names == "indices":
        ids = {folder: frozenset({table.ids[int(folder)]}) for folder in folders}
    elif own.folder_names == "objects":
        ids = {folder: frozenset(table.ids[i] for i in table.object_groups[folder]) for folder in folders}
    else:
        ids = {folder: frozenset({folder}) for folder in folders}
    prefix = "images/" if own.folder_names == "objects" else ""
    return ClassFolders(name, folders, ids, table, prefix, own.teaches, name == suite.clean and suite.train is not None)


def labels_of(name: str) -> tuple[str, ...]:
    """The class folders of a set of a shipped suite, in the order that its labels count."""
    return class_folders(name).folders
