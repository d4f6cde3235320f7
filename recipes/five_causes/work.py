"""The grid, run by run: trained, then evaluated a seed at a time, with a line of progress and its processor time in a file."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TypeVar

from recipes.drawn.pool import IMAGES
from recipes.five_causes.arms import make, make_member
from recipes.five_causes.evaluation import Measured, evaluate_members, evaluate_reference, evaluate_runs
from recipes.five_causes.grid import Grid

TIMES = "times.jsonl"
Say = Callable[[str], None]
T = TypeVar("T")


def run_grid(
    grid: Grid, data: Path, out: Path, say: Say, seeds: Collection[int] = (), pool_images: int = IMAGES
) -> list[Measured]:
    """Train and evaluate what is missing: the line and the reference model, then seed by seed (of `seeds` alone)."""
    for folder in (out, data):  # what is missing in `data` is drawn there
        folder.mkdir(parents=True, exist_ok=True)
    measured: list[Measured] = []
    for member in grid.members:
        _timed(out, member.name, "training", lambda m=member: make_member(m, data, out))  # type: ignore[misc]
    if grid.members:
        measured += _timed(out, "line", "evaluation", lambda: evaluate_members(grid.members, data, out))
        say(f"{len(grid.members)} classifiers of the line: {_spoken(measured)}")
        measured += _timed(out, "reference", "evaluation", lambda: evaluate_reference(data, out))
    runs = [run for run in grid.runs() if not seeds or run.seed in seeds]
    for seed in dict.fromkeys(run.seed for run in runs):
        own = [run for run in runs if run.seed == seed]
        for run in own:
            started = time.process_time()
            _timed(out, run.name, "training", lambda r=run: make(r, grid, out, pool_images))  # type: ignore[misc]
            say(f"{run.name}: {time.process_time() - started:.0f} s of processor time")
        found = _timed(out, f"seed-{seed}", "evaluation", lambda o=own: evaluate_runs(o, grid, data, out))  # type: ignore[misc]
        say(f"seed {seed}: {_spoken(found)}")
        measured += found
    return measured


def processor_seconds(out: Path, seeds: int) -> dict[str, float]:
    """Training by arm, the line, and evaluation, of the first seeds: the dearest start of each step, as later starts only read
    what is there.
    """
    file = out / TIMES
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    longest: dict[tuple[str, str], float] = {}
    for line in lines:
        try:
            found = json.loads(line)
        except json.JSONDecodeError:  # cut short by a kill
            continue
        key = (str(found["name"]), str(found["step"]))
        seed = re.search(r"(?:-s|^seed-)(\d+)$", key[0])
        if seed is not None and int(seed[1]) >= seeds:
            continue
        longest[key] = max(longest.get(key, 0.0), float(found["processor_s"]))
    arms: dict[str, float] = {}
    for (name, step), spent in longest.items():
        arm = "evaluation" if step == "evaluation" else "line" if name.startswith("line") else name.rpartition("-s")[0]
        arms[arm] = arms.get(arm, 0.0) + spent
    return {"all": sum(arms.values()), **arms}


def _timed(out: Path, name: str, step: str, work: Callable[[], T]) -> T:
    started = time.process_time()
    done = work()
    with (out / TIMES).open("a", encoding="utf-8") as file:
        spent = {"name": name, "step": step, "processor_s": round(time.process_time() - started, 3)}
        file.write(json.dumps(spent) + "\n")
    return done


def _spoken(measured: list[Measured]) -> str:
    """Mean accuracy on each set."""
    sets: dict[str, list[float]] = {}
    for each in measured:
        sets.setdefault(each.row.shift, []).append(each.row.accuracy)
    return ", ".join(f"{name} {sum(values) / len(values):.3f}" for name, values in sets.items()) + " on average"
