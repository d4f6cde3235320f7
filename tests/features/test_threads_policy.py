"""Threads of OpenMP sleep at barriers, so that several cost little more processor time than one beside busy neighbours."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROBE = """
import time, effrob, numpy as np
from effrob.heads.linear import LinearProbe
rng = np.random.default_rng(0)
y = np.arange(2000) % 20
x = (rng.normal(size=(2000, 128)) + rng.normal(size=(20, 128))[y]).astype(np.float32)
LinearProbe().fit(x[:200], y[:200])
begun = time.process_time()
LinearProbe(Cs=[0.01, 1.0, 100.0]).path(x, y)
print(time.process_time() - begun)
"""


def output(code: str, **environment: str) -> str:
    outside = {k: v for k, v in os.environ.items() if k not in ("OMP_WAIT_POLICY", "OMP_NUM_THREADS")}
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, env={**outside, **environment}, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_waiting_is_passive_unless_the_user_says_otherwise() -> None:
    show = "import effrob, os; print(os.environ['OMP_WAIT_POLICY'])"
    assert output(show) == "PASSIVE"
    assert output(show, OMP_WAIT_POLICY="ACTIVE") == "ACTIVE"


@pytest.mark.slow
def test_two_threads_cost_little_more_than_one_beside_busy_neighbours() -> None:
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]
    try:
        one, two = (min(float(output(PROBE, OMP_NUM_THREADS=n)) for _ in range(2)) for n in ("1", "2"))
    finally:
        for process in busy:
            process.kill()
            process.wait()
    assert two < 1.5 * one  # spinning: 10 to 30 times
