"""ImageNet (ILSVRC-2012): the clean set, its training images, and the validation images under ReaL labels.

Validation images come in wnid folders or flat under their official names; a flat image is labelled by the number in its
name, never by its place in a listing.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from shifts.classes import DATA, imagenet
from shifts.errors import DataError
from shifts.evidence.official_names import val_labels as val_labels
from shifts.evidence.official_names import val_number
from shifts.evidence.solution import check_solution
from shifts.layout import Places, open_set
from shifts.protocol import Protocol
from shifts.shift import Shift
from shifts.storage.class_folders import (
    LabelledImages,
    SetRequest,
    Terms,
    assemble,
    full_folders,
    labelled_shift,
    read_folders,
)

TERMS = Terms(
    "image-net.org terms of access: research only",
    "Russakovsky et al., ImageNet Large Scale Visual Recognition Challenge, IJCV 2015",
)
REAL_CITATION = "Beyer et al., Are we done with ImageNet?, arXiv 2006.07159"
REAL_NOTE = "right where the prediction is any of the accepted answers; images without an answer are not asked"


@cache
def real_labels() -> tuple[tuple[int, ...], ...]:
    """50,000 times every right answer under ReaL; 3,163 are empty, 7,443 hold several."""
    with np.load(DATA / "imagenet_real_labels.npz", allow_pickle=False) as stored:
        ends, flat = np.cumsum(stored["lengths"], dtype=np.int64).tolist(), stored["labels"].tolist()
    return tuple(tuple(flat[start:end]) for start, end in zip([0, *ends[:-1]], ends, strict=True))


def load_imagenet(root: Path | Places, protocol: Protocol, partial: bool) -> Shift:
    """The 50,000 validation images, 50 a class: flat, in wnid folders, or in others under their official names."""
    return _clean_set("imagenet", root, protocol, partial)


def _clean_set(place_of: str, root: Path | Places, protocol: Protocol, partial: bool) -> Shift:
    """The validation images in the place of `imagenet` or of `imagenet-real`."""
    return validation_set(SetRequest("imagenet", open_set(place_of, root), imagenet(), protocol, partial, TERMS))


def validation_set(request: SetRequest) -> Shift:
    """The validation images of a tree: labelled by their official names, or by wnid folders that agree with them."""
    if request.table.name == "imagenet" and not request.as_listed:
        check_solution(request.tree)
    paths = request.tree.paths
    flat = all("/" not in path for path in paths)
    filed = any(path.partition("/")[0] in request.table.index for path in paths)
    by_number = bool(paths) and (flat or (not filed and all(val_number(path) for path in paths)))
    read = _flat(request) if by_number else _sorted_into_folders(request)
    return labelled_shift(request, read, request.table.full(), clean=None)


def load_imagenet_train(root: Path | Places, protocol: Protocol, partial: bool) -> Shift:
    """The 1,281,167 training images, in wnid folders."""
    tree = open_set("imagenet-train", root)
    return full_folders(SetRequest("imagenet-train", tree, imagenet(), protocol, partial, TERMS), clean=None)


def load_imagenet_real(root: Path | Places, protocol: Protocol, partial: bool) -> Shift:
    """The validation images under ReaL labels: any of several answers is right, images without one are left out.

    The images are those of `imagenet`, so one pass over them serves both, unless imagenet-real has a place of its own.
    """
    return with_real_labels(_clean_set("imagenet-real", root, protocol, partial))


def with_real_labels(clean: Shift) -> Shift:
    """The images of the validation set under ReaL labels."""
    real = real_labels()
    answers = [real[_number(id, "imagenet-real") - 1] for id in clean.source.ids]
    rows = [row for row, accepted in enumerate(answers) if accepted]
    if not rows:
        raise DataError(
            "none of the images there has an answer under ReaL labels; complete imagenet, or leave imagenet-real out"
        )
    return replace(
        clean,
        name="imagenet-real",
        rows=np.array(rows, dtype=np.int64),
        targets=np.array([answers[row][0] for row in rows], dtype=np.int64),
        accepted=tuple(answers[row] for row in rows),
        n_expected=sum(bool(accepted) for accepted in real),
        citation=REAL_CITATION,
        notes=(REAL_NOTE,),
    )


def _number(path: str, name: str) -> int:
    """The number in an official validation name, 1 to 50,000."""
    number = val_number(path)
    if number is None:
        raise DataError(
            f"{name} is labelled by the official file names, ILSVRC2012_val_00000001.JPEG to "
            f"ILSVRC2012_val_{len(val_labels()):08d}.JPEG, and {path} is none of them; keep the official names"
        )
    return number


def _flat(request: SetRequest) -> LabelledImages:
    folders: dict[str, list[str]] = defaultdict(list)
    labels = val_labels()
    seen: dict[int, str] = {}
    for path in request.tree.paths:
        number = _number(path, request.name)
        if seen.setdefault(number, path) != path:
            raise DataError(f"{request.tree.where} holds one image twice, {seen[number]} and {path}; remove one")
        folders[request.table.ids[labels[number - 1]]].append(path)
    return assemble(request, request.table.ids, folders)


def _sorted_into_folders(request: SetRequest) -> LabelledImages:
    """Wnid folders; an image under an official name must lie in the folder of its official class."""
    labels = val_labels()
    for path in request.tree.paths:
        number, folder = val_number(path), path.partition("/")[0]
        if number is not None and folder in request.table.index and folder != request.table.ids[labels[number - 1]]:
            raise DataError(
                f"{request.tree.where}/{path} lies in the wrong folder, its official class is "
                f"{request.table.ids[labels[number - 1]]}; sort the validation images anew"
            )
    return read_folders(request, request.table.ids)
