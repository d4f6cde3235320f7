"""Downloads that resume; a file is installed only where its size and checksum are the official ones.

A file grows beside its place as `.NAME.part` and is renamed once it is whole, checked and on the disk. One process at a time
fetches a file.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

from shifts.bounds.files import read_json
from shifts.bounds.replies import extent, packing, strong
from shifts.errors import DataError, FetchFailed

BLOCK = 1 << 14  # bytes read at once: what a cut connection loses of what had come
TRIES = 5  # attempts in a row that bring nothing new before it is given up
PATIENCE = 60.0  # seconds without a byte, or with fewer than SLOWEST a second, after which a connection counts as dead
SLOWEST = 1024  # bytes a second
UNSAID = 64 << 30  # bytes that are taken where neither the caller nor the server says how many come
MARGIN = 64 << 20  # bytes that stay free on the disk
Progress = Callable[[int, int | None], None]


@dataclass(frozen=True)
class RemoteFile:
    """A file by its address (http, https, or a path on this machine), and what is known of its content beforehand."""

    url: str
    size: int | None = None
    sha256: str | None = None
    md5: str | None = None


def download(
    wanted: RemoteFile,
    target: Path,
    progress: Progress | None = None,
    keep: bool = False,
    patience: float = PATIENCE,
    pause: float = 1.0,
) -> Path:
    """Put the wanted file at `target`, going on with what an earlier try left; a file already there is checked.

    progress  called with bytes had and bytes in all; keep: a file already there stands where the server does not answer,
    and is fetched anew where the server says it has changed; pause: seconds before the second try, doubled each time
    Raises DataError where the content is not what was wanted or the disk lacks room, FetchFailed where the server fails.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(target.with_name(f".{target.name}.lock"), timeout=0):
            return _Fetch(wanted, target, progress, patience, pause).run(keep)
    except Timeout:
        raise FetchFailed(f"another process is fetching {target}; wait for it, then run this again") from None


def check_file(path: Path, wanted: RemoteFile) -> str | None:
    """Why a file is not the wanted one, or None where it is, as far as size and checksum are known."""
    size = path.stat().st_size
    if wanted.size is not None and size != wanted.size:
        return f"it holds {size:,} bytes and {wanted.size:,} were wanted"
    for kind, right in (("sha256", wanted.sha256), ("md5", wanted.md5)):
        if right is not None:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, kind).hexdigest()
            return None if digest == right else f"its {kind} is {digest} and {right} was wanted"
    return None


class _Fetch:
    """One download under way."""

    def __init__(
        self, wanted: RemoteFile, target: Path, progress: Progress | None, patience: float, pause: float
    ) -> None:
        self.wanted, self.target, self.progress = wanted, target, progress
        self.patience, self.pause = patience, pause
        self.part = target.with_name(f".{target.name}.part")
        self.about = target.with_name(f".{target.name}.part.json")
        self.total = wanted.size

    def run(self, keep: bool) -> Path:
        if self.target.exists():
            if not keep:
                problem = check_file(self.target, self.wanted)
                if problem is not None:
                    raise DataError(f"{self.target} is there and is not the official file: {problem}; move it away")
                return self.target
            if not self._changed():
                return self.target
        if urlsplit(self.wanted.url).scheme in ("http", "https"):
            self._over_http()
        else:
            self._from_disk(Path(self.wanted.url.removeprefix("file://")))
        self._install()
        return self.target

    def _install(self) -> None:
        problem = check_file(self.part, self.wanted)
        if problem is not None:
            self.part.unlink()
            self.about.unlink(missing_ok=True)
            raise DataError(
                f"{self.wanted.url} gave another file than {self.target.name}: {problem}; what came was thrown away"
            )
        with self.part.open("rb") as file:
            os.fsync(file.fileno())
        validator = self._validator()
        self.part.replace(self.target)
        self.about.unlink(missing_ok=True)
        if validator is not None:
            self.target.with_name(f".{self.target.name}.from.json").write_text(json.dumps(validator), encoding="utf-8")

    def _from_disk(self, source: Path) -> None:
        if not source.is_file():
            raise DataError(f"there is no file {source}; name a --mirror that holds {self.target.name}")
        self._room(source.stat().st_size)
        shutil.copyfile(source, self.part)

    def _over_http(self) -> None:
        fruitless, wait, most = 0, self.pause, self._had()
        while True:
            why = self._attempt()
            if why is None:
                return
            if self._had() > most:  # than ever: one that makes us start anew again and again gets nowhere
                fruitless, wait, most = 0, self.pause, self._had()
            else:
                fruitless += 1
            if fruitless >= TRIES:
                raise FetchFailed(
                    f"{self.wanted.url} {why}, {TRIES} times in a row; {self._had():,} bytes are kept, run this again to go on"
                )
            time.sleep(wait)
            wait = min(2 * wait, 60.0)

    def _attempt(self) -> str | None:
        """Ask for what is missing. None when all is there; else what went wrong, and trying again may help."""
        import requests

        had = self._resumable()
        headers = {"Accept-Encoding": "identity"}
        if had:
            headers["Range"] = f"bytes={had}-"
            validator = self._validator()
            if validator is not None and (kept := validator.get("etag") or validator.get("modified")):
                headers["If-Range"] = kept
        try:
            with requests.get(
                self.wanted.url, headers=headers, stream=True, timeout=(self.patience, self.patience)
            ) as reply:
                return self._receive(reply, had)
        except requests.RequestException as error:
            return f"broke off ({type(error).__name__})"
        except FetchFailed:
            raise
        except OSError as error:  # the disk: it does not say where
            raise OSError(error.errno, error.strerror, str(self.part)) from error

    def _receive(self, reply: Any, had: int) -> str | None:
        if reply.status_code == 416:  # what is there is not a beginning of what the server has
            self._start_anew()
            return "does not have the bytes that are missing"
        if reply.status_code >= 500 or reply.status_code in (408, 429):
            return f"answers {reply.status_code} {reply.reason}"
        if reply.status_code not in (200, 206):
            raise FetchFailed(f"{self.wanted.url} answers {reply.status_code} {reply.reason}; try another --mirror")
        if (
            packed := packing(reply)
        ) is not None:  # requests would unpack it, and no length or range would be the file's
            raise FetchFailed(
                f"{self.wanted.url} sends the file packed as {packed!r}, which was not asked for; try another --mirror"
            )
        start, total = extent(reply)
        if reply.status_code == 200 or start != had:
            if reply.status_code == 206:
                self._start_anew()
                return "sends another part of the file than the one asked for"
            had = 0
        if self.wanted.size is not None and total is not None and total != self.wanted.size:
            raise DataError(
                f"{self.wanted.url} offers {total:,} bytes and {self.target.name} has {self.wanted.size:,}: it is another file"
            )
        self.total = total if self.wanted.size is None else self.wanted.size
        self._room((self.total or 0) - had)
        self._note(reply)
        begun = had
        with self.part.open("r+b" if had else "wb") as file:
            file.seek(had)
            file.truncate()
            since = time.monotonic()
            for block in reply.iter_content(BLOCK):
                file.write(block)
                had += len(block)
                if self.total is None:
                    self._room(0)  # it may go on for ever
                    if had > UNSAID:
                        raise FetchFailed(
                            f"{self.wanted.url} names no length and sent more than {UNSAID:,} bytes; fetch it another way"
                        )
                elif had > self.total:
                    file.truncate(self.total)
                    break
                if self.progress is not None:
                    self.progress(had, self.total)
                if time.monotonic() - since > self.patience:
                    if had - begun < SLOWEST * self.patience:
                        return "sends next to nothing"
                    begun, since = had, time.monotonic()
        if self.total is None:
            return None  # the server named no length, and closed the connection in order
        return None if had >= self.total else f"broke off after {had:,} of {self.total:,} bytes"

    def _had(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _resumable(self) -> int:
        """Bytes to go on from: none where neither a checksum nor the server could tell two versions of the file apart."""
        validator = self._validator()
        told = (
            validator is not None
            and validator["url"] == self.wanted.url
            and (validator["etag"] or validator["modified"])
        )
        had = self._had()
        if had and (self.wanted.sha256 or self.wanted.md5 or told) and (self.total is None or had < self.total):
            return had
        if had:
            self._start_anew()
        return 0

    def _start_anew(self) -> None:
        self.part.unlink(missing_ok=True)
        self.about.unlink(missing_ok=True)

    def _note(self, reply: Any) -> None:
        """Keep what tells this version of the file from another, for the next try."""
        kept = {
            "url": self.wanted.url,
            "etag": strong(reply.headers.get("ETag")),
            "modified": reply.headers.get("Last-Modified"),
            "size": self.total,
        }
        self.about.write_text(json.dumps(kept), encoding="utf-8")

    def _validator(self) -> dict[str, Any] | None:
        return _kept(self.about)

    def _changed(self) -> bool:
        """True where the server says that what it has is not what was fetched; False too where it does not answer."""
        import requests

        known = _kept(self.target.with_name(f".{self.target.name}.from.json"))
        try:
            with requests.head(
                self.wanted.url, timeout=self.patience, allow_redirects=True, headers={"Accept-Encoding": "identity"}
            ) as reply:
                if known is None or reply.status_code != 200:
                    return False
                length = reply.headers.get("Content-Length")
                now = (strong(reply.headers.get("ETag")), reply.headers.get("Last-Modified"), length)
        except requests.RequestException:
            return False
        size = None if known["size"] is None or length is None else str(known["size"])
        return now != (known["etag"], known["modified"], size if length is not None else None)

    def _room(self, missing: int) -> None:
        free = shutil.disk_usage(self.part.parent).free
        if missing + MARGIN > free:
            raise DataError(
                f"{self.target.name} needs {missing / 1e9:,.2f} GB and {self.part.parent} has {free / 1e9:,.2f} GB free; "
                f"free some, or name another --data folder"
            )


def _kept(path: Path) -> dict[str, Any] | None:
    """What was noted of a download; None where nothing was, or what is there was not written by us."""
    try:
        noted = read_json(path)
        return {name: noted[name] for name in ("url", "etag", "modified", "size")}
    except (OSError, ValueError, KeyError, TypeError):
        return None
