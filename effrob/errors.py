"""The exceptions of effrob with their exit statuses. `shifts` and `model_zoo` have a few of their own, mapped the same way.

EffrobError
├── UsageProblem        2  asked for something that is not there: a head, a prompt set, an option's value
│   └── NoLine          2  no baseline has a line for a set
├── IncompleteFeatures  1  a feature set does not hold each row exactly once
├── StaleCache          1  a cache folder holds something other than its key says
├── RecordConflict      1  a record folder exists with other content than the one to be written
├── ImageBroken         1  a file of a data set cannot be decoded
└── RunFailed           1  some jobs of a run failed; what was computed is kept
"""

from __future__ import annotations

import difflib
import errno
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any


class EffrobError(Exception):
    """Root of what effrob raises; the message is one sentence a user can act on."""

    exit_status = 1


class UsageProblem(EffrobError, ValueError):
    """Something was asked for that does not exist or does not fit."""

    exit_status = 2


class NoLine(UsageProblem):
    """No baseline, or no line through one, for a set: accuracies can be had, effective robustness cannot."""


class IncompleteFeatures(EffrobError):
    """A feature set lacks rows or holds some twice."""


class StaleCache(EffrobError):
    """A cache folder's content does not match the key it is filed under."""


class RecordConflict(EffrobError):
    """A result is already there under the same key and says something else."""


class ImageBroken(EffrobError):
    """A file of a data set cannot be decoded."""


class RunFailed(EffrobError):
    """Some jobs of a run failed; a rerun does only what is missing. rows: those that were finished, which are kept."""

    def __init__(self, message: str, rows: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.rows = rows


_DISK = {
    errno.ENOSPC: "the disk is full; free some space and run this again: what was computed is kept",
    errno.EDQUOT: "the disk quota is used up; free some space and run this again: what was computed is kept",
    errno.EROFS: "it is on a read-only file system; name another folder",
    errno.EACCES: "it may not be read or written by this user; name another folder, or change its permissions",
    errno.EPERM: "it may not be read or written by this user; name another folder, or change its permissions",
    errno.ENOENT: "it is not there (any more); put it back, and run this again: what was computed is kept",
    errno.EIO: "the disk or the network behind it failed; run this again when it is back: what was computed is kept",
    errno.ESTALE: "the network file system lost it; run this again when it is back: what was computed is kept",
}


def stops_one_thing(error: BaseException) -> str:
    """What a model, a set or a loader of a user's raised, as a sentence with its kind. Raises an interrupt again.

    For `except BaseException`: a network that calls sys.exit() ends itself, and not the run with its other models.
    """
    if isinstance(error, KeyboardInterrupt):
        raise error
    said = describe_error(error)
    foreseen = isinstance(error, EffrobError | OSError) or type(error).__module__.partition(".")[0] in (
        "shifts",
        "model_zoo",
    )
    name = type(error).__name__
    return said if foreseen or said == name else f"{name}: {said}"


def describe_error(error: BaseException) -> str:
    """An error as one sentence: its own message; for a system error, the file and what to do about it."""
    if not isinstance(error, OSError) or error.errno is None:
        return " ".join(str(error).split()) or type(error).__name__
    about = _DISK.get(error.errno, error.strerror or "the system refused it")
    if error.filename is None:
        return about
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        about = about.replace(";", f" ({_mount(str(error.filename))});", 1)
    return f"{error.filename}: {about}"


def _mount(file: str) -> str:
    """Where the disk that a file lies on is mounted, and what is free there."""
    place = Path(file).absolute()
    while not place.is_mount() and place != place.parent:
        place = place.parent
    try:
        free = f", {shutil.disk_usage(place).free / 1e6:,.1f} MB free"
    except OSError:
        free = ""
    return f"mounted at {place}{free}"


def suggest(name: str, known: Iterable[str]) -> str:
    """`; did you mean a, b?` for close matches of `name`, or the whole list where it is short, else an empty string."""
    every = list(known)
    close = difflib.get_close_matches(name, every, n=3, cutoff=0.5)
    if close:
        return f"; did you mean {', '.join(close)}?"
    return f"; known: {', '.join(sorted(every))}" if len(every) <= 20 else ""
