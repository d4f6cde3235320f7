"""Class folders that people called by a class id and words, as `n01443537_goldfish`: read under the official folder's name."""

from __future__ import annotations

from shifts.classes import ClassFolders
from shifts.errors import DataError
from shifts.storage.tree import RenamedTree, Tree


def with_official_folders(tree: Tree, classes: ClassFolders) -> Tree:
    """The tree with its images under the class ids alone; the tree itself where no folder has words behind its id.

    Raises DataError where two folders are of one class.
    """
    if classes.prefix:  # ObjectNet's folders are words
        return tree
    tops = sorted({top for top, slash, _ in (path.partition("/") for path in tree.paths) if slash})
    if not any(classes.worded(top) for top in tops):
        return tree
    official: dict[str, str] = {}
    for top in tops:
        id = classes.worded(top) or top
        if id in official.values():
            other = next(each for each, of in official.items() if of == id)
            raise DataError(
                f"{tree.where} holds the folders {other} and {top}, both of the class {id}; move the images of one class into "
                "one folder, or the other folder away"
            )
        official[top] = id
    stored = {}
    for path in tree.paths:
        top, slash, rest = path.partition("/")
        stored[f"{official[top]}/{rest}" if slash else path] = path
    return RenamedTree(tree, stored)
