"""ObjectNet 1.0: objects in odd poses and places; 113 of its 313 folders overlap ImageNet, over 125 of its classes.

Only the overlapping folders are read. The archive's own mapping files are compared with the shipped map and never used
in its place.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from shifts.bounds.files import parse_json
from shifts.classes import ClassTable, imagenet
from shifts.errors import DataError
from shifts.layout import Places, open_set
from shifts.protocol import Protocol
from shifts.shift import Shift
from shifts.storage.class_folders import SetRequest, Terms, assemble, by_folder, labelled_shift, recognise
from shifts.storage.tree import Tree

TERMS = Terms(
    "CC BY 4.0 with two clauses: never tune a parameter on it; an image shown online keeps its red border",
    "Barbu et al., ObjectNet, NeurIPS 2019",
    ("ObjectNet 1.0; imagenet-testbed's figures are of 1.0-beta, 18,514 images in the same 113 folders",),
)
IMAGES = "images/"
MAPPINGS = ("folder_to_objectnet_label.json", "objectnet_to_imagenet_1k.json", "pytorch_to_imagenet_2012_id.json")
LABELS = "imagenet_to_label_2012_v2"


def load_objectnet(root: Path | Places, protocol: Protocol, partial: bool) -> Shift:
    """The 18,574 images in the 113 overlapping folders."""
    request = SetRequest("objectnet", open_set("objectnet", root), imagenet(), protocol, partial, TERMS)
    _check_mappings(request.tree, request.table)
    return object_folders(request)


def object_folders(request: SetRequest) -> Shift:
    """A set whose folders map to one or more classes, under `images/`, with the protocol's border and label space."""
    table = request.table
    folders = by_folder(request, IMAGES) or by_folder(request)
    foreign = sorted(set(folders) - set(table.object_groups) - table.object_others)
    if foreign:
        seen = recognise(folders, table)
        raise DataError(
            f"{request.tree.where} holds the folder {foreign[0]}, none of the "
            f"{len(table.object_groups) + len(table.object_others)} of {request.name}{f'; this is {seen}' if seen else ''}; "
            f"put {request.name} there, or move what does not belong to it away"
        )
    mapped = {folder: paths for folder, paths in folders.items() if folder in table.object_groups}
    read = assemble(request, tuple(table.object_groups), mapped)
    return labelled_shift(request, read, table.objects(request.protocol), table.name, request.protocol.object_border)


def _check_mappings(tree: Tree, table: ClassTable) -> None:
    """Raises DataError where the archive's own mapping, if it is there, is not the shipped one."""
    try:
        labels, to_imagenet, to_official = (parse_json(tree.read(f"mappings/{name}")) for name in MAPPINGS)
        texts = [line.strip() for line in tree.read(f"mappings/{LABELS}").decode().splitlines()]
    except KeyError:
        return  # only images were unpacked
    except ValueError as error:
        raise DataError(f"a mapping file of {tree.where} cannot be read ({error}); unpack the archive anew") from None
    try:
        theirs = archive_groups(labels, to_imagenet, to_official, texts)
    except (KeyError, ValueError, AttributeError, TypeError) as error:
        raise DataError(
            f"the mapping files of {tree.where} do not fit together ({error!r}); unpack the archive anew"
        ) from None
    if theirs != dict(table.object_groups):
        differing = sorted(f for f in {*theirs, *table.object_groups} if theirs.get(f) != table.object_groups.get(f))
        raise DataError(
            f"the mapping in {tree.where} differs from ObjectNet 1.0's for {len(differing)} folders, first {differing[0]}; "
            f"unpack the archive of version 1.0 anew"
        )


def archive_groups(
    labels: dict[str, str], to_imagenet: dict[str, str], to_official: dict[str, Any], texts: list[str]
) -> dict[str, tuple[int, ...]]:
    """The archive's four files -> folder: 1000-way indices.

    labels       folder -> ObjectNet label
    to_imagenet  ObjectNet label -> ImageNet label texts joined by "; "
    to_official  1000-way index -> ILSVRC-2012 number, counted from 0 as the lines of `texts`
    texts        ImageNet label text of each ILSVRC-2012 number
    """
    folder = {label: name for name, label in labels.items()}
    index = {int(number): int(i) for i, number in to_official.items()}
    number = {text: n for n, text in enumerate(texts)}
    return {
        folder[label]: tuple(sorted(index[number[text]] for text in joined.split("; ")))
        for label, joined in to_imagenet.items()
    }
