"""ModelResult: one model's counts as one source gives them, whatever the source is.

The single object between where accuracies come from (records of this harness, imported answers, numbers a user gives,
published tables) and everything that is computed of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from effrob.results.accuracy import Accuracy, mean_accuracy
from effrob.results.record import Counts
from effrob.results.store import Stored
from model_zoo.disputes import disputes_of, disputes_of_given
from model_zoo.published import PublishedAccuracy
from shifts import suite, suite_of

AXES = ("clean", "full")
ORIGINS = ("measured", "imported", "given", "published")
MEANS = {"mean-of-four": suite("imagenet").ranked}


def is_clean_set(name: str) -> bool:
    """Whether a set is the clean set of its suite."""
    return suite_of(name).clean == name


@dataclass(frozen=True)
class ModelResult:
    """Accuracies of one model, read in one way (head, prompts, protocol), from one source.

    source       `measured`, `imported`, `given:NAME` or `published:TABLE`; the part before the colon is the origin
    family       architecture or training lineage: models that stand or fall together
    accuracies   shift -> counts;  clean  shift -> counts on the class-matched view of the clean set
    clean_full   counts on the whole clean set;  other_full  shift -> the same of another suite, for a model measured on two
    records      set -> record with per-image answers, for what this harness holds;  published  the row of a published table
    """

    model: str
    family: str
    accuracies: Mapping[str, Accuracy]
    clean_full: Accuracy | None
    clean: Mapping[str, Accuracy]
    other_full: Mapping[str, Accuracy] = field(default_factory=dict)
    source: str = "measured"
    protocol: str = "effrob"
    head: str = "native"
    prompts: str | None = None
    image_size: int | None = None
    records: Mapping[str, Stored] = field(default_factory=dict, repr=False, compare=False)
    published: PublishedAccuracy | None = field(default=None, repr=False, compare=False)

    @property
    def origin(self) -> str:
        """One of ORIGINS."""
        return self.source.partition(":")[0]

    @property
    def has_answers(self) -> bool:
        """Whether the counts are of records kept here, with an answer an image."""
        return self.origin in ("measured", "imported")

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

    def disputed(self, shift: str) -> tuple[str, ...]:
        """What other evidence says against the accuracy on a shift, a sentence each; of a mean, against any part of it.

        Of published rows, and of given accuracies that repeat one; nothing of what was measured or imported.
        """
        if shift in MEANS:
            return tuple(sentence for part in MEANS[shift] for sentence in self.disputed(part))
        if self.published is not None:
            return tuple(each.sentence for each in disputes_of(self.published) if each.shift == shift)
        if self.origin != "given" or shift not in self.accuracies:
            return ()
        repeated = disputes_of_given(self.model, shift, self.accuracies[shift].value)
        return tuple(each.sentence for each in repeated)

    def folder(self, shift: str) -> Path | None:
        """The folder of a set's record; None where there is none."""
        return self.records[shift].folder if shift in self.records else None


def of_published(row: PublishedAccuracy, family: str | None = None) -> ModelResult:
    """A row of a published table."""
    matched = {shift: row.clean(shift) for shift in row.accuracies}
    return ModelResult(
        model=row.model,
        family=family or row.model,
        accuracies={shift: Accuracy.of(value, row.images[shift]) for shift, value in row.accuracies.items()},
        clean_full=None if row.clean_full is None else Accuracy.of(row.clean_full, row.images["imagenet"]),
        clean={shift: Accuracy.of(*given) for shift, given in matched.items() if given is not None},
        source=f"published:{row.source}",
        protocol=row.protocol,
        head=row.head,
        prompts=row.prompts,
        image_size=row.img_size,
        published=row,
    )


def series_of(stored: Stored) -> str | None:
    """The series that a record's model was evaluated as part of: checkpoints of one run, mixtures of the same models."""
    told = stored.record.resolved.get("series")
    return str(told["name"]) if isinstance(told, dict) and "name" in told else None


def of_records(records: Sequence[Stored], family: str | None = None) -> ModelResult:
    """Records of one model, one a set, all read in one way.

    The whole clean set's counts are those of its own record, else the fullest that a shift's record states.
    """
    asked = records[0].record.asked
    by_set = {stored.record.asked.shift: stored for stored in records}
    shifts = {name: stored.record for name, stored in by_set.items() if not is_clean_set(name)}
    full: dict[str, Accuracy] = {}
    for clean_set in dict.fromkeys(suite_of(name).clean for name in by_set):
        stated = [by_set[clean_set].record.counts] if clean_set in by_set else []
        stated += [r.clean_full for name, r in shifts.items() if suite_of(name).clean == clean_set and r.clean_full]
        known = [counts for counts in stated if counts.n]
        if known:
            full[clean_set] = (known[0] if clean_set in by_set else max(known, key=lambda counts: counts.n)).accuracy
    first = next((name for name in ("imagenet", *full) if name in full), "")
    accuracies = {name: _accuracy(record.counts) for name, record in shifts.items()}
    clean = {name: _accuracy(record.clean) for name, record in shifts.items()}
    return ModelResult(
        model=asked.model,
        family=family or series_of(records[0]) or asked.model,
        accuracies={name: counts for name, counts in accuracies.items() if counts is not None},
        clean_full=full.get(first),
        clean={name: counts for name, counts in clean.items() if counts is not None},
        other_full={s: full[c] for s in shifts if (c := suite_of(s).clean) != first and c in full},
        source=records[0].record.origin,
        protocol=asked.protocol,
        head=asked.head,
        prompts=asked.prompts,
        image_size=_image_size(asked.pixels),
        records=by_set,
    )


def _accuracy(counts: Counts | None) -> Accuracy | None:
    return None if counts is None or counts.n == 0 else counts.accuracy


def _image_size(pixels: Mapping[str, Any]) -> int | None:
    size = pixels.get("size")
    if isinstance(size, list) and size:
        size = size[0]
    return size if isinstance(size, int) else None
