"""Atomic writes: every file that effrob stores is written under a temporary name, synced and renamed.

A killed process leaves only temporary files, whose names carry the writer's host, process and start time: `sweep` removes
those of dead writers and never those of a live one.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import shutil
import socket
import stat
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

_MARK = ".effrob-tmp"
_FOREIGN_AGE = 24 * 3600.0  # seconds after which another host's temporary file counts as abandoned


def _process_space() -> str:
    """This host, and its process numbering: two containers may share a disk and a host name, and number apart."""
    try:
        space = str(Path("/proc/self/ns/pid").stat().st_ino)
    except OSError:
        space = "0"
    return re.sub(r"[^A-Za-z0-9]", "-", socket.gethostname()) + "-" + space


_HOST = _process_space()
_DRAFT = re.compile(r"\..*\.(?P<host>[A-Za-z0-9-]+)\.(?P<pid>\d{1,9})-(?P<start>\d+)\.[0-9a-f]{8}" + re.escape(_MARK))


def temporary(path: Path) -> Path:
    """A sibling of `path` that no other writer uses and `sweep` recognises."""
    pid = os.getpid()
    return path.with_name(f".{path.name}.{_HOST}.{pid}-{_started(pid)}.{uuid.uuid4().hex[:8]}{_MARK}")


def _started(pid: int) -> int:
    """When a process started, in the kernel's ticks since boot; 0 where the system does not say."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """An error of the disk names `path`: a write to a full one does not say where it was to go."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def check_writable(folder: Path) -> None:
    """Make the folder, and write to it. Raises OSError naming it where that cannot be done: before hours are spent."""
    with _naming(folder):
        folder.mkdir(parents=True, exist_ok=True)
        probe = temporary(folder / "probe")
        try:
            probe.write_bytes(b"effrob")
        finally:
            probe.unlink(missing_ok=True)


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A binary file that appears at `path` complete, or not at all. An existing file is replaced."""
    with _naming(path):
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
    with _naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = temporary(path)
        draft.mkdir()
        try:
            yield draft
            for file in draft.rglob("*"):
                if file.is_file():
                    with file.open("rb") as handle:
                        os.fsync(handle.fileno())
            _sync_folder(draft)
            try:
                draft.rename(path)
            except OSError:
                if not path.is_dir():
                    raise
            else:
                _sync_folder(path.parent)
        finally:
            shutil.rmtree(draft, ignore_errors=True)


@contextlib.contextmanager
def replaced_folder(path: Path) -> Iterator[Path]:
    """A folder that takes the place of the one at `path` in one step, once the block has filled it.

    A reader sees the old one or the new one, whole, whenever this process is killed; what is left then is removed next time.
    """
    with _naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent, f".{path.name}.*{_MARK}")
        draft = temporary(path)
        draft.mkdir()
        try:
            yield draft
            for folder, _, _ in os.walk(draft):
                _sync_folder(Path(folder))
            if not path.exists():
                draft.rename(path)
            elif not _exchange(draft, path):
                old = temporary(path)
                path.rename(old)
                draft.rename(path)
                shutil.rmtree(old, ignore_errors=True)
            _sync_folder(path.parent)
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def _exchange(first: Path, second: Path) -> bool:
    """Give two folders each other's name in one step; False where the system cannot."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    return bool(rename(-100, os.fsencode(first), -100, os.fsencode(second), 2) == 0)  # AT_FDCWD, RENAME_EXCHANGE


def own_scratch(name: str) -> Path:
    """A folder of this user alone in the system's temporary folder, kept between calls.

    What lies there under the name and is a link, another user's, or open to others is left alone, and a new folder is made.
    """
    folder = Path(tempfile.gettempdir()) / f"{name}-{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    status = folder.lstat()
    if stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o077:
        return folder
    return Path(tempfile.mkdtemp(prefix=f"{name}-"))


def strict_json(value: Any) -> str:
    """Strict JSON, keys sorted, two spaces, trailing newline. Raises ValueError on NaN and infinities."""
    return json.dumps(value, allow_nan=False, sort_keys=True, indent=2, ensure_ascii=False) + "\n"


def write_json(path: Path, value: Any) -> None:
    """`strict_json` of `value`, whole or not at all."""
    with whole_file(path) as file:
        file.write(strict_json(value).encode())


def _alive(pid: int, start: int) -> bool:
    """True where the process that started then still runs; a number that was given out anew does not count."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return _started(pid) in (start, 0)


def sweep(root: Path, names: str = f"**/.*{_MARK}") -> int:
    """Remove what dead writers left below `root`, of the names of a pattern; returns how many files or folders went."""
    removed = 0
    for path in list(root.glob(names)) if root.is_dir() else []:
        draft = _DRAFT.fullmatch(path.name)
        if draft is None:
            continue  # not ours, whatever its suffix
        try:
            age = time.time() - path.lstat().st_mtime
        except OSError:
            continue
        if draft["host"] == _HOST:
            dead = not _alive(int(draft["pid"]), int(draft["start"]))
        else:
            dead = age > _FOREIGN_AGE
        if dead:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):  # a folder that cannot be written keeps its litter
                    path.unlink()
            removed += not path.exists()
    return removed
