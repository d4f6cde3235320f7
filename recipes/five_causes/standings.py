"""Where every run stands: effective robustness on each shift and on the mean of the four, against a line made wide enough.

The line is the shipped `pocket` baseline's classifiers and the grid's members, which are the same networks trained on
fewer pictures and reach further down. Reads effrob's rows and counts; trains nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from effrob.results.store import read
from effrob.robustness.baseline import Baseline
from effrob.robustness.built import from_records
from effrob.robustness.catalogue import baseline as find_baseline
from effrob.robustness.fit import RobustnessFit, fit
from model_zoo.sources.from_pocket import cards
from recipes.five_causes.evaluation import Measured
from recipes.five_causes.grid import Grid
from shifts import suite

Floats = NDArray[np.float64]
SHIFTS = suite("pocket").ranked
MEAN = "mean-of-four"


@dataclass(frozen=True)
class Standing:
    """One run under one head on one shift: clean (class-matched) and shift accuracy, and its distance from the line.

    logit   the residual on the logit scale;  points  the same in accuracy, a fraction;  extrapolated  outside the line's range
    """

    clean: float
    accuracy: float
    logit: float
    points: float
    extrapolated: bool


@dataclass(frozen=True)
class Read:
    """A way a run is read out: a head, and prompts where it has words."""

    arm: str
    head: str
    prompts: str | None = None

    @property
    def name(self) -> str:
        return f"{self.arm} ({self.head}{'' if self.prompts in (None, 'openai') else ', ' + self.prompts})"


@dataclass(frozen=True, eq=False)
class Board:
    """Standings by read-out, seed and shift, and the lines they are measured from."""

    lines: Mapping[str, RobustnessFit]
    cells: Mapping[tuple[Read, int, str], Standing]
    seeds: int

    def of(self, read: Read, seed: int, shift: str) -> Standing:
        """One cell; the mean of the four has the means of its parts and no accuracy of its own to be extrapolated."""
        if shift != MEAN:
            return self.cells[read, seed, shift]
        parts = [self.cells[read, seed, each] for each in SHIFTS]
        return Standing(
            clean=float(np.mean([part.clean for part in parts])),
            accuracy=float(np.mean([part.accuracy for part in parts])),
            logit=float(np.mean([part.logit for part in parts])),
            points=float(np.mean([part.points for part in parts])),
            extrapolated=any(part.extrapolated for part in parts),
        )

    def values(self, read: Read, shift: str, scale: str) -> Floats:
        """(seeds,) effective robustness, in logits or points."""
        return np.array([getattr(self.of(read, seed, shift), scale) for seed in range(self.seeds)])

    def reads(self) -> list[Read]:
        """Every read-out, in the grid's order."""
        return list(dict.fromkeys(read for read, _, _ in self.cells))


def wide_baseline(grid: Grid, measured: Iterable[Measured]) -> Baseline:
    """`pocket` and the grid's members, each in its network's family."""
    shipped = find_baseline("pocket")
    names = {member.name: str(cards()[member.network]["family"]) for member in grid.members}
    own = from_records("members", [read(Path(m.row.record)) for m in measured if m.name in names], names, answers=False)
    note = "the shipped pocket classifiers, and the same networks trained on fewer pictures"
    return Baseline("pocket-wide", (*shipped.members, *own.members), shipped.protocol, shipped.harness, note)


def board(grid: Grid, measured: Sequence[Measured], baseline: Baseline | str) -> Board:
    """Every run of the grid against a baseline's lines."""
    lines = {shift: fit(shift, baseline) for shift in SHIFTS}
    runs = {run.name: run for run in grid.runs()}
    cells = {}
    for m in measured:
        if m.name not in runs or m.row.shift not in lines:
            continue
        clean, accuracy, line = m.row.clean_accuracy, m.row.accuracy, lines[m.row.shift]
        assert clean is not None
        read = Read(runs[m.name].arm.name, m.head, m.prompts)
        cells[read, runs[m.name].seed, m.row.shift] = Standing(
            clean,
            accuracy,
            line.residual(clean, accuracy),
            line.effective_robustness(clean, accuracy),
            line.extrapolated(clean),
        )
    return Board(lines, cells, grid.seeds)
