"""Whole or not at all: every file effrob keeps is written to a temporary name, synced and renamed.

A killed process leaves only temporary files, which carry their writer's host and process id: `sweep` removes those of
dead writers and never those of a live one.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

_MARK = ".effrob-tmp"
_HOST = "".join(c if c.isalnum() else "-" for c in socket.gethostname())
_FOREIGN_AGE = 24 * 3600.0  # seconds after which another host's temporary file counts as abandoned


def temporary(path: Path) -> Path:
    """A sibling of `path` that no other writer uses and `sweep` recognises."""
    return path.with_name(f".{path.name}.{_HOST}.{os.getpid()}.{uuid.uuid4().hex[:8]}{_MARK}")


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A binary file that appears at `path` complete, or not at all. An existing file is replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = temporary(path)
    try:
        with draft.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        _sync_folder(path.parent)
    finally:
        draft.unlink(missing_ok=True)


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A folder that appears at `path` complete, or not at all; where another writer was first, theirs stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = temporary(path)
    draft.mkdir()
    try:
        yield draft
        for file in draft.rglob("*"):
            if file.is_file():
                with file.open("rb") as handle:
                    os.fsync(handle.fileno())
        try:
            draft.rename(path)
        except OSError:
            if not path.is_dir():
                raise
        else:
            _sync_folder(path.parent)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def strict_json(value: Any) -> str:
    """Strict JSON, keys sorted, two spaces, trailing newline. Raises ValueError on NaN and infinities."""
    return json.dumps(value, allow_nan=False, sort_keys=True, indent=2, ensure_ascii=False) + "\n"


def write_json(path: Path, value: Any) -> None:
    """`strict_json` of `value`, whole or not at all."""
    with whole_file(path) as file:
        file.write(strict_json(value).encode())


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def sweep(root: Path) -> int:
    """Remove what dead writers left below `root`; returns how many files or folders went."""
    removed = 0
    for path in list(root.rglob(f".*{_MARK}")) if root.is_dir() else []:
        host, pid = path.name.removesuffix(_MARK).rsplit(".", 3)[-3:-1]
        try:
            age = time.time() - path.stat().st_mtime
        except OSError:
            continue
        dead = not _alive(int(pid)) if host == _HOST else age > _FOREIGN_AGE
        if dead:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
            removed += 1
    return removed
