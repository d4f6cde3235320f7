"""Proofs that need not be made twice: a record whose bytes were recounted before is known by their SHA-256.

Every file is read and digested each time; what is remembered is that files of this content agree with each other and with the
tables of this version.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from effrob.results.predictions import file_digest
from effrob.results.record import EvalRecord
from effrob.results.recount.proof import prove
from shifts.classes import DATA
from shifts.storage.kept_places import cache_folder

_LINE = re.compile(r"[0-9a-f]{64}")


def recounted(record: EvalRecord, folder: Path, record_json: bytes) -> None:
    """Recount a record, or find that files of just this content were recounted before. Raises EffrobError as `prove` does."""
    digest = _content(record, folder, record_json)
    known = _known(str(_file()))
    if digest is not None and digest in known:
        return
    prove(record, folder)
    if digest is not None:
        known.add(digest)
        _note(digest)


def agree_once(first: str, second: str, agree: Callable[[], bool]) -> bool:
    """Whether two files, by their SHA-256, agree; looked at once, and remembered where they do."""
    digest = hashlib.sha256(f"{_rules()} {first} {second}".encode()).hexdigest()
    known = _known(str(_file()))
    if digest in known:
        return True
    agreed = agree()
    if agreed:
        known.add(digest)
        _note(digest)
    return agreed


def _content(record: EvalRecord, folder: Path, record_json: bytes) -> str | None:
    """SHA-256 of the record and of its files as they are; None where one cannot be read, which `prove` will say."""
    hashed = hashlib.sha256(f"{_rules()}\n".encode() + record_json)
    try:
        for name in sorted(record.files):
            hashed.update(f"\n{name} {file_digest(folder / name)}".encode())
    except (OSError, TypeError, ValueError):
        return None
    return hashed.hexdigest()


@lru_cache(maxsize=1)
def _rules() -> str:
    """SHA-256 of what records are recounted by: this code, and the shipped tables. Another version remembers nothing of it."""
    hashed = hashlib.sha256()
    for path in sorted([*Path(__file__).parent.glob("*.py"), *DATA.iterdir()]):
        if path.is_file():
            hashed.update(f"{path.name} {file_digest(path)}\n".encode())
    return hashed.hexdigest()


def _file() -> Path:
    return cache_folder() / "recounted.txt"


@lru_cache(maxsize=4)
def _known(file: str) -> set[str]:
    """The digests that were noted by this user. A file that another user may write to says nothing."""
    try:
        status = Path(file).stat()
        if status.st_uid != os.getuid() or status.st_mode & 0o022:
            return set()
        return set(_LINE.findall(Path(file).read_text(encoding="ascii")))
    except (OSError, ValueError):
        return set()


def _note(digest: str) -> None:
    """Append a digest; a line is written in one call, so several processes may. Where it cannot be kept, it is made again."""
    file = _file()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            os.write(descriptor, f"{digest}\n".encode())
        finally:
            os.close(descriptor)
    except OSError:
        return
