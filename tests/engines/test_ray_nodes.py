"""Nodes of a Ray cluster die: a second one while it computes, the head, and a worker each time its job is tried."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from effrob.engines import ray_watch
from effrob.engines.engine import Job, Outcome
from effrob.engines.on_ray import RETRIES, RayEngine
from tests.engines.test_engines import LOADER
from tests.engines.test_ray_ends import session_of

# Once in the whole run, on the second node: say so, and compute no more, so that the death finds it in the middle.
STUCK = LOADER.replace("not MARK.exists()", "os.environ.get('PLACE') == 'second' and not MARK.exists()").replace(
    "os.kill(os.getpid(), signal.SIGKILL)", "__import__('time').sleep(300)"
)


class Cluster:
    """A head, and a second node, of one CPU each on this machine; each in a session of its own, to be killed whole."""

    def __init__(self, folder: Path) -> None:
        ray = pytest.importorskip("ray")
        with socket.socket() as free:
            free.bind(("", 0))
            self.address = f"{ray.util.get_node_ip_address()}:{free.getsockname()[1]}"
        self.folder, self.started = folder, []
        self.environment = {**os.environ, "EFFROB_CONFIG": str(folder / "config"), "OMP_NUM_THREADS": "1"}
        self.environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "a" * 40, "RAY_USAGE_STATS_ENABLED": "0"}

    def ray(self, *arguments: str, place: str) -> subprocess.Popen[bytes]:
        command = [str(Path(sys.executable).parent / "ray"), *arguments]
        with (self.folder / "nodes").open("a") as told:
            node = subprocess.Popen(
                command, env={**self.environment, "PLACE": place}, stdout=told, stderr=told, start_new_session=True
            )
        self.started.append(node)
        return node

    def head(self) -> subprocess.Popen[bytes]:
        port = self.address.rpartition(":")[2]
        head = self.ray(
            "start", "--head", "--port", port, "--num-cpus=1", "--include-dashboard=false", "--block", place="head"
        )
        until(lambda: self.ray("health-check", "--address", self.address, place="").wait(60) == 0, 120)
        return head

    def second(self) -> subprocess.Popen[bytes]:
        node = self.ray("start", "--address", self.address, "--num-cpus=1", "--block", place="second")
        until(lambda: "This command will now block" in (self.folder / "nodes").read_text().split("second:")[-1], 120)
        return node

    def effrob(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "effrob", *arguments]
        return subprocess.Popen(
            command,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )


def until(true: Callable[[], bool], seconds: float) -> None:
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.5)


def kill(node: subprocess.Popen[Any]) -> None:
    for process in session_of(node.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    node.wait(10)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    yield made
    for node in made.started:
        kill(node)


@pytest.mark.slow
@pytest.mark.engine
@pytest.mark.parametrize("victim", ["second", "head"])
def test_a_node_that_dies_costs_no_record(victim: str, cluster: Cluster, pocket_data: Path, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(STUCK.format(mark=str(tmp_path / "stuck")).replace("= 520", "= 100"))
    pixels = "resize=32,crop=32,interpolation=bilinear,mean=0.5,std=0.5"
    registered = cluster.effrob("register", "net", "--loader", f"{tmp_path / 'net.py'}:Net", "--pixels", pixels)
    assert registered.wait(60) == 0
    asked = ["eval", "--model", "net", "--suite", "pocket", "--data", str(pocket_data), "--device", "cpu"]
    asked += ["--shift", "pocket-r", "--shift", "pocket-v2", "--batch-size", "32"]
    ours = [*asked, "--cache", str(tmp_path / "c"), "--results", str(tmp_path / "r")]
    ours += ["--engine", "ray", "--address", cluster.address]
    head = cluster.head()
    with (tmp_path / "nodes").open("a") as told:
        told.write("second:\n")
    second = cluster.second()
    run = cluster.effrob(*ours)
    until(lambda: (tmp_path / "stuck").exists(), 120)
    if victim == "head":
        until(lambda: any((tmp_path / "c").rglob("*.npy")), 120)
    kill({"second": second, "head": head}[victim])
    said = run.communicate(timeout=180)[1]
    if victim == "head":
        assert run.returncode == 1 and "has not answered" in said and "Traceback" not in said, said
        assert any((tmp_path / "c").rglob("*.npy"))
        kill(second)
        cluster.head()
        run = cluster.effrob(*ours)
        said = run.communicate(timeout=180)[1]
    assert run.returncode == 0, said
    alone = cluster.effrob(*asked, "--cache", str(tmp_path / "c2"), "--results", str(tmp_path / "r2"))
    assert alone.communicate(timeout=180) and alone.returncode == 0
    wanted = {p.relative_to(tmp_path / "r2"): p.read_bytes() for p in (tmp_path / "r2").rglob("predictions.npz")}
    assert len(wanted) == 2
    assert wanted == {p.relative_to(tmp_path / "r"): p.read_bytes() for p in (tmp_path / "r").rglob("predictions.npz")}


DEADLY = """
import os, signal, sys
from effrob.engines.engine import Job, Outcome
from effrob.engines.on_ray import RayEngine

class Work:
    def detached(self):
        return one
    def absorb(self, outcome):
        return outcome

def one(job):
    if job.source == "deadly":
        with open(job.models[0], "a") as tried:
            tried.write("x")
        os.kill(os.getpid(), signal.SIGKILL)
    return Outcome(job)

jobs = [Job(source, (sys.argv[1],), 0, 1) for source in ("before", "deadly", "after")]
for outcome in RayEngine(progress=False).run(Work(), jobs):
    print(outcome.job.source, outcome.error)
"""


@pytest.mark.slow
@pytest.mark.engine
def test_a_job_that_kills_every_worker_fails_after_four_and_the_others_stand(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    tried = tmp_path / "tried"
    done = subprocess.run([sys.executable, "-c", DEADLY, str(tried)], capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    assert tried.read_text() == "x" * (RETRIES + 1)
    before, deadly, after = [
        line for line in done.stdout.splitlines() if line.startswith(("before", "deadly", "after"))
    ]
    assert (before, after) == ("before None", "after None") and "died 4 times" in deadly


class Lost:
    """Ray as the engine sees it, where the first job ends and no other does."""

    def __init__(self, address: str, cpus: float) -> None:
        self.address, self.cpus, self.ended = address, cpus, False
        self.exceptions = SimpleNamespace(RayTaskError=KeyError, RayError=KeyError)

    def remote(self, **options: Any) -> Callable[[Any], Any]:
        return lambda made: SimpleNamespace(remote=lambda work, job: job)

    def put(self, value: Any) -> Any:
        return value

    def get(self, reference: Job) -> Outcome:
        return Outcome(reference)

    def wait(self, waiting: list[Job], num_returns: int, timeout: float) -> tuple[list[Job], list[Job]]:
        time.sleep(0.01)
        first = [] if self.ended else waiting[:1]
        self.ended = True
        return first, [job for job in waiting if job not in first]

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": False, "Resources": {"CPU": 8.0}}, {"Alive": True, "Resources": {"CPU": self.cpus}}]

    def get_runtime_context(self) -> Any:
        return SimpleNamespace(gcs_address=self.address)

    def shutdown(self) -> None:
        time.sleep(300)  # as it may where the head is dead


class Nothing:
    def detached(self) -> Nothing:
        return self

    def absorb(self, outcome: Outcome) -> Outcome:
        return outcome


@pytest.mark.parametrize(("head", "why"), [("dead", "has not answered"), ("alive", "no node .* has had the 1 CPUs")])
def test_jobs_that_no_cluster_can_end_are_given_up(head: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SILENCE", "PLACELESS"):
        monkeypatch.setattr(ray_watch, name, 0.2)
    monkeypatch.setattr("effrob.engines.on_ray.LEAVE", 0.2)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        if head == "alive":
            listening.listen(200)
        engine = RayEngine.__new__(RayEngine)
        lost = Lost(f"127.0.0.1:{listening.getsockname()[1]}", 0.0 if head == "alive" else 1.0)
        engine.__dict__.update(ray=lost, cpus=1.0, gpus=0.0, progress=False, _lost=False)
        jobs = [Job("s", ("m",), start, start + 1) for start in range(3)]
        outcomes = engine.run(Nothing(), jobs)
    assert [outcome.job for outcome in outcomes] == jobs and outcomes[0].error is None
    for outcome in outcomes[1:]:
        assert outcome.error and re.search(why, outcome.error) and "what was computed is kept" in outcome.error
