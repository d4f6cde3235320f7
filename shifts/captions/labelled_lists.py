"""A labelled list as a Shift: a training set or a second clean set whose labels come from captions.

A list is a folder with `labels.csv` and a manifest. Its name is that of its folder under the data folder, or any path to
it. The images stay where they lie: in a known set, a folder or WebDataset shards.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np

from shifts import classes
from shifts.captions.manifests import MANIFEST, Pair, digest_pairs, read_manifest
from shifts.captions.sources import open_images
from shifts.classes import ClassTable
from shifts.errors import DataError
from shifts.labels import Ints, LabelSpace
from shifts.protocol import Protocol
from shifts.shift import Shift
from shifts.storage.tree import Tree, TreeSource, checked_path
from shifts.synthetic import pocket

NOTE = "labels come from captions, or from the list that was given; nobody looked at the images"


def find_list(name: str, root: Path | None) -> Path | None:
    """The folder of a list: `name` under the data folder, or as a path to the folder or its labels.csv; None for none."""
    for place in [Path(name).expanduser()] if root is None else [root / name, Path(name).expanduser()]:
        folder = place.parent if place.name == "labels.csv" else place
        if (folder / MANIFEST).is_file():
            return folder
    return None


def load_list(name: str, folder: Path, root: Path | None, generate_into: Path | None, protocol: Protocol) -> Shift:
    """The list as a Shift of that name.

    A training list has targets among all classes of its table. A test list asks about the classes it has, by masked
    scores, with the table's clean set beside it. DataError where the list is not what its manifest says, or an image
    of it is gone.
    """
    manifest = read_manifest(folder, "labels")
    table = classes.imagenet() if manifest["table"] == "imagenet" else classes.pocket()
    pairs = _pairs(folder / "labels.csv", table)
    if digest_pairs(pairs) != manifest["pairs"] or not pairs:
        raise DataError(f"{folder / 'labels.csv'} is not what {MANIFEST} says; make the list anew")
    ids = tuple(sorted({pair.id for pair in pairs}))
    tree = _tree(manifest["images_in"], folder, root, generate_into)
    _check_images(name, ids, tree)
    row = {id: n for n, id in enumerate(ids)}
    labels = np.array([pair.label for pair in pairs], dtype=np.int64)
    test = manifest["purpose"] == "test"
    space, targets = _asked(name, table, labels) if test else (table.full(), labels)
    return Shift(
        name=name,
        source=TreeSource(tree, ids),
        rows=np.array([row[pair.id] for pair in pairs], dtype=np.int64),
        targets=targets,
        labels=space,
        clean=table.name if test else None,
        protocol=protocol.name,
        n_expected=len(pairs),
        notes=(NOTE,),
    )


def _asked(name: str, table: ClassTable, labels: Ints) -> tuple[LabelSpace, Ints]:
    """The classes a test list has, ascending, and the targets among them."""
    held, targets = np.unique(labels, return_inverse=True)
    if len(held) == len(table.ids):
        return table.full(), labels
    groups = tuple((int(label),) for label in held)
    ids, names = tuple(table.ids[g] for (g,) in groups), tuple(table.names[g] for (g,) in groups)
    space = LabelSpace(f"{table.name}-{Path(name).name}-{len(held)}", ids, names, groups, table.ids, table.names)
    return space, targets.astype(np.int64)


def _tree(images_in: dict[str, Any], folder: Path, root: Path | None, generate_into: Path | None) -> Tree:
    held = images_in.get("set")
    if held in pocket.SETS and generate_into is not None:
        root = pocket.ensure(held, root, generate_into)
    return open_images(images_in, root, folder.resolve())


def _pairs(file: Path, table: ClassTable) -> tuple[Pair, ...]:
    with file.open(encoding="utf-8", newline="") as opened:
        reader = csv.reader(opened, delimiter="\t")
        made = []
        try:
            if next(reader, None) != ["id", "label", "class"]:
                raise DataError(f"{file} must have the columns id, label and class; make the list anew")
            for values in reader:
                id, label, class_id = values if len(values) == 3 else ("", "", "")
                index = table.index.get(class_id)
                if index is None or str(index) != label:
                    raise DataError(
                        f"line {reader.line_num:,} of {file} names no class of {table.name} with its index; make the list anew"
                    )
                made.append(Pair(checked_path(id, f"line {reader.line_num:,} of {file}"), index, class_id))
        except (csv.Error, UnicodeDecodeError) as error:
            raise DataError(
                f"{file} cannot be read below line {reader.line_num:,} ({error}); make the list anew"
            ) from None
    return tuple(made)


def _check_images(name: str, ids: tuple[str, ...], tree: Tree) -> None:
    gone = []
    for id in ids:
        try:
            tree.stat(id)
        except (OSError, KeyError):
            gone.append(id)
    if gone:
        raise DataError(
            f"{tree.where} lacks {len(gone):,} of the {len(ids):,} images of {name}, {gone[0]} first; put them back, or "
            f"make the list anew"
        )
