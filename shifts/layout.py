"""Where each set lies under the data folder: unpacked, as its official archive, or in shards.

The first candidate that exists is taken.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from shifts.classes import labels_of
from shifts.errors import DataMissing
from shifts.storage.folder import FolderTree
from shifts.storage.shards import SUFFIX, ShardTree
from shifts.storage.tar import TarTree
from shifts.storage.tree import Tree
from shifts.storage.zip import ZipTree

VARIABLE = "EFFROB_DATA"


@dataclass(frozen=True)
class Layout:
    """Candidates of one set, relative to the data folder: folders, then archives with the folder inside each."""

    folders: tuple[str, ...]
    archives: tuple[tuple[str, str], ...] = ()


def _v2(stem: str, *also: str) -> Layout:
    folders = tuple(f"imagenetv2-{s}-format-val" for s in (stem, *also))
    return Layout(folders, tuple((f"imagenetv2-{s}.{e}", "*/") for s in (stem, *also) for e in ("tar.gz", "tar")))


LAYOUTS: Mapping[str, Layout] = {
    "imagenet": Layout(("imagenet/val",), (("imagenet/ILSVRC2012_img_val.tar", ""), ("ILSVRC2012_img_val.tar", ""))),
    "imagenet-train": Layout(
        ("imagenet/train",), (("imagenet/ILSVRC2012_img_train.tar", ""), ("ILSVRC2012_img_train.tar", ""))
    ),
    "imagenet-v2": _v2("matched-frequency"),
    "imagenet-v2-threshold-0.7": _v2("threshold0.7"),
    "imagenet-v2-top-images": _v2("topimages", "top-images"),
    "imagenet-r": Layout(("imagenet-r",), (("imagenet-r.tar", "imagenet-r/"),)),
    "imagenet-sketch": Layout(
        ("sketch", "ImageNet-Sketch/sketch", "ImageNet-Sketch"),
        (("ImageNet-Sketch.zip", "*/"), ("ImageNet-Sketch.tar", "*/"), ("sketch.tar", "*/")),
    ),
    "objectnet": Layout(("objectnet-1.0",), (("objectnet-1.0.tar", "*/"), ("objectnet-1.0.zip", "*/"))),
    "imagenet-a": Layout(("imagenet-a",), (("imagenet-a.tar", "imagenet-a/"),)),
    "pocket": Layout(("pocket/val",)),
    "pocket-train": Layout(("pocket/train",)),
    "pocket-v2": Layout(("pocket-v2-format-val",)),
    "pocket-r": Layout(("pocket-r",)),
    "pocket-sketch": Layout(("pocket-sketch",)),
    "pocket-object": Layout(("pocket-object",)),
    "pocket-a": Layout(("pocket-a",)),
    "pocket-web": Layout(("pocket-web",)),
}
SAME_FILES = {"imagenet-real": "imagenet"}  # a label view of another set's images


def data_root(root: str | Path | None, name: str | None = None) -> Path:
    """The data folder: the one given, else $EFFROB_DATA; DataMissing, for the set `name`, where neither is there."""
    given = root if root is not None else os.environ.get(VARIABLE)
    known = name is not None and (name in LAYOUTS or name in SAME_FILES)
    hint = f"; `{get_command(name)} --data DIR` gets {name}" if known and name else ""
    if not given:
        raise DataMissing(f"no data folder was named; give --data DIR or set {VARIABLE}{hint}")
    path = Path(given).expanduser()
    if not path.is_dir():
        there = f"the data folder {path} does not exist; give --data DIR or set {VARIABLE} to one that does"
        raise DataMissing(there + hint)
    return path


def candidates(name: str) -> tuple[str, ...]:
    """Every place, relative to the data folder, where the set may lie."""
    held = SAME_FILES.get(name, name)
    return (*LAYOUTS[held].folders, *(archive for archive, _ in LAYOUTS[held].archives), held + SUFFIX)


def locate(name: str, root: Path) -> Path | None:
    """The first candidate of a known set that exists, or None."""
    return next((root / c for c in candidates(name) if (root / c).exists()), None)


def get_command(name: str) -> str:
    """The command that gets a set."""
    return f"effrob data get {SAME_FILES.get(name, name)}"


def open_set(name: str, root: Path) -> Tree:
    """The files of a known set; DataMissing says where it was looked for and what gets it."""
    path = locate(name, root)
    if path is None:
        places = ", ".join(candidates(name))
        raise DataMissing(f"{name} was not found under {root} (looked for {places}); `{get_command(name)}` gets it")
    if path.name.endswith(SUFFIX):
        return ShardTree(path, labels_of(SAME_FILES.get(name, name)))
    if path.is_dir():
        return FolderTree(path)
    inside = dict(LAYOUTS[SAME_FILES.get(name, name)].archives)[path.relative_to(root).as_posix()]
    return ZipTree(path, inside) if path.suffix == ".zip" else TarTree(path, inside)
