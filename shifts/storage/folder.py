"""An unpacked folder as a tree of images, listed once, in string order of the relative POSIX paths.

Links that leave the folder are followed only where that was asked for.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

from shifts.bounds.files import read_bytes
from shifts.errors import DataError, DataMissing
from shifts.storage.spans import MAX_FILE
from shifts.storage.tree import FileStat, TreeSource, checked_path, counted_suffix, is_image


def leads_to_file(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a file or a link to one. DataError for a link to nothing: its images would be missing unsaid."""
    if entry.is_symlink() and not Path(entry.path).exists():
        raise DataError(f"{entry.path} is a link that leads nowhere; put back what it names or remove the link")
    return entry.is_file()


class FolderTree:
    """Images under `root`, at any depth. The root itself may be a link.

    follow_links  whether links inside it may leave it; else they are refused in a sentence that names the option
    """

    def __init__(self, root: Path, follow_links: bool = False) -> None:
        if not root.is_dir():
            raise DataMissing(f"no folder {root}")
        self.root = root.resolve()
        self.where = str(root)
        self.follow_links = follow_links

    def __repr__(self) -> str:
        return f"FolderTree({self.where!r})"

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """Relative paths of the images, sorted; listed once."""
        return self._listed[0]

    @property
    def skipped(self) -> Mapping[str, int]:
        """Suffix -> how many files of it were passed over as no images."""
        return self._listed[1]

    def any_image(self) -> bool:
        """Whether there is an image at all: quick where there are a million."""
        return next(self._walk(self.root, "", Counter(), ()), None) is not None

    @cached_property
    def _listed(self) -> tuple[tuple[str, ...], Mapping[str, int]]:
        skipped: Counter[str] = Counter()
        return tuple(sorted(self._walk(self.root, "", skipped, ()))), skipped

    def _walk(self, folder: Path, prefix: str, skipped: Counter[str], above: tuple[Path, ...]) -> Iterator[str]:
        with os.scandir(folder) as entries:
            for entry in entries:
                path = prefix + entry.name
                if entry.name.startswith(".") or entry.name == "__MACOSX":
                    continue
                inside = above
                if entry.is_symlink() and (self._leads_to_folder(entry, path) or is_image(path)):
                    inside = self._checked_link(entry, path, above)
                if entry.is_dir():
                    yield from self._walk(Path(entry.path), path + "/", skipped, inside)
                elif not is_image(path):
                    skipped.update([suffix] if (suffix := counted_suffix(path)) else [])
                elif entry.is_file():
                    yield checked_path(path, self.where)

    def _leads_to_folder(self, entry: os.DirEntry[str], path: str) -> bool:
        try:
            return entry.is_dir()
        except OSError as error:  # a link to itself, or into a folder that may not be entered
            raise DataError(
                f"{self.where}/{path} is a link that leads nowhere ({error.strerror}); remove it or link the file itself"
            ) from None

    def _checked_link(self, entry: os.DirEntry[str], path: str, above: tuple[Path, ...]) -> tuple[Path, ...]:
        """The folders that links led into above this one and by it. DataError for a link that may not be followed."""
        target = Path(entry.path).resolve()
        if not target.exists():
            raise DataError(
                f"{self.where}/{path} is a link to {target}, which is not there; put it back or remove the link"
            )
        outside = not target.is_relative_to(self.root)
        if outside and not self.follow_links:
            raise DataError(
                f"{self.where}/{path} is a link that leaves the folder, to {target}; give --follow-links to follow such links, "
                f"put the file itself there, or link the whole folder"
            )
        if not entry.is_dir():
            return above
        if not outside or target in above:
            raise DataError(
                f"{self.where}/{path} is a link to a folder beside it, which would count images twice; remove it"
            )
        return (*above, target)

    def read(self, path: str) -> bytes:
        """The bytes of one file; KeyError where there is none."""
        try:
            return read_bytes(self.root / checked_path(path, self.where), MAX_FILE)
        except (FileNotFoundError, NotADirectoryError):
            raise KeyError(path) from None

    def stat(self, path: str) -> FileStat:
        """Size, time and identity of one file, asked anew."""
        return FileStat.of(os.stat(f"{self.root}/{path}"))  # noqa: PTH116  pathlib is nine tenths of 50,000 of them


class FolderSource(TreeSource):
    """Every image under a folder, as an ImageSource."""

    def __init__(self, root: Path) -> None:
        tree = FolderTree(Path(root))
        super().__init__(tree, tree.paths)
