"""Small files of a user's settings, changed by several commands at once: under a lock, whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path


def change_file(file: Path, content: Callable[[], str]) -> Path:
    """Write what `content` gives, which reads the file as it is now and may raise; returns the file.

    Nobody else changes it meanwhile. What a killed writer left beside it is removed.
    """
    from filelock import FileLock

    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(file.with_name(f".{file.name}.lock")):
        for left in file.parent.glob(f".{file.name}.*.draft"):  # whoever holds the lock is the only writer
            with contextlib.suppress(OSError):
                left.unlink()
        text = content()
        handle, draft = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.", suffix=".draft")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as opened:
                opened.write(text)
                opened.flush()
                os.fsync(opened.fileno())
            Path(draft).replace(file)
        except BaseException as error:
            Path(draft).unlink(missing_ok=True)
            if isinstance(error, OSError) and error.filename is None:
                raise OSError(error.errno, error.strerror, str(file)) from error
            raise
    return file
