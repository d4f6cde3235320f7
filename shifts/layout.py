"""Where each set is looked for: places named by the user, then known places under the data folder, in any form that is read.

A place without images, or with the images of something else, is passed over and named; the next one is tried.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from shifts.bounds.kept import change_file
from shifts.classes import ClassFolders, class_folders
from shifts.declared.suites import known_suite
from shifts.errors import DataError, DataMissing
from shifts.evidence.foreign_images import why_foreign, why_unusable
from shifts.evidence.worded_folders import with_official_folders
from shifts.storage.forms import OpenedPlace, absent, open_place
from shifts.storage.kept_places import config_file, expanded, kept_places
from shifts.storage.shards import SUFFIX
from shifts.storage.splits import AbsentSplit
from shifts.storage.tree import Tree

VARIABLE = "EFFROB_DATA"


@dataclass(frozen=True)
class Layout:
    """Places of one set relative to the data folder, in order: as a folder, or as one file."""

    folders: tuple[str, ...]
    archives: tuple[str, ...] = ()


def _v2(stem: str, *also: str) -> Layout:
    stems = (stem, *also)
    folders = tuple(f"imagenetv2-{s}-format-val" for s in stems)
    nested = tuple(f"imagenetv2/{folder}" for folder in folders)
    hub = ("wds_imagenetv2", "wds_imagenetv2_test", "imagenet-v2") if stem == "matched-frequency" else ()
    return Layout(
        (*folders, *nested, *hub), tuple(f"imagenetv2-{s}.{e}" for s in stems for e in ("tar.gz", "tar", "zip"))
    )


def _one(name: str, *more: str, archives: tuple[str, ...] = ()) -> Layout:
    """A set of one folder: its other places, what the hub's copies are called, and its archives."""
    hub = (f"wds_{name}", f"wds_{name}_test")
    return Layout((name, *more, *hub), archives or tuple(f"{name}.{e}" for e in ("tar", "zip", "tar.gz", "tgz")))


_KAGGLE = "ILSVRC/Data/CLS-LOC"
KAGGLE_ZIP = "imagenet-object-localization-challenge.zip"
LAYOUTS: Mapping[str, Layout] = {
    "imagenet": Layout(
        (
            "imagenet/val",
            "imagenet/validation",
            "imagenet/images/val",
            f"imagenet/{_KAGGLE}/val",
            f"{_KAGGLE}/val",
            "imagenet",
            "imagenet-1k",
            "wds_imagenet1k",
            "wds_imagenet1k_test",
        ),
        ("imagenet/ILSVRC2012_img_val.tar", "ILSVRC2012_img_val.tar", "ILSVRC2012_img_val.zip", KAGGLE_ZIP),
    ),
    "imagenet-train": Layout(
        (
            "imagenet/train",
            "imagenet/images/train",
            f"imagenet/{_KAGGLE}/train",
            f"{_KAGGLE}/train",
            "imagenet",
            "imagenet-1k",
            "wds_imagenet1k",
        ),
        ("imagenet/ILSVRC2012_img_train.tar", "ILSVRC2012_img_train.tar", KAGGLE_ZIP),
    ),
    "imagenet-v2": _v2("matched-frequency"),
    "imagenet-v2-threshold-0.7": _v2("threshold0.7"),
    "imagenet-v2-top-images": _v2("topimages", "top-images"),
    "imagenet-r": _one("imagenet-r", "imagenet-rendition"),
    "imagenet-sketch": Layout(
        (
            "sketch",
            "ImageNet-Sketch/sketch",
            "ImageNet-Sketch",
            "imagenet-sketch/images",
            "imagenet-sketch",
            "imagenet_sketch",
            "wds_imagenet_sketch",
            "wds_imagenet_sketch_test",
        ),
        (
            "ImageNet-Sketch.zip",
            "ImageNet-Sketch.tar",
            "sketch.tar",
            "imagenet-sketch.tar",
            "imagenet-sketch.zip",
            "sketch.zip",
        ),
    ),
    "objectnet": Layout(
        ("objectnet-1.0", "objectnet", "wds_objectnet", "wds_objectnet_test"),
        ("objectnet-1.0.tar", "objectnet-1.0.zip", "objectnet.tar"),
    ),
    "imagenet-a": _one("imagenet-a", "imagenet-adversarial"),
    "pocket": Layout(("pocket/val",)),
    "pocket-train": Layout(("pocket/train",)),
    "pocket-v2": Layout(("pocket-v2-format-val",)),
    "pocket-r": _one("pocket-r"),
    "pocket-sketch": _one("pocket-sketch"),
    "pocket-object": _one("pocket-object"),
    "pocket-a": _one("pocket-a"),
    "pocket-web": Layout(("pocket-web",)),
}
SHARED = "imagenet"  # a folder of the data folder that several sets lie in: not named for lacking one of them
SAME_FILES = {"imagenet-real": "imagenet"}  # a label view of another set's images


@dataclass(frozen=True)
class Places:
    """Where sets are looked for.

    root          the data folder, None where none was named
    at            set -> its own folder or file; it goes before what the data folder holds
    follow_links  whether links inside a set's folder may leave it
    """

    root: Path | None
    at: Mapping[str, Path] = field(default_factory=dict)
    follow_links: bool = False


@dataclass(frozen=True)
class LocatedSet:
    """What was found of a set. opened: None where no place holds it; passed: a sentence for each place that was passed over.

    error     what made the first such place unreadable
    unusable  the first place that could be read and does not hold the set
    """

    name: str
    opened: OpenedPlace | None
    passed: tuple[str, ...] = ()
    error: DataError | None = None
    unusable: OpenedPlace | None = None


def data_root(root: str | Path | None, name: str | None = None) -> Path:
    """The data folder: the one given, else $EFFROB_DATA; DataMissing, for the set `name`, where neither is there."""
    given = root if root is not None else os.environ.get(VARIABLE)
    known = name is not None and (name in LAYOUTS or name in SAME_FILES)
    hint = f"; `{get_command(name)} --data DIR` gets {name}" if known and name else ""
    if not given:
        raise DataMissing(f"no data folder was named; give --data DIR or set {VARIABLE}{hint}")
    path = expanded(given)
    if not path.is_dir():
        there = f"the data folder {path} does not exist; give --data DIR or set {VARIABLE} to one that does"
        raise DataMissing(there + hint)
    return path


def candidates(name: str) -> tuple[str, ...]:
    """Every place, relative to the data folder, where the set may lie."""
    held = SAME_FILES.get(name, name)
    inside = () if held == SHARED else (f"{held}/{archive}" for archive in LAYOUTS[held].archives if "/" not in archive)
    return (*LAYOUTS[held].folders, *LAYOUTS[held].archives, *inside, f"{held}{SUFFIX}", f"{held}.parquet")


def locate_set(name: str, places: Path | Places) -> LocatedSet:
    """Look for a known set in every place: the first that holds images of it."""
    held = SAME_FILES.get(name, name)
    where = places if isinstance(places, Places) else Places(places)
    classes = class_folders(held)
    named = where.at.get(name, where.at.get(held))
    if named is not None:
        if not named.exists() and kept_places().get(name, kept_places().get(held)) == named:
            kept = name if name in kept_places() else held
            raise DataMissing(
                f"{named}, kept as the place of {kept} in {config_file()}, is not there; bring it back, name another with "
                f"`effrob data where {kept}=PATH`, or forget it with `effrob data where --forget {kept}`"
            )
        there, why = _opened(named, classes, where.follow_links)
        if named.is_dir() and (why is not None or _holds_folders_alone(there, classes)):  # the folder of all downloads?
            inside = locate_set(name, Places(named, follow_links=where.follow_links))
            if inside.opened is not None:
                return inside
            if inside.error is not None:
                raise inside.error
        if why is not None:
            owner = name if name in where.at else held
            raise DataError(
                f"{named}, named as the place of {name}, {why}; name its folder or file with --at {name}=PATH, or, where "
                f"`effrob data where` shows it, forget it with `effrob data where --forget {owner}`"
            )
        return LocatedSet(name, there)
    passed: list[str] = []
    error: DataError | None = None
    unusable: OpenedPlace | None = None
    for place in candidates(held) if where.root is not None else ():
        path = Path(where.root or "") / place
        if not path.exists():
            continue
        opened = None
        try:
            opened, why = _opened(path, classes, where.follow_links)
            silent = why is not None and place == SHARED and "holds no image" in why
            why = why or why_foreign(opened, classes)
        except DataError as problem:
            why, silent = str(problem), place == SHARED and isinstance(problem, AbsentSplit)
            error = error or (None if silent else problem)
        if why is None:
            return LocatedSet(name, opened, tuple(passed))
        if not silent:
            unusable = unusable or opened
            passed.append(why if opened is None else f"{path} {why}")
    return LocatedSet(name, None, tuple(passed), error, unusable)


def _holds_folders_alone(opened: OpenedPlace, classes: ClassFolders) -> bool:
    """Whether images lie in folders alone, none of them a class of any set."""
    if opened.form != "folder" or classes.teaches:
        return False
    tops = {path.partition("/")[0] if "/" in path else "" for path in opened.tree.paths}
    return not any(not top or classes.is_class(top) or top.isdigit() for top in tops)


def _opened(path: Path, classes: ClassFolders, follow_links: bool) -> tuple[OpenedPlace, str | None]:
    """What lies at a place, and why it cannot be the set. DataError where the system refuses to read it."""
    try:
        opened = open_place(path, classes, follow_links)
        return opened, why_unusable(opened, classes)
    except OSError as error:
        why = f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}"
        raise DataError(f"{path} cannot be read ({why}); make that file readable or remove it") from None


def locate(name: str, root: Path) -> Path | None:
    """Where a known set lies under the data folder, or None."""
    opened = locate_set(name, root).opened
    return None if opened is None else opened.path


def get_command(name: str) -> str:
    """The command that gets a set."""
    return f"effrob data get {SAME_FILES.get(name, name)}"


def open_set(name: str, places: Path | Places) -> Tree:
    """The files of a known set; DataMissing says where it was looked for, what was passed over, and what gets it.

    Where a place holds something else than the set, that is opened: its loader says what it is.
    """
    located = locate_set(name, places)
    opened = located.opened
    if opened is None and located.error is not None:
        raise located.error
    if opened is None:
        opened = located.unusable
    if opened is None:
        root = places.root if isinstance(places, Places) else places
        where = ", ".join(candidates(name))
        raise DataMissing(
            f"{name} was not found under {root} (looked for {where}); `{get_command(name)}` gets it, and "
            f"--at {name}=PATH names another place"
        )
    return with_official_folders(opened.tree, class_folders(SAME_FILES.get(name, name)))


def set_hint(name: str, known: Iterable[str]) -> str:
    """What names the sets that are known, for a name that is none: those that are near to it, else a command."""
    near = get_close_matches(name, known, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(near)}?" if near else "`effrob data list` names the sets"


def keep_place(name: str, place: Path | None) -> Path:
    """Keep where a set lies, or forget it with None; returns the file. DataMissing for an unknown set or an absent place."""
    if name not in LAYOUTS and known_suite(name) is None:
        raise DataMissing(f"there is no set {name!r}; {set_hint(name, LAYOUTS)}")
    if place is not None and not place.exists():
        raise absent(place, name)

    def changed() -> str:
        places = {each: str(path) for each, path in kept_places().items() if each != name}
        if place is not None:
            places[name] = str(place.absolute())
        return json.dumps({"places": places}, indent=1, sort_keys=True)

    return change_file(config_file(), changed)
