"""The rows `effrob eval` prints: a record's counts and its effective robustness against a line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from effrob.results.accuracy import Accuracy
from effrob.results.model_result import of_records
from effrob.results.record import Counts
from effrob.results.store import Stored
from effrob.robustness.effective import Effective
from effrob.robustness.lines import LineOptions, Lines, judge
from effrob.robustness.significance import adjust
from shifts import suite_of

ROBUSTNESS = (
    "effective_robustness",
    "effective_robustness_logit",
    "effective_robustness_ci95",
    "effective_robustness_pi95",
    "verdict",
    "extrapolated",
    "baseline",
    "axis",
    "scale",
)


@dataclass(frozen=True)
class Row:
    """One model, one shift, one head, one prompt set. Fractions throughout; None where a number does not exist.

    clean_accuracy       on the class-matched clean view;  clean_accuracy_full on the whole clean set
    origin, source       `measured`, `imported` or `given`; with the table's name where it has one (`given:NAME`)
    sentence             the result as one would write it, for given accuracies
    disputed             what other evidence says against a given accuracy that repeats a published one, a sentence each
    record               the folder of its record; None where there is none
    robustness           the robustness fields, all None where there is no clean accuracy or no line; `why_not` says why;
                         with them p_value, p_adjusted (Holm over the rows of one command), and equivalence
    """

    model: str
    weights: str | None
    shift: str
    head: str
    prompts: str | None
    protocol: str
    n: int
    n_expected: int
    partial: bool
    n_correct: float
    accuracy: float
    accuracy_ci95: tuple[float, float]
    accuracy_top5: float | None
    accuracy_1000way: float | None
    clean_accuracy: float | None
    clean_accuracy_full: float | None
    robustness: dict[str, Any]
    why_not: str | None
    pixels: dict[str, Any]
    precision: str
    record: str | None
    origin: str = "measured"
    source: str = "measured"
    sentence: str | None = None
    disputed: tuple[str, ...] = ()

    def __getattr__(self, name: str) -> Any:
        if name in ROBUSTNESS:
            return self.robustness[name]
        raise AttributeError(f"a row has no field {name!r}")

    def as_json(self) -> dict[str, Any]:
        """The interface's object: robustness fields stand beside the others."""
        flat = asdict(self)
        return {
            **flat,
            **flat.pop("robustness"),
            "accuracy_ci95": list(self.accuracy_ci95),
            "disputed": list(self.disputed),
        }


def _accuracy(counts: Counts | None) -> Accuracy | None:
    return None if counts is None or counts.n == 0 else Accuracy(counts.n_correct, counts.n)


def robustness_of(stored: Stored, lines: Lines) -> tuple[Effective | None, str | None]:
    """Where a record's model is, against the line of its shift; or None and a sentence why there is no such place."""
    record = stored.record
    if record.asked.clean_source is None and record.clean is None:
        return None, f"{record.asked.shift} is a clean set, or its clean set was not at hand"
    result = of_records([stored])
    if result.point(record.asked.shift, lines.options.axis) is None:
        return None, "no image of the clean set shows one of the shift's classes"
    line = lines.at(record.asked.shift)
    return (None, line) if isinstance(line, str) else (judge(line, result), None)


def rows_of(stored: Sequence[Stored], options: LineOptions) -> list[Row]:
    """The rows of one command, in order; p-values are adjusted (Holm) for all of them but diagnostic shifts.

    A `measured` baseline is made of the results folder the first record lies in.
    """
    lines = Lines(options, stored[0].folder.absolute().parents[2] if stored else None)
    rows = [_row(one, lines) for one in stored]
    asked = [None if row.shift in suite_of(row.shift).diagnostic else row.robustness["p_value"] for row in rows]
    adjusted = adjust(asked, "holm")
    return [replace(row, robustness={**row.robustness, "p_adjusted": p}) for row, p in zip(rows, adjusted)]


def row_of(stored: Stored, options: LineOptions) -> Row:
    """The row of one record, judged by a line."""
    return rows_of([stored], options)[0]


def _row(stored: Stored, lines: Lines) -> Row:
    record, asked, options = stored.record, stored.record.asked, lines.options
    effective, why_not = robustness_of(stored, lines)
    robustness: dict[str, Any] = dict.fromkeys((*ROBUSTNESS, "p_value", "p_adjusted", "equivalence"))
    robustness |= {"baseline": options.baseline_for(asked.shift), "axis": options.axis, "scale": options.scale}
    if effective is not None:
        robustness |= effective.as_json() | effective.equivalence().as_json() | {"p_value": effective.p_value}
    if record.resolved.get("nondeterminism"):
        robustness["flags"] = [*(robustness.get("flags") or ()), "nondeterministic"]
    counts = record.counts
    accuracy = Accuracy(counts.n_correct, counts.n)
    thousand = counts.n_correct_1000way
    clean, clean_full = _accuracy(record.clean), _accuracy(record.clean_full)
    return Row(
        model=asked.model,
        weights=record.weights,
        shift=asked.shift,
        head=asked.head,
        prompts=asked.prompts,
        protocol=asked.protocol,
        n=counts.n,
        n_expected=record.n_expected,
        partial=record.partial,
        n_correct=counts.n_correct,
        accuracy=accuracy.value,
        accuracy_ci95=accuracy.clopper_pearson(),
        accuracy_top5=None if counts.n_correct_top5 is None else counts.n_correct_top5 / counts.n,
        accuracy_1000way=None if thousand is None else thousand / counts.n,
        clean_accuracy=None if clean is None else clean.value,
        clean_accuracy_full=None if clean_full is None else clean_full.value,
        robustness=robustness,
        why_not=why_not,
        pixels={**asked.pixels, "path": asked.pixel_path},
        precision=asked.precision,
        record=str(stored.folder),
        origin=record.origin,
        source=record.origin,
    )
