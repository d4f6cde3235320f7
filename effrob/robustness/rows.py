"""A record beside a line: the row `effrob eval` prints. Numpy side: reads counts and kept answers, loads no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from effrob.errors import UsageProblem
from effrob.results.accuracy import Accuracy
from effrob.results.record import Counts
from effrob.results.store import Stored
from effrob.robustness.baseline import baseline, default_baseline
from effrob.robustness.correction import adjust
from effrob.robustness.effective import Effective
from effrob.robustness.equivalence import equivalence
from effrob.robustness.fit import RobustnessFit, fit
from effrob.robustness.judging import judge

FOUR = {
    "imagenet": ("imagenet-v2", "imagenet-r", "imagenet-sketch", "objectnet"),
    "pocket": ("pocket-v2", "pocket-r", "pocket-sketch", "pocket-object"),
}


@dataclass(frozen=True)
class LineOptions:
    """Which line a row is judged by: the three options every command shares. None as baseline: the suite's default."""

    baseline: str | None = None
    axis: str = "clean"
    scale: str = "logit"

    def baseline_for(self, shift: str) -> str:
        """The baseline named, or `pocket` for the pocket sets and `testbed` for all others."""
        return self.baseline or default_baseline(shift)


class Fits:
    """The fits one list of rows stands on, each made once. A `measured` baseline is that of the rows' own results folder."""

    def __init__(self, line: LineOptions) -> None:
        self.line = line
        self._made: dict[tuple[str, Path | None], RobustnessFit | str] = {}

    def at(self, shift: str, record: Path) -> RobustnessFit | str:
        """The fit a shift's rows stand on, or a sentence why there is none. record: the folder of the one judged."""
        name = self.line.baseline_for(shift)
        results = record.absolute().parents[2] if name == "measured" else None
        key = shift, results
        if key not in self._made:
            try:
                self._made[key] = fit(shift, baseline(name, results), self.line.axis, self.line.scale)
            except UsageProblem as problem:
                self._made[key] = str(problem)
        return self._made[key]


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
    n_correct: int
    accuracy: float
    accuracy_ci95: tuple[float, float]
    accuracy_top5: float
    accuracy_1000way: float | None
    clean_accuracy: float | None
    clean_accuracy_full: float | None
    robustness: dict[str, Any]
    why_not: str | None
    pixels: dict[str, Any]
    precision: str
    record: str

    def __getattr__(self, name: str) -> Any:
        if name in ROBUSTNESS:
            return self.robustness[name]
        raise AttributeError(f"a row has no field {name!r}")

    def as_json(self) -> dict[str, Any]:
        """The interface's object: robustness fields stand beside the others."""
        flat = asdict(self)
        return {**flat, **flat.pop("robustness"), "accuracy_ci95": list(self.accuracy_ci95)}


def _accuracy(counts: Counts | None) -> Accuracy | None:
    return None if counts is None or counts.n == 0 else Accuracy(counts.n_correct, counts.n)


def robustness_of(stored: Stored, fits: Fits) -> tuple[Effective | None, str | None]:
    """Where a record stands against a line; or None and a sentence why not.

    A member of the baseline is judged without its own pull on the line, and images shared with a baseline that kept answers
    narrow the intervals.
    """
    record, axis = stored.record, fits.line.axis
    shift, clean = _accuracy(record.counts), _accuracy(record.clean if axis == "clean" else record.clean_full)
    if record.asked.clean_source is None and record.clean is None:
        return None, f"{record.asked.shift} is a clean set, or its clean set was not at hand"
    if shift is None or clean is None:
        return None, "no image of the clean set shows one of the shift's classes"
    against = fits.at(record.asked.shift, stored.folder)
    if isinstance(against, str):
        return None, against
    return judge(against, record.asked.model, clean, shift, stored.folder), None


def rows_of(stored: Sequence[Stored], line: LineOptions) -> list[Row]:
    """The rows of one command, in order, judged by a line; p-values are adjusted (Holm) for all of them."""
    fits = Fits(line)
    rows = [_row(one, fits) for one in stored]
    adjusted = adjust([row.robustness["p_value"] for row in rows], "holm")
    return [replace(row, robustness={**row.robustness, "p_adjusted": p}) for row, p in zip(rows, adjusted)]


def row_of(stored: Stored, line: LineOptions) -> Row:
    """The row of one record, judged by a line."""
    return rows_of([stored], line)[0]


def _row(stored: Stored, fits: Fits) -> Row:
    record, asked, line = stored.record, stored.record.asked, fits.line
    effective, why_not = robustness_of(stored, fits)
    robustness: dict[str, Any] = dict.fromkeys((*ROBUSTNESS, "p_value", "p_adjusted", "equivalence"))
    robustness |= {"baseline": line.baseline_for(asked.shift), "axis": line.axis, "scale": line.scale}
    if effective is not None:
        robustness |= effective.as_json() | equivalence(effective).as_json() | {"p_value": effective.p_value}
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
        accuracy_top5=counts.n_correct_top5 / counts.n,
        accuracy_1000way=None if thousand is None else thousand / counts.n,
        clean_accuracy=None if clean is None else clean.value,
        clean_accuracy_full=None if clean_full is None else clean_full.value,
        robustness=robustness,
        why_not=why_not,
        pixels={**asked.pixels, "path": asked.pixel_path},
        precision=asked.precision,
        record=str(stored.folder),
    )
