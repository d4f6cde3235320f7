"""A record beside a line: the row `effrob eval` prints. Numpy side: reads counts, loads no torch."""

from __future__ import annotations

import functools
from dataclasses import asdict, dataclass
from typing import Any

from effrob.errors import UsageProblem
from effrob.results.accuracy import Accuracy
from effrob.results.record import Counts
from effrob.results.store import Stored
from effrob.robustness.effective import Effective, assess
from effrob.robustness.fit import RobustnessFit, fit

FOUR = {
    "imagenet": ("imagenet-v2", "imagenet-r", "imagenet-sketch", "objectnet"),
    "pocket": ("pocket-v2", "pocket-r", "pocket-sketch", "pocket-object"),
}


@dataclass(frozen=True)
class Line:
    """Which line a row is judged by: the three options every command shares. None as baseline: the suite's default."""

    baseline: str | None = None
    axis: str = "clean"
    scale: str = "logit"

    def baseline_for(self, shift: str) -> str:
        """The baseline named, or `pocket` for the pocket sets and `testbed` for all others."""
        return self.baseline or ("pocket" if shift.startswith("pocket") else "testbed")


@functools.lru_cache(maxsize=256)
def line_for(shift: str, line: Line) -> RobustnessFit | str:
    """The fit a shift's rows stand on, or a sentence why there is none."""
    try:
        return fit(shift, baseline=line.baseline_for(shift), axis=line.axis, scale=line.scale)
    except UsageProblem as problem:
        return str(problem)


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
    robustness           the robustness fields, all None where there is no clean accuracy or no line; `why_not` says why
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


def robustness_of(stored: Stored, line: Line) -> tuple[Effective | None, str | None]:
    """Where a record stands against a line; or None and a sentence why not."""
    record = stored.record
    shift, clean = _accuracy(record.counts), _accuracy(record.clean if line.axis == "clean" else record.clean_full)
    if record.asked.clean_source is None and record.clean is None:
        return None, f"{record.asked.shift} is a clean set, or its clean set was not at hand"
    if shift is None or clean is None:
        return None, "no image of the clean set shows one of the shift's classes"
    against = line_for(record.asked.shift, line)
    if isinstance(against, str):
        return None, against
    return assess(against, clean=clean, shift=shift), None


def row_of(stored: Stored, line: Line) -> Row:
    """The row of a record, judged by a line."""
    record, asked = stored.record, stored.record.asked
    effective, why_not = robustness_of(stored, line)
    robustness: dict[str, Any] = dict.fromkeys(ROBUSTNESS)
    robustness |= {"baseline": line.baseline_for(asked.shift), "axis": line.axis, "scale": line.scale}
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
        robustness=robustness if effective is None else robustness | effective.as_json(),
        why_not=why_not,
        pixels={**asked.pixels, "path": asked.pixel_path},
        precision=asked.precision,
        record=str(stored.folder),
    )
