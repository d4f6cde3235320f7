"""Kaggle's `LOC_val_solution.csv` near the validation images: what it says of them must be their official classes.

Its rows are an image's official name and boxes, each with a WordNet id before it. Labels are never read from it: a file that
contradicts them was made for other images, or for these under other names.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from shifts.bounds.files import read_bytes
from shifts.classes import imagenet
from shifts.errors import DataError
from shifts.evidence.official_names import CLASS_ID, val_labels, val_number
from shifts.storage.folder import FolderTree
from shifts.storage.forms import InnerTree
from shifts.storage.tree import RenamedTree, Tree

NAME = "LOC_val_solution.csv"
ABOVE = 4  # folders between the file and the images: ILSVRC/Data/CLS-LOC/val


def check_solution(tree: Tree) -> None:
    """DataError with the first image, and their number, where the file beside a tree says other classes than the official."""
    where, content = next(_beside(tree), (None, b""))
    if where is None:
        return
    ids, labels = imagenet().ids, val_labels()
    wrong, first = 0, ""
    try:
        for row in csv.DictReader(io.StringIO(content.decode("utf-8-sig"))):
            number, said = val_number(row.get("ImageId") or ""), CLASS_ID.findall(row.get("PredictionString") or "")
            if number is not None and said and ids[int(labels[number - 1])] not in said:
                wrong += 1
                first = (
                    first or f"{row['ImageId']} is {said[0]}, and its official class is {ids[int(labels[number - 1])]}"
                )
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{where} cannot be read as CSV in UTF-8 ({error}); fetch it anew, or remove it") from None
    if wrong:
        raise DataError(
            f"{where} says that {first}; {wrong:,} of its rows contradict{'s' if wrong == 1 else ''} the official labels. "
            f"Fetch it anew, or remove it"
        )


def _beside(tree: Tree) -> Iterator[tuple[str | None, bytes]]:
    """Where the file lies, and its content: in the images' folder or above it, in the same archive or on the disk."""
    tree = tree.tree if isinstance(tree, RenamedTree) else tree
    prefix = PurePosixPath(tree.prefix) if isinstance(tree, InnerTree) else PurePosixPath()
    held = tree.tree if isinstance(tree, InnerTree) else tree
    for folder in (prefix, *prefix.parents):
        try:
            yield f"{held.where}/{folder / NAME}", held.read((folder / NAME).as_posix())
        except KeyError:
            continue
    if isinstance(held, FolderTree):
        for above in [*held.root.parents][:ABOVE]:
            if (above / NAME).is_file():
                yield str(Path(above) / NAME), read_bytes(above / NAME)
