"""WebDataset shards: each sample's picture under the folder of its class, read in place.

A set lies in a folder of tar shards, or in a text file `NAME.wds` that names one shard a line, by path or http(s) address,
braces allowed (`{000..127}.tar`, extra `effrob[wds]`). A remote shard is fetched whole into the cache when it is first asked
for. A sample is `KEY.jpg` (or .png, .webp, ...) and `KEY.cls` or `KEY.json`: a class folder's name, or its number. An image is
called by the file name in its .json where that tells images apart, else by its key.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from shifts.bounds.files import parse_json, read_text
from shifts.classes import ClassFolders, plain_folders
from shifts.errors import DataError, DataMissing
from shifts.evidence.label_names import names_beside
from shifts.evidence.official_names import official_suffix
from shifts.storage.samples import Sample, SampleTree
from shifts.storage.spans import Span, index_folder, indexed, read_span
from shifts.storage.splits import check_samples, split_of
from shifts.storage.tar import members
from shifts.storage.tree import is_image, is_sidecar

SUFFIX = ".wds"
MAX_LABEL = 1 << 16  # bytes of a .cls or .json file that are read
LABEL_KEYS = (
    "label",
    "cls",
    "wnid",
    "synset",
    "class",
    "class_id",
    "class_name",
    "class_index",
    "synset_id",
    "wordnet_id",
    "wordnetid",
    "label_name",
)  # of a .json, the first one binding
NAME_KEYS = ("filename", "file_name", "path")  # of a .json: names that speak of the class as the key does


class ShardTree(SampleTree):
    """The samples of some shards as images by path `CLASS/KEY.EXT`.

    classes  the set's class folders, in the order numbers count; index: where offset indexes are kept
    shards   the files, where they are not all those of the folder
    """

    def __init__(
        self, path: Path, classes: ClassFolders | Sequence[str], index: Path | None = None, shards: Sequence[Path] = ()
    ) -> None:
        if not path.exists():
            raise DataMissing(f"no shards {path}")
        super().__init__(
            path, classes if isinstance(classes, ClassFolders) else plain_folders(path.name, tuple(classes))
        )
        self._path, self._given = path, tuple(shards)
        self._index_folder = index if index is not None else index_folder()

    @cached_property
    def shards(self) -> tuple[Path, ...]:
        """The shards as files on this machine; remote ones are fetched now."""
        if self._given:
            return self._given
        if self._path.is_dir():
            shards = tuple(sorted(path for path in self._path.glob("*.tar") if not is_sidecar(path.name)))
        else:
            shards = tuple(map(self._at_hand, self._shards_of_split(list(self._lines()))))
        if not shards:
            raise DataError(f"{self.where} names no shard; put the set's .tar shards there")
        return shards

    def _lines(self) -> Iterator[str]:
        try:
            text = read_text(self._path)
        except UnicodeDecodeError:
            raise DataError(f"{self.where} should name one shard a line and is no text") from None
        for line in map(str.strip, text.splitlines()):
            if line and not line.startswith("#"):
                yield from _expanded(line)

    def _shards_of_split(self, lines: Sequence[str]) -> Sequence[str]:
        """The shards of the set's split, where their names, or the folders in which they differ, name splits."""
        if not lines:
            return lines
        files = [PurePosixPath(f"/{urlsplit(line).path}") for line in lines]
        above = Path(os.path.commonpath([file.parent for file in files]))
        told = [(line, split_of(file, above)) for line, file in zip(lines, files, strict=True)]
        chosen = check_samples(self.where, told, self.classes)
        return [line for line, split in told if split == chosen]

    def _at_hand(self, shard: str) -> Path:
        if urlsplit(shard).scheme in ("http", "https"):
            from shifts.storage.fetch import RemoteFile, download

            folder = self._index_folder.parent / "shards" / hashlib.sha256(shard.encode()).hexdigest()[:16]
            target = folder / (Path(urlsplit(shard).path).name or "shard.tar")
            fresh = not target.exists()
            download(RemoteFile(shard), target, keep=True)
            if fresh:
                with target.open("rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
                sys.stderr.write(
                    f"{shard} was fetched without a checksum to compare it with: its SHA-256 is {digest}\n"
                )
            return target
        path = self._path.parent / shard
        if not path.is_file():
            raise DataMissing(f"{self.where} names the shard {shard}, and {path} is not there")
        return path

    def _bytes(self, sample: Sample, path: str) -> bytes:
        return read_span(sample.file, sample.place, path)

    def _samples(self) -> Iterator[Sample]:
        samples = [sample for shard in map(Path.resolve, self.shards) for sample in self._of_shard(shard)]
        named = [next(filter(is_image, sample.also), None) for sample in samples]
        files = {(sample.labels, name.rpartition("/")[2]) for sample, name in zip(samples, named, strict=True) if name}
        if len(files) < len(samples):  # names that do not tell the images apart: the keys do
            yield from samples
            return
        for sample, name in zip(samples, named, strict=True):
            yield sample._replace(name=name or sample.name, also=(sample.name, *sample.also))

    def _of_shard(self, shard: Path) -> Iterator[Sample]:
        files = indexed(shard, lambda: members(shard, str(shard)), self._index_folder, "shard")
        files = {name: span for name, span in files.items() if not is_sidecar(name)}
        parted = _parted_late if _has_dotted_keys(files) else _parted
        pictures: dict[str, tuple[str, Span]] = {}
        labels: dict[str, Span] = {}
        sidecars: dict[str, Span] = {}
        for name, span in files.items():
            key, extension = parted(name)
            kind = extension.rpartition(".")[2].lower()
            if kind == "cls" and not key.endswith("/"):
                labels[key] = span
            elif kind == "json":
                sidecars[key] = span
            elif is_image(f"x.{extension}"):
                if key in pictures:
                    raise DataError(f"{shard} holds two pictures of the sample {key!r}; one is wanted")
                pictures[key] = extension, span
        said = {key: self._said(shard, key, labels.get(key), sidecars.get(key)) for key in {*pictures, *labels}}
        for key in sorted(said):
            if not said[key][0] or key not in pictures:
                lacks = ".cls file" if not said[key][0] else "picture"
                raise DataError(f"{shard} holds the sample {key!r} without a {lacks}; write the shard anew")
            extension, span = pictures[key]
            name = f"{key}.{official_suffix(extension, self.classes.name)}"
            yield Sample(name, said[key][0], shard, span, span.size, also=said[key][1])

    def _said(
        self, shard: Path, key: str, label: Span | None, sidecar: Span | None
    ) -> tuple[tuple[int | str, ...], tuple[str, ...]]:
        """What the files beside a picture say of its class: labels, the binding one first, and names of files."""
        also: list[str] = []
        said: list[int | str] = []
        for span in (label,) if label is not None else ():
            said.append(_read(shard, span, key).strip())
        if sidecar is not None and sidecar.size <= MAX_LABEL:
            try:
                content: Any = parse_json(_read(shard, sidecar, key))
            except ValueError:
                content = None
            fields = {str(k).lower(): v for k, v in content.items()} if isinstance(content, dict) else {}
            also = [fields[name] for name in NAME_KEYS if isinstance(fields.get(name), str)]
            values = [fields.get(name) for name in LABEL_KEYS]
            said += [value for value in values if isinstance(value, int | str) and not isinstance(value, bool)]
        return tuple(said), tuple(also)

    def _class_names(self) -> Sequence[str] | None:
        folders = dict.fromkeys(shard.parent for shard in self.shards)
        return names_beside([*folders, *(folder.parent for folder in folders)], self.classes)


def _read(shard: Path, span: Span, key: str) -> str:
    return read_span(shard, span._replace(size=min(span.size, MAX_LABEL)), key).decode("utf-8", "replace")


def _parted(name: str) -> tuple[str, str]:
    """A member's key and extension: parted at the first dot of its last component."""
    folder, slash, file = name.removeprefix("./").rpartition("/")
    stem, _, extension = file.partition(".")
    return folder + slash + stem, extension


def _parted_late(name: str) -> tuple[str, str]:
    """A member's key and extension, parted at the last dot."""
    key, _, extension = name.removeprefix("./").rpartition(".")
    return key, extension


def _has_dotted_keys(names: Iterable[str]) -> bool:
    """Whether pictures and labels belong together by their names up to the last dot, and up to the first they do not."""
    every = list(names)
    pictures = [name for name in every if is_image(name)]
    if len({_parted(name)[0] for name in pictures}) == len(pictures):
        return False
    labels = {_parted_late(name)[0] for name in every if name.lower().endswith((".cls", ".json"))}
    keys = {_parted_late(name)[0] for name in pictures}
    return len(keys) == len(pictures) and keys <= labels


def _expanded(line: str) -> Sequence[str]:
    if "{" not in line:
        return [line]
    try:
        from webdataset.shardlists import expand_urls
    except ImportError:
        raise DataMissing(f"the shards {line} are expanded by webdataset: pip install 'effrob[wds]'") from None
    named: list[str] = expand_urls(line)
    return named
