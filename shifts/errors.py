"""Errors about data sets. The command line prints each as one sentence, with an exit status.

DataError (ValueError)      2  a set is there but is not what it should be
DataMissing (LookupError)   2  a set, or a name, is not there
FetchFailed (OSError)       1  a download did not come to a good end; what came is kept where it can be gone on with
"""

from __future__ import annotations


class DataError(ValueError):
    """A data set was found and is not as it should be; says what was wanted, what was found and what mends it."""


class DataMissing(LookupError):
    """A data set or a name was not found; says where it was looked for and what gets it."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class FetchFailed(OSError):
    """A server did not give the file that was wanted; nothing was installed."""

    exit_status = 1
