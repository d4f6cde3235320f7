"""Sets with a folder a class: from a tree to a Shift, with every way to mistake one set for another refused.

The class is the folder's name, never its rank. One code path for every family: the classes come in a table.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import NamedTuple

import numpy as np

from shifts.classes import ClassTable
from shifts.counts import check_counts
from shifts.errors import DataError
from shifts.labels import Ints, LabelSpace
from shifts.protocol import Protocol
from shifts.shift import Shift
from shifts.storage.tree import Tree, TreeSource

VAL_NAME = re.compile(r"ILSVRC2012_val_(\d{8})\.JPEG", re.IGNORECASE)
SKETCH_NAME = re.compile(r"sketch_\d+\.JPEG", re.IGNORECASE)


class Terms(NamedTuple):
    """Under what terms a set may be used, what to cite, and what to know about it."""

    licence: str
    citation: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class RequestedClasses:
    """One set as a loader was asked for it: which, from what files, over which classes, under which protocol."""

    name: str
    tree: Tree
    table: ClassTable
    protocol: Protocol
    partial: bool
    terms: Terms


class Labelled(NamedTuple):
    """Images in row order; targets are indices into the classes that were asked for; partial: counts differ."""

    source: TreeSource
    targets: Ints
    partial: bool


def full_folders(asked: RequestedClasses, clean: str | None) -> Shift:
    """A set over every class of the table, in class-id folders."""
    return labelled_shift(asked, read_folders(asked, asked.table.ids), asked.table.full(), clean)


def subset_folders(asked: RequestedClasses, letter: str) -> Shift:
    """A set over a subset of the table's classes, in class-id folders: its scores are masked, never re-ranked."""
    read = read_folders(asked, asked.table.subsets[letter])
    return labelled_shift(asked, read, asked.table.subset(letter), asked.table.name)


def labelled_shift(
    asked: RequestedClasses, read: Labelled, labels: LabelSpace, clean: str | None, border: int = 0
) -> Shift:
    """The Shift of every image that was read."""
    return Shift(
        name=asked.name,
        source=read.source,
        rows=np.arange(len(read.source), dtype=np.int64),
        targets=read.targets,
        labels=labels,
        clean=clean,
        protocol=asked.protocol.name,
        n_expected=asked.table.expected[asked.name].total,
        partial=read.partial,
        border=border,
        licence=asked.terms.licence,
        citation=asked.terms.citation,
        notes=asked.terms.notes,
    )


def read_folders(asked: RequestedClasses, classes: Sequence[str]) -> Labelled:
    """Images in class-id folders. DataError for foreign folders, another set, or wrong counts."""
    name, where = asked.name, asked.tree.where
    folders = by_folder(asked)
    seen = recognise(folders, asked.table, classes)
    other = seen if seen != name else None
    known = set(classes)
    foreign = sorted(folder for folder in folders if folder not in known)
    if foreign:
        elsewhere = (
            f"which is of {asked.table.name} but not one of" if foreign[0] in asked.table.index else "not one of"
        )
        near = get_close_matches(foreign[0], classes, n=1, cutoff=0.85)
        raise DataError(
            f"{where} holds the folder {foreign[0]}, {elsewhere} the {len(classes)} of {name}"
            f"{f' (near {near[0]})' if near else ''}{f'; this is {other}' if other else ''}; "
            f"put {name} there, or move what does not belong to it away"
        )
    if other:
        raise DataError(f"{where} should hold {name}, and what lies there is {other}; put {name} there")
    return assemble(asked, classes, folders)


def by_folder(asked: RequestedClasses, under: str = "") -> dict[str, list[str]]:
    """Folder name -> its images, both in string order; an image that lies in no class folder is refused."""
    folders: dict[str, list[str]] = {}
    for path in asked.tree.paths:
        if not path.startswith(under):
            continue
        folder, slash, file = path.removeprefix(under).partition("/")
        if not slash or "/" in file:
            raise DataError(
                f"{asked.name} holds its images as {under}CLASS/IMAGE, and {asked.tree.where} holds {path}; move it away"
            )
        folders.setdefault(folder, []).append(path)
    return folders


def recognise(folders: Mapping[str, Sequence[str]], table: ClassTable, classes: Sequence[str] = ()) -> str | None:
    """The set these class folders surely are, by their names and file names; None where that cannot be told.

    `classes` are those that were asked for: folders that hold exactly them say nothing.
    """
    files = [path.rpartition("/")[2] for paths in folders.values() for path in paths[:1]]
    if len(folders) > 1 and all(re.fullmatch(r"\d{1,4}", folder) for folder in folders):
        return f"{table.name}-v2"
    if files and all(VAL_NAME.fullmatch(file) for file in files):
        return table.name
    if len(folders) > 1 and all(SKETCH_NAME.fullmatch(file) for file in files):
        return f"{table.name}-sketch"
    for letter, ids in table.subsets.items():
        if set(folders) == set(ids) != set(classes):
            return f"{table.name}-{letter}"
    if len(folders) > 1 and set(folders) <= set(table.object_groups) | table.object_others:
        return "objectnet" if table.name == "imagenet" else f"{table.name}-object"
    return None


def assemble(asked: RequestedClasses, classes: Sequence[str], folders: Mapping[str, Sequence[str]]) -> Labelled:
    """Images by class -> a source in string order of paths, with counts checked against the official ones."""
    counts = {c: len(paths) for c, paths in folders.items()}
    expected = asked.table.expected[asked.name]
    differs = check_counts(asked.name, asked.tree.where, classes, counts, expected, asked.partial)
    rank = {c: k for k, c in enumerate(classes)}
    rows = sorted((path, rank[c]) for c, paths in folders.items() for path in paths)
    targets = np.array([target for _, target in rows], dtype=np.int64)
    return Labelled(TreeSource(asked.tree, tuple(path for path, _ in rows)), targets, differs)
