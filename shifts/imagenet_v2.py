"""ImageNetV2: three fresh draws of the validation set, in folders named by class index.

The folders are unpadded integers: their string order agrees with the class index for 12 of 1000, so the class is
`int(folder)` and never a rank.
"""

from __future__ import annotations

from pathlib import Path

from shifts.classes import imagenet
from shifts.errors import DataError
from shifts.layout import Places, open_set
from shifts.protocol import Protocol
from shifts.shift import Shift
from shifts.storage.class_folders import SetRequest, Terms, assemble, by_folder, full_folders, labelled_shift, recognise

TERMS = Terms(
    "code MIT; images under their Flickr licences, as ImageNet",
    "Recht et al., Do ImageNet Classifiers Generalize to ImageNet?, ICML 2019",
)


def load_matched_frequency(root: Path | Places, protocol: Protocol, partial: bool) -> Shift:
    """The matched-frequency draw: the one meant where a paper says ImageNetV2."""
    return _load("imagenet-v2", root, protocol, partial)


def load_threshold(root: Path | Places, protocol: Protocol, partial: bool) -> Shift:
    """The draw with a selection frequency of at least 0.7."""
    return _load("imagenet-v2-threshold-0.7", root, protocol, partial)


def load_top_images(root: Path | Places, protocol: Protocol, partial: bool) -> Shift:
    """The draw of the most often selected images."""
    return _load("imagenet-v2-top-images", root, protocol, partial)


def _load(name: str, root: Path | Places, protocol: Protocol, partial: bool) -> Shift:
    return integer_folders(SetRequest(name, open_set(name, root), imagenet(), protocol, partial, TERMS))


def integer_folders(request: SetRequest) -> Shift:
    """A set over every class of the table, whose folders are class indices 0 to P-1."""
    ids = request.table.ids
    held = by_folder(request)
    seen = recognise(held, request.table)
    numbered = all(folder.isascii() and folder.isdigit() for folder in held)
    if held and set(held) <= set(ids) and seen is None:  # sorted into class ids by another project
        return full_folders(request, request.table.name)
    if numbered and seen == request.table.name:
        raise DataError(
            f"{request.tree.where} holds validation images of {seen}, by their official names, in numbered folders, and not "
            f"{request.name}; put {request.name} there"
        )
    folders: dict[str, list[str]] = {}
    for folder, paths in held.items():
        number = int(folder) if folder.isascii() and folder.isdigit() else -1
        if not 0 <= number < len(ids):
            other = f"; this is {seen}" if seen and seen != f"{request.table.name}-v2" else ""
            raise DataError(
                f"the folders of {request.name} are the integers 0 to {len(ids) - 1}, and {request.tree.where} holds "
                f"{folder}{other}; put {request.name} there, or move what does not belong to it away"
            )
        if ids[number] in folders:
            raise DataError(
                f"{request.tree.where} holds two folders for class {number}, {folder} among them; remove one"
            )
        folders[ids[number]] = paths
    return labelled_shift(request, assemble(request, ids, folders), request.table.full(), clean=request.table.name)
