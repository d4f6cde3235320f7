"""SIGTERM ends a run on Ray with all of Ray's processes, and without a stack of Ray's own handler."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

CODE = """
import time
from effrob.engines.engine import Job
from effrob.engines.on_ray import RayEngine

class Work:
    def detached(self):
        return nap

def nap(job):
    time.sleep(300)

engine = RayEngine(progress=False)
print("ready", flush=True)
engine.run(Work(), [Job("a", ("m",), 0, 1)])
"""


def session_of(leader: int) -> list[int]:
    """The processes of a session."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                if os.getsid(int(process.name)) == leader:
                    found.append(int(process.name))
            except OSError:
                continue
    return found


@pytest.mark.engine
def test_sigterm_ends_ray_as_well() -> None:
    pytest.importorskip("ray")
    run = subprocess.Popen(
        [sys.executable, "-c", CODE], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert run.stdout is not None and run.stdout.readline() == "ready\n"
    time.sleep(4)
    assert len(session_of(run.pid)) > 3
    run.send_signal(signal.SIGTERM)
    said = run.communicate(timeout=60)[1]
    assert run.returncode > 0 and "SIGTERM received" not in said, said
    ends = time.monotonic() + 20
    while session_of(run.pid) and time.monotonic() < ends:
        time.sleep(0.5)
    assert session_of(run.pid) == []
