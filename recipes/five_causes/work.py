"""The grid, run by run: trained, then evaluated, with a line of progress each and its processor time kept in a file."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from recipes.five_causes.arms import make, make_member
from recipes.five_causes.evaluation import Measured, evaluate_member, evaluate_run
from recipes.five_causes.grid import Grid

TIMES = "times.jsonl"
Say = Callable[[str], None]


class Task(NamedTuple):
    """A run or a member: how its weights are made, then how it is measured; both do nothing twice."""

    name: str
    make: Callable[[], Path]
    measure: Callable[[], list[Measured]]


def run_grid(grid: Grid, data: Path, out: Path, say: Say, seeds: Collection[int] = ()) -> list[Measured]:
    """Train and evaluate what is missing; every record, members first, then runs seed by seed (of `seeds` alone)."""
    out.mkdir(parents=True, exist_ok=True)
    measured: list[Measured] = []
    for task in tasks(grid, data, out, seeds):
        started = time.process_time()
        task.make()
        trained = time.process_time()
        _note(out, task.name, "training", trained - started)
        found = task.measure()
        _note(out, task.name, "evaluation", time.process_time() - trained)
        measured += found
        accuracies = " ".join(f"{m.row.shift} {m.row.accuracy:.3f}" for m in found if m.head == found[0].head)
        say(f"{task.name}: {time.process_time() - started:.0f} s of processor time; {accuracies}")
    return measured


def tasks(grid: Grid, data: Path, out: Path, seeds: Collection[int] = ()) -> Iterator[Task]:
    """Members, then runs."""
    for member in grid.members:
        yield Task(member.name, partial(make_member, member, data, out), partial(evaluate_member, member, data, out))
    for run in grid.runs():
        if not seeds or run.seed in seeds:
            measure = partial(evaluate_run, run, grid, data, out)
            yield Task(run.name, partial(make, run, grid, data, out), measure)


def processor_seconds(out: Path) -> dict[str, float]:
    """Training and evaluation in all, and by arm: the dearest start of each step, as later starts only read what is there."""
    file = out / TIMES
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    longest: dict[tuple[str, str], float] = {}
    for line in lines:
        try:
            found = json.loads(line)
        except json.JSONDecodeError:  # cut short by a kill
            continue
        step = (str(found["name"]), str(found["step"]))
        longest[step] = max(longest.get(step, 0.0), float(found["processor_s"]))
    arms: dict[str, float] = {}
    for (name, _), spent in longest.items():
        arm = "line" if name.startswith("line-") else name.rpartition("-s")[0]
        arms[arm] = arms.get(arm, 0.0) + spent
    return {"all": sum(arms.values()), **arms}


def _note(out: Path, name: str, step: str, seconds: float) -> None:
    with (out / TIMES).open("a", encoding="utf-8") as file:
        file.write(json.dumps({"name": name, "step": step, "processor_s": round(seconds, 3)}) + "\n")
