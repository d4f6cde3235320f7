"""Costs of runs and their ratios: paired and interleaved, processor seconds beside wall, medians with their range.

On a shared machine wall time tells of the neighbours too; processor seconds and the pairing tell of the program.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Cost:
    """Seconds of wall and of processor time, and for a process its largest resident size in MB."""

    wall: float
    cpu: float
    peak_mb: float = 0.0


@dataclass(frozen=True)
class Ratio:
    """Median over the pairs, and the smallest and largest."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f} to {self.high:.2f})"


@dataclass(frozen=True)
class Finding:
    """One line of the table: what was measured against what, what was wanted, and whether it was met."""

    name: str
    what: str
    reference: str
    measured: str
    wanted: str
    met: bool
    detail: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def call(work: Callable[[], object]) -> Cost:
    """What a call costs in this process, all its threads counted."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Cost(time.perf_counter() - wall, time.process_time() - cpu)


def process(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Cost:
    """What a whole process costs, start to end, with the processes it started. Raises RuntimeError where it fails.

    The peak is read from the process itself: `ru_maxrss` is at least the size of the process that started it.
    """
    peak = 0
    with log.open("w") as out:
        wall = time.perf_counter()
        started = subprocess.Popen(command, env={**os.environ, **environment}, stdout=out, stderr=subprocess.STDOUT)
        while os.waitid(os.P_PID, started.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            peak = max(peak, resident(started.pid))
            time.sleep(0.02)
        _, status, used = os.wait4(started.pid, 0)
        wall = time.perf_counter() - wall
        started.returncode = os.waitstatus_to_exitcode(status)
    if started.returncode:
        raise RuntimeError(f"{' '.join(command[:4])} ... ended with {started.returncode}:\n{log.read_text()[-2000:]}")
    return Cost(wall, used.ru_utime + used.ru_stime, peak / 2**20)


def resident(pid: int | str, what: str = "VmHWM") -> int:
    """Bytes of a process: VmHWM at its peak, VmRSS or RssAnon now; 0 where it has ended."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(what):
            return int(line.split()[1]) * 1024
    return 0


def interleaved(runs: Mapping[str, Callable[[], Cost]], repeats: int) -> dict[str, list[Cost]]:
    """Each run `repeats` times, one after the other within a round; every other round goes backwards."""
    costs: dict[str, list[Cost]] = {name: [] for name in runs}
    for number in range(repeats):
        for name in list(runs) if number % 2 == 0 else list(runs)[::-1]:
            costs[name].append(runs[name]())
    return costs


def ratio(over: Sequence[Cost], under: Sequence[Cost], kind: str = "cpu") -> Ratio:
    """The pairwise ratios of two runs' costs."""
    each = [getattr(a, kind) / getattr(b, kind) for a, b in zip(over, under)]
    return Ratio(statistics.median(each), min(each), max(each))


def median(costs: Sequence[Cost], kind: str = "cpu") -> float:
    return statistics.median(getattr(cost, kind) for cost in costs)


def told(costs: Mapping[str, Sequence[Cost]]) -> dict[str, dict[str, list[float]]]:
    """The costs as JSON."""
    kinds = ("wall", "cpu")
    return {name: {kind: [round(getattr(c, kind), 3) for c in each] for kind in kinds} for name, each in costs.items()}
