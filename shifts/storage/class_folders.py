"""Sets with a folder a class: from a tree to a Shift. Foreign folders, another set's images and wrong counts are refused.

The class is the folder's name, never its rank among the folders.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import NamedTuple

import numpy as np

from shifts.classes import ClassTable, Expected, class_folders
from shifts.errors import DataError
from shifts.evidence.official_names import CLASS_ID, canonical, check_names, val_number
from shifts.labels import Ints, LabelSpace
from shifts.protocol import Protocol
from shifts.shift import Shift
from shifts.storage.tree import RenamedTree, Tree, TreeSource, passed_over, unread_images

TRAIN_NAME = re.compile(r"[np]\d{8}_\d+(_n\d{8})?\.JPE?G", re.IGNORECASE)
SHOWN = 3  # classes that a refusal names
SKETCH_NAME = re.compile(r"sketch_\d+\.JPEG", re.IGNORECASE)


class Terms(NamedTuple):
    """Under what terms a set may be used, what to cite, and what to know about it."""

    licence: str
    citation: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class SetRequest:
    """What a loader was asked for: a set, its files, its class table, the protocol, and whether a part of it will do.

    as_listed  images keep the paths of the tree for ids, whatever the official folders are called
    view  class ids that a part of the set was cut to: folders of exactly these are no sign of another set
    """

    name: str
    tree: Tree
    table: ClassTable
    protocol: Protocol
    partial: bool
    terms: Terms
    as_listed: bool = False
    view: tuple[str, ...] = ()


class LabelledImages(NamedTuple):
    """Images in row order; targets are indices into the classes that were asked for; partial: counts differ."""

    source: TreeSource
    targets: Ints
    partial: bool


def full_folders(request: SetRequest, clean: str | None) -> Shift:
    """A set over every class of the table, in class-id folders."""
    return labelled_shift(request, read_folders(request, request.table.ids), request.table.full(), clean)


def subset_folders(request: SetRequest, letter: str) -> Shift:
    """A set over a subset of the table's classes, in class-id folders; scores are masked to the subset."""
    read = read_folders(request, request.table.subsets[letter])
    return labelled_shift(request, read, request.table.subset(letter), request.table.name)


def labelled_shift(
    request: SetRequest, read: LabelledImages, labels: LabelSpace, clean: str | None, border: int = 0
) -> Shift:
    """The Shift of every image that was read."""
    unread = unread_images(request.tree)
    return Shift(
        name=request.name,
        source=read.source,
        rows=np.arange(len(read.source), dtype=np.int64),
        targets=read.targets,
        labels=labels,
        clean=clean,
        protocol=request.protocol.name,
        n_expected=request.table.expected[request.name].total,
        partial=read.partial,
        border=border,
        licence=request.terms.licence,
        citation=request.terms.citation,
        notes=request.terms.notes if unread is None else (*request.terms.notes, unread),
    )


def read_folders(request: SetRequest, classes: Sequence[str]) -> LabelledImages:
    """Images in class-id folders. DataError for foreign folders, another set, or wrong counts."""
    name, where = request.name, request.tree.where
    folders = by_folder(request)
    seen = recognise(folders, request.table, request.view or classes)
    other = seen if seen != name else None
    known = set(classes)
    foreign = sorted(folder for folder in folders if folder not in known)
    if foreign:
        elsewhere = (
            f"which is of {request.table.name} but not one of" if foreign[0] in request.table.index else "not one of"
        )
        near = get_close_matches(foreign[0], classes, n=1, cutoff=0.85)
        raise DataError(
            f"{where} holds the folder {foreign[0]}, {elsewhere} the {len(classes)} of {name}"
            f"{f' (near {near[0]})' if near else ''}{f'; this is {other}' if other else ''}; "
            f"put {name} there, or move what does not belong to it away"
        )
    if other:
        raise DataError(f"{where} should hold {name}, and what lies there is {other}; put {name} there")
    return assemble(request, classes, folders)


def by_folder(request: SetRequest, under: str = "") -> dict[str, list[str]]:
    """Folder name -> its images, both in string order; an image that lies in no class folder is refused."""
    folders: dict[str, list[str]] = {}
    inside = [path for path in request.tree.paths if path.startswith(under)]
    loose = bool(inside) and all("/" not in path.removeprefix(under) for path in inside)
    stray = None if loose else _stray(inside, request.table)
    if stray is not None:
        raise DataError(
            f"{request.tree.where} holds {stray} beside images of {request.name} in class folders; move {stray} away"
        )
    for path in inside:
        folder, slash, file = path.removeprefix(under).partition("/")
        if loose:
            ids = {id for id in CLASS_ID.findall(path) if id in request.table.index}
            if len(ids) != 1:
                raise DataError(
                    f"{request.tree.where} holds its {len(inside):,} images in no class folders, {path} first, and their "
                    f"names do not say their class; unpack the archive of {request.name} with its folders"
                )
            folder = ids.pop()
        elif not slash or "/" in file:
            raise DataError(
                f"{request.name} holds its images as {under}CLASS/IMAGE, and {request.tree.where} holds {path}; move it away"
            )
        folders.setdefault(folder, []).append(path)
    return folders


def _stray(paths: Sequence[str], table: ClassTable) -> str | None:
    """An image in no class folder where more than half of the images lie in one, below another folder; else None."""
    filed = [path for path in paths if path.count("/") > 1 and path.split("/")[-2] in table.index]
    if 2 * len(filed) <= len(paths):
        return None
    return next((path for path in paths if "/" not in path or path.split("/")[-2] not in table.index), None)


def recognise(folders: Mapping[str, Sequence[str]], table: ClassTable, classes: Sequence[str] = ()) -> str | None:
    """The set that these class folders hold, by folder and file names; None where that is not certain.

    `classes` are those that were asked for: folders that hold exactly them say nothing.
    """
    files = [path.rpartition("/")[2] for paths in folders.values() for path in paths[:1]]
    if files and all(val_number(file) for file in files) and table.name == "imagenet":
        return table.name
    if len(folders) > 1 and all(TRAIN_NAME.fullmatch(file) for file in files):
        return f"{table.name}-train"
    numbered = len(folders) > 1 and all(re.fullmatch(r"\d{1,4}", folder) for folder in folders)
    if numbered and not any(val_number(file) for file in files):
        return f"{table.name}-v2"
    if len(folders) > 1 and all(SKETCH_NAME.fullmatch(file) for file in files):
        return f"{table.name}-sketch"
    for letter, ids in table.subsets.items():
        if set(folders) == set(ids) != set(classes):
            return f"{table.name}-{letter}"
    if len(folders) > 1 and set(folders) <= set(table.object_groups) | table.object_others:
        return "objectnet" if table.name == "imagenet" else f"{table.name}-object"
    return None


def assemble(request: SetRequest, classes: Sequence[str], folders: Mapping[str, Sequence[str]]) -> LabelledImages:
    """Images by class -> a source in string order of ids, with counts checked against the official ones.

    An id is the path that the official class folders give an image, however it is stored here.
    """
    counts = {c: len(paths) for c, paths in folders.items()}
    expected = request.table.expected[request.name]
    where = request.tree.where + said_skipped(passed_over(request.tree))
    differs = check_counts(request.name, where, classes, counts, expected, request.partial)
    named = [(path.rpartition("/")[2], c) for c, paths in folders.items() for path in paths]
    check_names(request.tree.where, named, class_folders(request.name).by_id())
    rank = {c: k for k, c in enumerate(classes)}
    stored: dict[str, str] = {}
    rows: list[tuple[str, int]] = []
    for c, paths in folders.items():
        ids = paths if request.as_listed else _official_paths(request.name, rank[c], paths)
        rows += ((id, rank[c]) for id in ids)
        stored |= {id: path for id, path in zip(ids, paths, strict=True) if id is not path}
    rows.sort()
    targets = np.array([target for _, target in rows], dtype=np.int64)
    tree = request.tree
    if isinstance(tree, RenamedTree):
        stored = {id: tree.stored[stored.get(id, id)] for id, _ in rows}
        tree = tree.tree
    tree = RenamedTree(tree, stored) if stored else tree
    return LabelledImages(TreeSource(tree, tuple(id for id, _ in rows)), targets, differs)


def _official_paths(name: str, k: int, paths: Sequence[str]) -> Sequence[str]:
    """What the official folder of the set's class `k` calls these images; the string itself where that is the same."""
    of = class_folders(name)
    files = [path.rpartition("/")[2] for path in paths]
    official = [canonical(file) for file in files]
    if len(set(official)) < len(official):  # two of one official name: each keeps its own
        official = files
    ids = (f"{of.prefix}{of.folders[k]}/{file}" for file in official)
    return [path if id == path else id for id, path in zip(ids, paths, strict=True)]


def said_skipped(skipped: Mapping[str, int]) -> str:
    """How many files were passed over as no images, with the commonest suffixes; empty where there are none."""
    kinds = ", ".join(f"{n:,} {suffix}" for suffix, n in sorted(skipped.items(), key=lambda each: -each[1])[:SHOWN])
    return f" (passed over as no images: {kinds})" if skipped else ""


def check_counts(
    name: str, where: str, classes: Sequence[str], counts: Mapping[str, int], expected: Expected, partial: bool
) -> bool:
    """True where the set is incomplete or overfull and `partial` allows it; False where the counts are official.

    Raises DataError naming the first differing classes where `partial` is False. Where only the total is published,
    the total is compared and every class must be present. A set without any image is refused in either case.
    """
    total = sum(counts.values())
    if not total:
        raise DataError(
            f"{name} should hold {expected.total:,} images and {where} holds none; `effrob data get {name}` gets it"
        )
    if expected.each is None:
        differing = [(c, "at least 1", counts.get(c, 0)) for c in classes if not counts.get(c)]
    else:
        differing = [
            (c, str(expected.each[c]), counts.get(c, 0)) for c in classes if counts.get(c, 0) != expected.each[c]
        ]
    if total == expected.total and not differing:
        return False
    if partial:
        return True
    first = ", ".join(f"{c}: {wanted} wanted, {have} found" for c, wanted, have in differing[:SHOWN])
    rest = f" and {len(differing) - SHOWN:,} more classes" if len(differing) > SHOWN else ""
    detail = f" ({first}{rest})" if differing else ""
    raise DataError(
        f"{name} should hold {expected.total:,} images and {where} holds {total:,}{detail}; "
        f"complete it, or give --partial to evaluate what is there"
    )
