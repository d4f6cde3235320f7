"""Where every run stands: the logit residual on each shift and on the mean of the four, against a line made wide enough.

The line is the shipped `pocket` baseline's classifiers and the grid's members, which are the same networks trained on
fewer pictures and reach further down. Reads effrob's rows and counts; trains nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from effrob.results.store import read
from effrob.robustness.baselines.baseline import Baseline
from effrob.robustness.baselines.built import from_records
from effrob.robustness.baselines.catalogue import baseline as find_baseline
from effrob.robustness.fit import RobustnessFit, fit
from model_zoo.sources.from_pocket import cards
from recipes.five_causes.evaluation import REFERENCE, SETS, Measured
from recipes.five_causes.grid import Grid, Read

Floats = NDArray[np.float64]
SHIFTS = SETS[1:]
MEAN = "mean-of-four"


@dataclass(frozen=True)
class ArmResult:
    """One run under one head on one shift: clean (class-matched) and shift accuracy, and its logit residual above the line.

    extrapolated  whether its clean accuracy lies outside the line's range
    """

    clean: float
    accuracy: float
    logit: float
    extrapolated: bool


@dataclass(frozen=True, eq=False)
class Board:
    """Results by read-out, seed and shift, the lines they are measured from, and the reference model's mean residual.

    reference_cells  shift -> the reference model's result
    """

    lines: Mapping[str, RobustnessFit]
    cells: Mapping[tuple[Read, int, str], ArmResult]
    seeds: int
    reference: float
    reference_cells: Mapping[str, ArmResult] = field(default_factory=dict)

    def of(self, read: Read, seed: int, shift: str) -> ArmResult:
        """One cell; the mean of the four has the means of its parts."""
        if shift != MEAN:
            return self.cells[read, seed, shift]
        parts = [self.cells[read, seed, each] for each in SHIFTS]
        return ArmResult(
            clean=float(np.mean([part.clean for part in parts])),
            accuracy=float(np.mean([part.accuracy for part in parts])),
            logit=float(np.mean([part.logit for part in parts])),
            extrapolated=any(part.extrapolated for part in parts),
        )

    def values(self, read: Read, shift: str) -> Floats:
        """(seeds,) logit residuals."""
        return np.array([self.of(read, seed, shift).logit for seed in range(self.seeds)])

    def lifted(self, read: Read, shift: str) -> float:
        """Mean clean accuracy in logits: where on the line the arm stands."""
        scale = self.lines[shift].scale
        return float(np.mean([scale.to(self.of(read, seed, shift).clean) for seed in range(self.seeds)]))

    def reads(self) -> list[Read]:
        """Every read-out, in the grid's order."""
        return list(dict.fromkeys(read for read, _, _ in self.cells))


def wide_baseline(grid: Grid, measured: Iterable[Measured]) -> Baseline:
    """`pocket` and the grid's members, each in its network's family."""
    shipped = find_baseline("pocket")
    names = {member.name: str(cards()[member.network]["family"]) for member in grid.members}
    records = [read(Path(m.row.record)) for m in measured if m.name in names and m.row.record is not None]
    own = from_records("members", records, names, answers=False)
    note = "the shipped pocket classifiers, and the same networks trained on fewer pictures"
    return Baseline("pocket-wide", (*shipped.members, *own.members), shipped.protocol, shipped.harness, note)


def board(grid: Grid, measured: Sequence[Measured], baseline: Baseline | str) -> Board:
    """Every run of the grid against a baseline's lines. ValueError where a residual is not finite."""
    lines = {shift: fit(shift, baseline) for shift in SHIFTS}
    runs = {run.name: run for run in grid.runs()}
    order = {arm.name: place for place, arm in enumerate(grid.arms)}
    cells: dict[tuple[Read, int, str], ArmResult] = {}
    reference: dict[str, ArmResult] = {}
    for m in measured:
        if m.row.shift not in lines or not (m.name in runs or m.name == REFERENCE):
            continue
        clean, accuracy, line = m.row.clean_accuracy, m.row.accuracy, lines[m.row.shift]
        assert clean is not None
        residual = line.residual(clean, accuracy)
        if not np.isfinite(residual):
            raise ValueError(f"{m.name} has an accuracy of {accuracy} on {m.row.shift}: it has no logit")
        result = ArmResult(clean, accuracy, residual, line.extrapolated(clean))
        if m.name == REFERENCE:
            reference[m.row.shift] = result
            continue
        read = Read(runs[m.name].arm.name, m.head, m.prompts)
        cells[read, runs[m.name].seed, m.row.shift] = result
    ordered = dict(sorted(cells.items(), key=lambda cell: order[cell[0][0].arm]))
    return Board(lines, ordered, grid.seeds, float(np.mean([reference[shift].logit for shift in SHIFTS])), reference)
