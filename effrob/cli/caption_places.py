"""Where `effrob captions` finds what it is asked about: files, images, classes and variants by the names a user gives."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shifts.captions.imagenet_captions import Captions
    from shifts.captions.variants import Variant
    from shifts.classes import ClassTable
    from shifts.storage.tree import Tree


def table_of(suite: str) -> ClassTable:
    """Class table of a suite; UsageProblem for an unknown one."""
    import shifts
    from effrob.errors import UsageProblem, suggest
    from shifts.classes import class_table

    if suite not in shifts.suite_names():
        raise UsageProblem(f"no suite is called {suite!r}{suggest(suite, list(shifts.suite_names()))}")
    return class_table(str(shifts.suite(suite).classes))


def pocket_root(data: Path | None, name: str) -> Path:
    """A folder that holds a pocket set, drawn into the cache where the data folder lacks it."""
    from shifts.layout import VARIABLE, data_root
    from shifts.storage.kept_places import cache_folder
    from shifts.synthetic import pocket

    given = data is not None or os.environ.get(VARIABLE)
    return pocket.ensure(name, data_root(data) if given else None, cache_folder() / "pocket")


def root_of(data: Path | None, suite: str) -> Path:
    """The data folder that holds the training set of a suite; pocket sets are drawn where they are missing."""
    import shifts
    from shifts.layout import data_root

    of = shifts.suite(suite)
    return pocket_root(data, str(of.train)) if of.generated else data_root(data)


def tree_of(data: Path | None, suite: str) -> Tree:
    """The training images of a suite."""
    import shifts
    from shifts.layout import open_set

    return open_set(str(shifts.suite(suite).train), root_of(data, suite))


def captions_file(file: Path | None, data: Path | None, suite: str) -> Path:
    """The captions file named, or the one in the data folder."""
    import shifts
    from shifts.synthetic.draw import CAPTIONS

    table_of(suite)
    if file is not None:
        return file
    names = [CAPTIONS] if shifts.suite(suite).generated else ["imagenet_captions.json", "imagenet_captions.zip"]
    root = root_of(data, suite)
    for name in names:
        if (root / name).is_file():
            return root / name
    raise shifts.DataMissing(f"no {' and no '.join(names)} under {root}; name the captions file")


def classes_of(named: str | None, drawn: int | None, table: ClassTable, seed: int) -> tuple[str, ...] | None:
    """The class ids asked for, or None for every class."""
    from effrob.errors import UsageProblem
    from shifts.captions.export import class_file
    from shifts.captions.imagenet_captions import random_classes

    if named is not None and drawn is not None:
        raise UsageProblem("--classes and --random-classes each choose the classes; give one of them")
    if drawn is not None:
        return random_classes(table, drawn, seed)
    if named is None:
        return None
    if named in table.subsets:
        return table.subsets[named]
    if not Path(named).is_file():
        raise UsageProblem(f"--classes wants {' or '.join(table.subsets)} or a file of class ids; {named} is neither")
    return class_file(Path(named))


def variants_of(names: tuple[str, ...], prompts: str | None, seed: int) -> list[Variant]:
    """Variants by name, each in the templates of a prompt set where one is named."""
    from shifts.captions.variants import variant

    templates: tuple[str, ...] = ()
    called = None
    if prompts is not None:
        from effrob.heads.prompts import prompt_set

        chosen = prompt_set(prompts)
        templates, called = chosen.templates, chosen.name
    return [variant(name, templates, called, seed) for name in dict.fromkeys(names)]


def image_prefix(captions: Captions, data: Path | None, suite: str, out: Path, prefix: str | None, copy: bool) -> str:
    """What a CSV's paths begin with; the images themselves where they must be copied out of an archive."""
    from effrob.errors import UsageProblem
    from shifts.captions.export import copy_images
    from shifts.captions.manifests import new_folder
    from shifts.storage.folder import FolderTree

    if copy:
        if not (out / "images").is_dir():
            with new_folder(out / "images") as folder:
                copy_images(captions, tree_of(data, suite), folder)
        lacking = next((id for id in captions.ids if not (out / "images" / id).is_file()), None)
        if lacking is not None:
            raise UsageProblem(f"{out / 'images'} is of another build and lacks {lacking}; give another --out")
        return prefix or str((out / "images").resolve())
    if prefix is not None:
        return prefix.rstrip("/")
    tree = tree_of(data, suite)
    if not isinstance(tree, FolderTree):
        raise UsageProblem(
            f"the training images lie in {tree.where}, which a CSV cannot point into: give --copy to write them out, "
            f"or --format webdataset"
        )
    return str(tree.root)
