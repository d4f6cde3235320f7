"""BoardRow: a model's row on a leaderboard, measured or published, and the means over the ranked shifts.

A mean exists only where every ranked shift has an effective robustness; diagnostic shifts enter none.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from effrob.leaderboard.scored_shift import Interval, ScoredShift, robustness_of_mean, score
from effrob.results.accuracy import Accuracy
from effrob.results.model_result import ModelResult
from effrob.robustness.effective import Effective
from effrob.robustness.lines import Lines
from model_zoo.disputes import disputes_of
from shifts import Suite, suite, suite_of

REACHES = ("within", "above", "below", "unranked")


class Group(NamedTuple):
    """Rows that can be compared. `reach` says whether the line is known where they stand, or extrapolated."""

    kind: str
    suite: str
    axis: str
    reach: str


@dataclass(frozen=True, eq=False)
class BoardRow:
    """One model under one head, prompt set and protocol, from one source.

    source      `measured`, `imported`, `given:` and the table's name, or `published:` and the table's name
    axis        which clean accuracy its cells stand on: `full` for a row without class-matched accuracies
    of_mean     effective robustness of the mean accuracy, which is not the mean effective robustness
    details     what else is known, for a page and for JSON: weights, training data, provenance, notes
    """

    model: str
    img_size: int | None
    source: str
    head: str
    prompts: str | None
    protocol: str
    suite: str
    axis: str
    clean_full: Accuracy | None
    cells: Mapping[str, ScoredShift]
    of_mean: Effective | None
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ranked(self) -> tuple[str, ...]:
        """The shifts the means are over."""
        return suite(self.suite).ranked

    @property
    def origin(self) -> str:
        """`measured`, `imported`, `given` or `published`."""
        return self.source.partition(":")[0]

    @property
    def measured(self) -> bool:
        return self.origin == "measured"

    @property
    def partial(self) -> bool:
        return any(cell.partial for cell in self.cells.values())

    @property
    def disputed(self) -> tuple[str, ...]:
        """What is disputed of the accuracies that the means, and so the rank, rest on."""
        return tuple(said for shift in self.ranked if shift in self.cells for said in self.cells[shift].disputed)

    @functools.cached_property
    def four(self) -> tuple[ScoredShift, ...] | None:
        """The four cells a mean is over, or None unless each has an effective robustness."""
        cells = [self.cells.get(shift) for shift in self.ranked]
        whole = tuple(cell for cell in cells if cell is not None and cell.effective_robustness is not None)
        return whole if len(whole) == len(cells) else None

    @property
    def mean(self) -> float | None:
        """Mean effective robustness of the four, a fraction."""
        return _mean([cell.effective_robustness for cell in self.four]) if self.four else None

    @functools.cached_property
    def mean_logit(self) -> float | None:
        """Mean of the four logit residuals: what ranks. None where one is at 0 or 1."""
        return _mean([cell.effective_robustness_logit for cell in self.four]) if self.four else None

    @functools.cached_property
    def mean_ci95(self) -> Interval | None:
        """95 % interval of `mean`: the mean of the four intervals, as if their errors moved together (the widest case)."""
        ends = [cell.effective.ci95 for cell in self.four or () if cell.effective is not None]
        known = [pair for pair in ends if pair is not None]
        if not known or len(known) < len(self.ranked):
            return None
        return Interval(sum(low for low, _ in known) / len(known), sum(high for _, high in known) / len(known))

    @functools.cached_property
    def mean_logit_ci95(self) -> Interval | None:
        """95 % interval of `mean_logit`, by the same rule."""
        half = _mean([cell.logit_half_width for cell in self.four]) if self.four else None
        return (
            None
            if half is None or self.mean_logit is None
            else Interval(self.mean_logit - half, self.mean_logit + half)
        )

    @functools.cached_property
    def reach(self) -> str:
        """`within` the baseline's clean accuracies on all four shifts, `below` or `above` on one; `unranked` without a mean."""
        if self.mean_logit is None:
            return "unranked"
        reaches = {cell.reach for cell in self.four or ()}
        return "below" if "below" in reaches else "above" if "above" in reaches else "within"

    @functools.cached_property
    def group(self) -> Group:
        """What a rank counts within."""
        return Group(self.origin, self.suite, self.axis, self.reach)


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def row_of(lines: Lines, result: ModelResult, smaller: int = 0) -> BoardRow:
    """A model's row. smaller: records of the same reading that were left out for a fuller one."""
    of_suite = suite_of_result(result)
    axis, axes = axes_of(result, of_suite, lines.options.axis)
    shifts = sorted(result.accuracies) if result.records else result.accuracies
    return BoardRow(
        model=result.model,
        img_size=result.image_size,
        source=result.source,
        head=result.head,
        prompts=result.prompts,
        protocol=result.protocol,
        suite=of_suite.name,
        axis=axis,
        clean_full=result.clean_full,
        cells={shift: score(lines, result, shift, axes[shift]) for shift in shifts},
        of_mean=robustness_of_mean(lines, of_suite, result),
        details=_details(result, smaller),
    )


def suite_of_result(result: ModelResult) -> Suite:
    """The suite whose sets a result is on."""
    return suite_of(next(iter({**result.records, **result.accuracies}), "imagenet"))


def axes_of(result: ModelResult, of_suite: Suite, asked: str) -> tuple[str, dict[str, str]]:
    """The row's axis, and that of each of its shifts, where `asked` is the axis asked for.

    One axis a row: where a ranked shift, not measured here, lacks its class-matched accuracy, the whole row is on the full
    axis; a diagnostic set that lacks its own stands there alone.
    """
    ranked = [shift for shift in result.accuracies if shift not in of_suite.diagnostic]
    measured = result.origin == "measured"
    axis = asked if measured or all(s in result.clean for s in ranked or result.accuracies) else "full"
    return axis, {s: axis if measured or s in result.clean else "full" for s in result.accuracies}


def _details(result: ModelResult, smaller: int) -> dict[str, Any]:
    row = result.published
    if row is not None:
        said = [*([row.note] if row.note else []), *(each.sentence for each in disputes_of(row))]
        return {"training_data": row.training_data, "note": "; ".join(said) or None, "others": dict(row.others)}
    if not result.records:
        return {"note": f"accuracies given in {result.source.partition(':')[2]}, taken on trust"}
    clean_set = suite_of(next(iter(result.records))).clean
    records = {name: stored.record for name, stored in result.records.items() if name != clean_set}
    records |= {name: stored.record for name, stored in result.records.items() if name == clean_set}
    first = next(iter(records.values()))
    return {
        "weights": first.weights,
        "precision": first.asked.precision,
        "pixels": {**first.asked.pixels, "path": first.asked.pixel_path},
        "partial": any(record.partial for record in records.values()),
        "note": f"{smaller} smaller records are not shown" if smaller else None,
        **({"series": first.resolved["series"]} if "series" in first.resolved else {}),
        "provenance": {
            name: {
                **dataclasses.asdict(record.provenance),
                "key": record.asked.key(),
                "folder": str(result.records[name].folder),
                "files": record.files,
            }
            for name, record in records.items()
        },
    }
