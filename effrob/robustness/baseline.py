"""Baseline: the models a line is fitted to, each with its counts and its family, under one name and one digest.

Members of a published baseline are a data column of model_zoo, in table order. `built.py` makes and reads the ones of our
own harness, which also keep per-image answers. Knows counts, not lines.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from effrob.errors import UsageProblem, suggest
from effrob.results.accuracy import Accuracy, mean_accuracy
from model_zoo.published import PublishedAccuracy, members, published

if TYPE_CHECKING:
    from effrob.robustness.answers import BaselineAnswers

AXES = ("clean", "full")
MEANS = {"mean-of-four": ("imagenet-v2", "imagenet-r", "imagenet-sketch", "objectnet")}
PUBLISHED = {"testbed": "testbed", "testbed-wide": "testbed", "timm-in1k": "timm"}
SUITE = ("imagenet-v2", "imagenet-r", "imagenet-sketch", "objectnet", "imagenet-a")


@dataclass(frozen=True)
class Member:
    """A baseline model: its family (one architecture or training lineage) and its counts.

    accuracies  shift -> counts;  clean  shift -> counts on the class-matched clean view;  clean_full  the whole clean set
    other_full  shift -> the whole clean set of another suite, for a model that was measured on two
    """

    model: str
    family: str
    accuracies: Mapping[str, Accuracy]
    clean_full: Accuracy | None
    clean: Mapping[str, Accuracy]
    other_full: Mapping[str, Accuracy] = field(default_factory=dict)

    def full(self, shift: str) -> Accuracy | None:
        """Counts on the whole clean set that goes with a shift."""
        return self.other_full.get(shift, self.clean_full)

    def point(self, shift: str, axis: str) -> tuple[Accuracy, Accuracy] | None:
        """(clean, shift) on the axis, or None where either is missing. A mean of shifts stands on the full axis."""
        if shift in MEANS:
            parts = [self.accuracies.get(part) for part in MEANS[shift]]
            known, full = [part for part in parts if part is not None], self.full(MEANS[shift][0])
            return None if full is None or len(known) < len(parts) else (full, mean_accuracy(known))
        y = self.accuracies.get(shift)
        x = self.full(shift) if axis == "full" else self.clean.get(shift)
        return None if x is None or y is None else (x, y)


@dataclass(frozen=True, eq=False)
class Baseline:
    """Named members in their order. `protocol` and `harness` say how they were measured; `note` what to bear in mind.

    answers  per-image right and wrong, predicted classes, where our own harness built it; else None
    """

    name: str
    members: tuple[Member, ...]
    protocol: str
    harness: str
    note: str | None = None
    answers: BaselineAnswers | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        seen: dict[str, Member] = {}
        for member in self.members:
            if member.model in seen:
                raise UsageProblem(f"baseline {self.name} holds {member.model} twice: keep one of the two")
            seen[member.model] = member

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
        found = dict.fromkeys(shift for member in self.members for shift in member.accuracies)
        return tuple([s for s in SUITE if s in found] + [s for s in found if s not in SUITE])

    def require(self, shift: str) -> None:
        """Raises UsageProblem where no member was measured on `shift` (or on a part of a mean)."""
        lacking = [part for part in MEANS.get(shift, (shift,)) if part not in self.shifts]
        if lacking:
            raise UsageProblem(
                f"baseline {self.name} has no accuracies on {', '.join(lacking)}, only on "
                f"{', '.join(self.shifts)}{_near_shift(shift, self.shifts) or ': name one of these or another --baseline'}"
            )

    def without(self, models: Iterable[str]) -> Baseline:
        """The same baseline less some members, under a name that says so."""
        gone = set(models)
        kept = tuple(member for member in self.members if member.model not in gone)
        name = f"{self.name}-without-{len(self.members) - len(kept)}"
        return Baseline(name, kept, self.protocol, self.harness, self.note, self.answers)


def _near_shift(shift: str, known: tuple[str, ...]) -> str:
    close = suggest(shift, [*known, *MEANS])
    return close if shift not in (*SUITE, *MEANS) and close.startswith("; did") else ""


def from_published(name: str, rows: Iterable[PublishedAccuracy], families: Mapping[str, str], note: str) -> Baseline:
    """A baseline of published rows, in their order; a model without a family is its own."""
    chosen = list(rows)
    made = []
    for row in chosen:
        clean = {shift: row.clean(shift) for shift in row.accuracies}
        made.append(
            Member(
                model=row.model,
                family=families.get(row.model, row.model),
                accuracies={s: Accuracy.of(v, row.images[s]) for s, v in row.accuracies.items()},
                clean_full=None if row.clean_full is None else Accuracy.of(row.clean_full, row.images["imagenet"]),
                clean={s: Accuracy.of(*found) for s, found in clean.items() if found is not None},
            )
        )
    protocols = sorted({row.protocol for row in chosen})
    sources = sorted({f"published:{row.source}" for row in chosen})
    return Baseline(name, tuple(made), "+".join(protocols), "+".join(sources), note)


def in_suite(shift: str) -> bool:
    """True for the five shifts of the imagenet suite and those of the pocket suite, not for their variants."""
    return shift in SUITE or shift.startswith("pocket-")


def default_baseline(shift: str) -> str:
    """`pocket` for the pocket suite's shifts, `testbed` for all others."""
    return "pocket" if shift.startswith("pocket") else "testbed"


def baseline(name: str | Baseline, results: Path | None = None) -> Baseline:
    """A baseline by name: a published one, one that was built, or `measured` from the records below `results`.

    Raises UsageProblem for a name that is none of these, with near matches.
    """
    if isinstance(name, Baseline):
        return name
    if name in PUBLISHED:
        return _published(name)
    if name == "measured":
        from effrob.robustness.records import measured

        return measured(results or Path("effrob-results"))
    from effrob.robustness import built

    folder = built.folder_of(name)
    if folder is None:
        raise UsageProblem(f"no baseline is named {name!r}{suggest(name, baseline_names())}")
    return built.load(folder)


def baseline_names() -> list[str]:
    """Every name `baseline` knows here."""
    from effrob.robustness.built import built_names

    return [*PUBLISHED, *built_names(), "measured"]


@functools.cache
def _published(name: str) -> Baseline:
    chosen = members(name)
    rows = {(row.model, row.img_size): row for row in published(PUBLISHED[name])}
    families = {model: family for model, _, family in chosen}
    notes = {
        "testbed": "85 standard ImageNet models; ObjectNet 1.0-beta (18,514 images), where the archive is 1.0 (18,574)",
        "testbed-wide": "the testbed's standard models and its low-accuracy networks (10 % and more)",
        "timm-in1k": "840 timm models trained on ImageNet-1k alone, top-1 at least 0.55; no ObjectNet",
    }
    return from_published(name, [rows[model, size] for model, size, _ in chosen], families, notes[name])
