"""WebDataset shards as a tree: each sample's picture under the folder of its class, read in place.

A set may lie as `NAME.wds`: a folder of tar shards, or a text file that names one shard a line, by path or http(s) address,
braces allowed (`{000..127}.tar`, extra `effrob[wds]`). A remote shard is fetched whole into the cache when it is first asked
for. A sample is `KEY.jpg` (or .png, .webp, ...) and `KEY.cls`: a class folder's name, or its number in the set's own order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit

from shifts.errors import DataError, DataMissing
from shifts.storage.spans import Span, index_folder, indexed, read_span
from shifts.storage.tar import members
from shifts.storage.tree import FileStat, checked_path, is_image

SUFFIX = ".wds"
MAX_LABEL = 4096  # bytes of a .cls file


class ShardTree:
    """The samples of some shards as images by path `CLASS/KEY.EXT`.

    folders  the set's class folders, in the order numbers count; index: where offset indexes are kept
    """

    def __init__(self, path: Path, folders: Sequence[str], index: Path | None = None) -> None:
        if not path.exists():
            raise DataMissing(f"no shards {path}")
        self.where = str(path)
        self._path, self._folders = path, tuple(folders)
        self._index_folder = index if index is not None else index_folder()

    def __repr__(self) -> str:
        return f"ShardTree({self.where!r})"

    @cached_property
    def shards(self) -> tuple[Path, ...]:
        """The shards as files on this machine; remote ones are fetched now."""
        if self._path.is_dir():
            shards = tuple(sorted(self._path.glob("*.tar")))
        else:
            shards = tuple(self._at_hand(line) for line in self._lines())
        if not shards:
            raise DataError(f"{self.where} names no shard; put the set's .tar shards there")
        return shards

    def _lines(self) -> Iterator[str]:
        try:
            text = self._path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise DataError(f"{self.where} should name one shard a line and is no text") from None
        for line in map(str.strip, text.splitlines()):
            if line and not line.startswith("#"):
                yield from _expanded(line)

    def _at_hand(self, shard: str) -> Path:
        if urlsplit(shard).scheme in ("http", "https"):
            from shifts.storage.fetch import RemoteFile, download

            folder = self._index_folder.parent / "shards" / hashlib.sha256(shard.encode()).hexdigest()[:16]
            return download(RemoteFile(shard), folder / (Path(urlsplit(shard).path).name or "shard.tar"), keep=True)
        path = self._path.parent / shard
        if not path.is_file():
            raise DataMissing(f"{self.where} names the shard {shard}, and {path} is not there")
        return path

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """Relative paths of the images, sorted; indexed once a shard."""
        return tuple(sorted(self._spans))

    def read(self, path: str) -> bytes:
        """The picture of one sample; KeyError where there is none."""
        shard, span = self._spans[path]
        return read_span(shard, span, path)

    def stat(self, path: str) -> FileStat:
        """The picture's size, and its shard's time."""
        shard, span = self._spans[path]
        return FileStat(span.size, shard.stat().st_mtime_ns)

    @cached_property
    def _spans(self) -> dict[str, tuple[Path, Span]]:
        spans: dict[str, tuple[Path, Span]] = {}
        for shard in map(Path.resolve, self.shards):
            files = indexed(shard, lambda shard=shard: members(shard, str(shard)), self._index_folder, "shard")  # type: ignore[misc]
            for path, span in self._samples(shard, files):
                if path in spans:
                    raise DataError(f"{shard} and {spans[path][0]} both hold {path}; fetch the set anew")
                spans[path] = shard, span
        return spans

    def _samples(self, shard: Path, files: dict[str, Span]) -> Iterator[tuple[str, Span]]:
        pictures: dict[str, tuple[str, Span]] = {}
        labels: dict[str, Span] = {}
        for name, span in files.items():
            key, extension = _parted(name)
            if extension == "cls":
                labels[key] = span
            elif is_image(f"x.{extension}"):
                if key in pictures:
                    raise DataError(f"{shard} holds two pictures of the sample {key!r}; one is wanted")
                pictures[key] = extension, span
        for key in sorted(pictures.keys() | labels.keys()):
            if key not in labels or key not in pictures:
                lacks = ".cls file" if key not in labels else "picture"
                raise DataError(f"{shard} holds the sample {key!r} without a {lacks}; write the shard anew")
            extension, span = pictures[key]
            folder = self._class(shard, key, labels[key])
            yield checked_path(f"{folder}/{key.rpartition('/')[2]}.{extension}", str(shard)), span

    def _class(self, shard: Path, key: str, label: Span) -> str:
        said = read_span(shard, label._replace(size=min(label.size, MAX_LABEL)), key).decode("utf-8", "replace").strip()
        if said in self._folders:
            return said
        if said.isascii() and said.isdigit() and int(said) < len(self._folders):
            return self._folders[int(said)]
        raise DataError(
            f"{shard} says the sample {key!r} is of class {said[:40]!r}; "
            f"a number under {len(self._folders)} or a class folder is wanted"
        )


def _parted(name: str) -> tuple[str, str]:
    """A member's key and extension: parted at the first dot of its last component."""
    folder, slash, file = name.rpartition("/")
    stem, _, extension = file.partition(".")
    return folder + slash + stem, extension.lower()


def _expanded(line: str) -> Sequence[str]:
    if "{" not in line:
        return [line]
    try:
        from webdataset.shardlists import expand_urls
    except ImportError:
        raise DataMissing(f"the shards {line} are expanded by webdataset: pip install 'effrob[wds]'") from None
    named: list[str] = expand_urls(line)
    return named
