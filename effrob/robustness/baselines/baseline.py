"""Baseline: the models a line is fitted to, each with its counts and its family, under one name and one digest."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from effrob.errors import NoLine, UsageProblem, suggest
from effrob.results.accuracy import Accuracy
from effrob.results.answers import BaselineAnswers
from effrob.results.model_result import MEANS, ModelResult
from shifts import suite, suite_of


@dataclass(frozen=True, eq=False)
class Baseline:
    """Named members in their order. `protocol` and `harness` say how they were measured; `note` what to bear in mind.

    reference  the model whose effect says what size of effect counts, measured like the members; None: the published one
    answers  per-image right and wrong, predicted classes, where our own harness built it; else None
    """

    name: str
    members: tuple[ModelResult, ...]
    protocol: str
    harness: str
    note: str | None = None
    answers: BaselineAnswers | None = field(default=None, repr=False)
    reference: ModelResult | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for member in self.members:
            if member.model in seen:
                raise UsageProblem(f"baseline {self.name} holds {member.model} twice: keep one of the two")
            seen.add(member.model)

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 over names, families and counts, in order."""

        def plain(counts: Mapping[str, Accuracy]) -> dict[str, list[float]]:
            return {shift: [a.n_correct, a.n] for shift, a in sorted(counts.items())}

        text = json.dumps(
            [
                [
                    m.model,
                    m.family,
                    plain(m.accuracies),
                    plain({"": m.clean_full} if m.clean_full else {}),
                    plain(m.clean),
                    *([plain(m.other_full)] if m.other_full else []),
                ]
                for m in self.members
            ]
        )
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def models(self) -> tuple[str, ...]:
        return tuple(member.model for member in self.members)

    @property
    def families(self) -> tuple[str, ...]:
        """Each family once, in order."""
        return tuple(dict.fromkeys(member.family for member in self.members))

    @functools.cached_property
    def shifts(self) -> tuple[str, ...]:
        """Shifts any member was measured on, the suite's order first."""
        measured = dict.fromkeys(shift for member in self.members for shift in member.accuracies)
        first = [shift for shift in suite("imagenet").shifts if shift in measured]
        return tuple(dict.fromkeys([*first, *measured]))

    def require(self, shift: str) -> None:
        """Raises UsageProblem where no member was measured on `shift` (or on a part of a mean)."""
        lacking = [part for part in MEANS.get(shift, (shift,)) if part not in self.shifts]
        if lacking:
            raise NoLine(
                f"baseline {self.name} has no accuracies on {', '.join(lacking)}, only on "
                f"{', '.join(self.shifts)}{_near_shift(shift, self.shifts) or ': name one of these or another --baseline'}"
            )

    def without(self, models: Iterable[str]) -> Baseline:
        """The same baseline less some members, under a name that says so."""
        gone = set(models)
        kept = tuple(member for member in self.members if member.model not in gone)
        name = f"{self.name}-without-{len(self.members) - len(kept)}"
        return Baseline(name, kept, self.protocol, self.harness, self.note, self.answers, self.reference)


def _near_shift(shift: str, known: tuple[str, ...]) -> str:
    close = suggest(shift, [*known, *MEANS])
    return close if shift not in (*suite("imagenet").shifts, *MEANS) and close.startswith("; did") else ""


def in_suite(shift: str) -> bool:
    """True for the ranked and diagnostic shifts of a suite, not for its variants of them."""
    return shift in suite_of(shift).shifts


def default_baseline(shift: str) -> str:
    """The default baseline of the suite the shift belongs to; the suite's own name where its file names none."""
    suite = suite_of(shift)
    return suite.baseline or suite.name
