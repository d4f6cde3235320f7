"""Threads of OpenMP sleep at barriers, so that several cost little more processor time than one beside busy neighbours."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from effrob.heads import linear, probe
from effrob.heads.classifier import Training

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


PRODUCT = """
import time, effrob, numpy as np
a = np.ones((2000, 256))
a @ a[:256]
begun = time.process_time()
time.sleep(0.3)
print(time.process_time() - begun)
"""
SET_BY_EFFROB = ("OMP_WAIT_POLICY", "OMP_NUM_THREADS", "OPENBLAS_THREAD_TIMEOUT")


def output(code: str, **environment: str) -> str:
    outside = {k: v for k, v in os.environ.items() if k not in SET_BY_EFFROB}
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, env={**outside, **environment}, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_waiting_is_passive_unless_the_user_says_otherwise() -> None:
    show = "import effrob, os; print(os.environ['OMP_WAIT_POLICY'])"
    assert output(show) == "PASSIVE"
    assert output(show, OMP_WAIT_POLICY="ACTIVE") == "ACTIVE"


def test_blas_spends_nothing_after_a_product_unless_the_user_says_otherwise() -> None:
    """Its threads spin for a tenth of a second each by default; a machine with one core has none."""
    assert float(output(PRODUCT, OMP_NUM_THREADS="2")) < 0.05
    if sys.platform == "linux" and (os.cpu_count() or 1) > 1:  # whose NumPy has OpenBLAS
        spun = (float(output(PRODUCT, OMP_NUM_THREADS="2", OPENBLAS_THREAD_TIMEOUT="30")) for _ in range(3))
        assert any(seconds > 0.05 for seconds in spun), "each of three times, beside whatever else ran"


@pytest.mark.slow
def test_two_threads_cost_little_more_than_one_beside_busy_neighbours() -> None:
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]
    try:
        one, two = (min(float(output(PROBE, OMP_NUM_THREADS=n)) for _ in range(2)) for n in ("1", "2"))
    finally:
        for process in busy:
            process.kill()
            process.wait()
    assert two < 1.3 * one  # spinning: 10 to 30 times


@pytest.mark.parametrize("head", ["estimator", "head"])
@pytest.mark.parametrize(("most", "wanted"), [(10**9, 1), (0, 2)])
def test_a_small_fit_computes_on_one_thread_and_leaves_the_number(
    head: str, most: int, wanted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("effrob.logistic.threads.SMALL", most)
    seen: list[int] = []
    module = linear if head == "estimator" else probe
    fitted = module.fit_path
    monkeypatch.setattr(module, "fit_path", lambda *a, **k: (seen.append(torch.get_num_threads()), fitted(*a, **k))[1])
    rows, targets = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32), np.arange(60) % 3
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        if head == "estimator":
            linear.LinearProbe().fit(rows, targets)
        else:
            given = Training("t", "m", rows, np.arange(60), targets, 3, "image-embedding")
            probe.Probe(strength=1.0).fit(None, None, given)  # type: ignore[arg-type]
        assert seen == [wanted] and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
