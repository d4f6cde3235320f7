"""What can go wrong with test data. The CLI turns both into one sentence and exit status 2.

DataError (ValueError)      a set is there but is not what it should be
DataMissing (LookupError)   a set, or a name, is not there
"""

from __future__ import annotations


class DataError(ValueError):
    """A data set was found and is not as it should be; says what was wanted, what was found and what mends it."""


class DataMissing(LookupError):
    """A data set or a name was not found; says where it was looked for and what gets it."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""
