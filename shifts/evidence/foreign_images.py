"""Whether the images that lie at a place can be those of a set, by their folders and names."""

from __future__ import annotations

from shifts.classes import ClassFolders
from shifts.evidence.official_names import CLASS_ID, val_number
from shifts.storage.folder import FolderTree
from shifts.storage.forms import OpenedPlace
from shifts.storage.tree import skipped_in


def why_unusable(opened: OpenedPlace, classes: ClassFolders) -> str | None:
    """Why what was opened cannot be the set; None where it may be, and its loader decides."""
    tree = opened.tree
    if classes.teaches and isinstance(tree, FolderTree):
        captioned = (opened.path / "captions.csv").is_file()
        return None if captioned or tree.any_image() else "holds no image"
    if not tree.paths:
        skipped = ", ".join(f"{n:,} {suffix}" for suffix, n in sorted(skipped_in(tree).items())[:3])
        return f"holds no image{f' (files of other kinds: {skipped})' if skipped else ''}"
    inside = [path.removeprefix(classes.prefix) for path in tree.paths]
    tops = dict.fromkeys(path.partition("/")[0] for path in inside if "/" in path)
    if (
        tops
        and not any(classes.is_class(top) or top.isdigit() for top in tops)
        and not (classes.held_out and any(map(val_number, inside[:100])))
    ):
        return f"holds the folders {', '.join(list(tops)[:3])}, none of them a class of {classes.name}"
    return None


def why_foreign(opened: OpenedPlace, classes: ClassFolders) -> str | None:
    """Why images under the data folder are not the set's, so that the next place is tried; None where they may be."""
    if classes.teaches:
        return None
    inside = [path.removeprefix(classes.prefix) for path in opened.tree.paths]
    tops = list(dict.fromkeys(path.partition("/")[0] for path in inside if "/" in path))
    official = classes.held_out and any(map(val_number, inside))
    if not tops:
        named = official or any(id in classes.table.index for path in inside for id in CLASS_ID.findall(path))
        return None if named else f"holds {inside[0]} in no class folder, and no name there says its class"
    other = [top for top in tops if top not in classes.class_ids and classes.worded(top) not in classes.class_ids]
    foreign = [top for top in other if classes.is_class(top) or top.isdigit()]
    if foreign and not official and not (classes.prefix and foreign[0] in classes.table.object_others):
        return (
            f"holds the folder {foreign[0]}, which is not one of the {len(classes.folders)} classes of {classes.name}"
        )
    return None
