"""Folders of captions: written atomically, each with a manifest that holds the digests of its files.

A manifest holds no time and, but for the place of images outside the data folder, no path: equal requests give equal bytes.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from shifts.bounds.files import read_json
from shifts.errors import DataError, DataMissing

FORMAT = "effrob-captions/1"
MANIFEST = "manifest.json"
TABLES = ("imagenet", "pocket")
Requirement = tuple[type | tuple[str, ...], str]
_FILES: Mapping[str, Requirement] = {"files": (dict, "an object of digests"), "table": (TABLES, " or ".join(TABLES))}
# What readers of each kind rely on: a type, or the values there are; and how a sentence calls it.
HOLDS: Mapping[str, Mapping[str, Requirement]] = {
    "captions": {
        **_FILES, "set": (tuple(f"{table}-train" for table in TABLES), "a training set"), "ids": (str, "a digest"),
        "per_class": (dict, "an object of counts"), "report": (dict, "an object"),
    },
    "labels": {
        **_FILES, "purpose": (("train", "test"), "train or test"), "pairs": (str, "a digest"),
        "images_in": (dict, "where the images lie"),
    },
}  # fmt: skip


class Pair(NamedTuple):
    """An image's id, the index of its class, and a text: a caption, or the class id where there is none."""

    id: str
    label: int
    text: str


def digest_ids(ids: Iterable[str]) -> str:
    """SHA-256 over ids in order: arms with one digest saw the same images."""
    digest = hashlib.sha256()
    for id in ids:
        digest.update(f"{id}\n".encode())
    return digest.hexdigest()


def digest_pairs(pairs: Iterable[Pair]) -> str:
    """SHA-256 over (id, label, text) in order: the content of an arm, wherever its images lie."""
    digest = hashlib.sha256()
    for id, label, text in pairs:
        digest.update(f"{id}\0{label}\0{text}\n".encode())
    return digest.hexdigest()


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder that appears at `out` when the block ends well. DataError where something is there already."""
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise DataError(f"{out} is there already; give another --out, or remove it first")
    out.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{out.name}-", suffix=".unfinished", dir=out.parent))
    try:
        yield draft
        draft.chmod(0o755)  # mkdtemp makes it private
        if out.is_dir():
            out.rmdir()
        draft.rename(out)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def write_manifest(folder: Path, kind: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Write the manifest of a folder's files, each with its SHA-256; returns it."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    files = {name: _sha256(folder / name) for name in names if not name.startswith("images/")}
    manifest = {"format": FORMAT, "kind": kind, **facts, "files": files}
    text = json.dumps(manifest, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")
    return manifest


def read_manifest(folder: Path, kind: str) -> dict[str, Any]:
    """The manifest of a folder of that kind, its files checked against their digests; DataMissing, or DataError."""
    makes = {"captions": "effrob captions build", "labels": "effrob captions export --format labels` or `… match"}
    file = folder / MANIFEST
    if not file.is_file():
        raise DataMissing(f"{folder} has no {MANIFEST}; `{makes[kind]}` makes such a folder")
    try:
        manifest = read_json(file)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file} is no JSON ({error}); make the folder anew") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise DataError(f"{file} must say format {FORMAT}; make the folder anew with this version")
    if manifest.get("kind") != kind:
        raise DataError(f"{folder} holds {manifest.get('kind')}, and {kind} was wanted; `{makes[kind]}` makes it")
    for key, (wanted, means) in HOLDS[kind].items():
        value = manifest.get(key)
        if not isinstance(value, dict if wanted is dict else str) or (
            isinstance(wanted, tuple) and value not in wanted
        ):
            raise DataError(f"{file} holds {value!r:.60} as {key!r}, and {means} was wanted; make the folder anew")
    for name, sha256 in manifest["files"].items():
        if not (folder / name).is_file() or _sha256(folder / name) != sha256:
            raise DataError(f"{folder / name} is not what {MANIFEST} says; make the folder anew")
    return manifest


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
