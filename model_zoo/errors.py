"""What can go wrong with a model. The CLI turns both into one sentence and exit status 2.

ModelError (ValueError)       the model, its weights or its spec is not what it should be
UnknownModel (LookupError)    no such scheme, name, tag or file
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class ModelError(ValueError):
    """A model was named and cannot be used as asked; says what was wanted, what was found and what mends it."""


class UnknownModel(LookupError):
    """No model of that name; says what is near and where names are listed."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


def suggest(name: str, known: Iterable[str], limit: int = 3) -> str:
    """`; near: a, b` for an error message, or nothing where no known name resembles `name`."""
    by_fold = {candidate.casefold(): candidate for candidate in known}
    matches = difflib.get_close_matches(name.casefold(), by_fold, n=limit, cutoff=0.5)
    return f"; near: {', '.join(by_fold[match] for match in matches)}" if matches else ""


def listed(names: Sequence[str], limit: int = 8) -> str:
    """Names in a sentence: all of a few, the first of many and how many more there are, `none` for none."""
    more = len(names) - limit
    return (", ".join(names[:limit]) or "none") + (f" and {more} more" if more > 0 else "")
