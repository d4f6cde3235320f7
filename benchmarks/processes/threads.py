"""Processor seconds at each setting of OMP_NUM_THREADS, quiet and beside a busy process, in fresh processes.

An evaluation from scratch, all of its process tree; and the first probe path of a process and the next ones, without imports.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.measure import Cost, Finding, interleaved, process

SETTINGS = ("1", "2", "unset")  # of OMP_NUM_THREADS
WANTED = 1.3  # times the best setting
PATHS = 3  # of one process

PATH = """
import json, sys
from functools import partial
import effrob
from benchmarks.measure import call
from benchmarks.probe_problems import features
from effrob.heads.linear import LinearProbe
import numpy as np

x, y = features("rectified", 4000, 256, 50)
run = partial(LinearProbe(Cs=tuple(float(c) for c in np.logspace(-2, 3, 8))).path, x, y)
print(json.dumps([call(run).cpu for _ in range(int(sys.argv[1]))]))
"""


def beside_a_neighbour(work: Path, repeats: int) -> list[Finding]:
    """Each setting in turns, first quiet and then beside one process that never waits."""
    root = work / "threads"
    found = []
    for around in ("quiet", "beside a busy process"):
        with busy() if around != "quiet" else contextlib.nullcontext():
            evals = interleaved({each: lambda each=each: evaluation(each, root) for each in SETTINGS}, repeats)
            paths: dict[str, list[list[float]]] = {each: [] for each in SETTINGS}
            for number in range(repeats):
                for each in SETTINGS if number % 2 == 0 else SETTINGS[::-1]:
                    paths[each].append(probe_paths(each, root))
        firsts = {each: [path[0] for path in runs] for each, runs in paths.items()}
        later = {each: [cpu for path in runs for cpu in path[1:]] for each, runs in paths.items()}
        found.append(
            finding(f"an evaluation from scratch, {around}", {k: [c.cpu for c in v] for k, v in evals.items()})
        )
        found.append(finding(f"a process's first probe path, {around}", firsts))
        found.append(finding(f"its later probe paths, {around}", later))
    return found


def finding(what: str, cpu: Mapping[str, Sequence[float]]) -> Finding:
    """The dearest setting's median over the cheapest's; the lowest and the highest run of the dearest over the same."""
    medians = {each: statistics.median(runs) for each, runs in cpu.items()}
    best, worst = min(medians, key=lambda each: medians[each]), max(medians, key=lambda each: medians[each])
    middle, low, high = (value / medians[best] for value in (medians[worst], min(cpu[worst]), max(cpu[worst])))
    return Finding(
        f"threads: {what}",
        ", ".join(f"OMP_NUM_THREADS {each}: {medians[each]:.2f} s CPU" for each in cpu),
        f"the best setting: {best}",
        f"the worst, {worst}: {middle:.2f} ({low:.2f} to {high:.2f})",
        f"≤ {WANTED}",
        middle <= WANTED,
        {"cpu": {each: [round(value, 3) for value in runs] for each, runs in cpu.items()}},
    )


@contextlib.contextmanager
def busy() -> Iterator[None]:
    """One process that never waits, meanwhile."""
    neighbour = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        neighbour.kill()
        neighbour.wait()


def under(setting: str) -> list[str]:
    """What starts Python with this setting, whatever this process has."""
    set_to = [] if setting == "unset" else [f"OMP_NUM_THREADS={setting}"]
    return ["env", "-u", "OMP_NUM_THREADS", *set_to, sys.executable]


def evaluation(setting: str, root: Path) -> Cost:
    """Imports, decoding, two networks and a linear probe, with an empty cache; the sets are made before."""
    out = root / "run"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    command = [*under(setting), "-m", "effrob", "eval", "--model", "pocket:lenet", "--model", "pocket:clip"]
    command += ["--suite", "pocket", "--data", str(_pocket(root)), "--head", "linear-probe", "--device", "cpu"]
    command += ["--cache", str(out / "cache"), "--results", str(out / "results")]
    return process(command, {"EFFROB_CONFIG": str(root / "config")}, out / "log.txt")


def _pocket(root: Path) -> Path:
    from shifts import suite
    from shifts.synthetic.pocket import ensure

    for name in suite("pocket").tests:
        ensure(name, None, root / "pocket")
    return root / "pocket"


def probe_paths(setting: str, root: Path) -> list[float]:
    """Processor seconds of each of a new process's paths."""
    root.mkdir(parents=True, exist_ok=True)
    log = root / "paths.txt"
    process([*under(setting), "-c", PATH, str(PATHS)], {}, log)
    seconds: list[float] = json.loads(log.read_text().splitlines()[-1])
    return seconds
