"""Every engine gives the local engine's predictions, byte for byte, also where a worker is killed on the way."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from effrob.cli import main
from effrob.engines.engine import Job, Outcome
from effrob.engines.local import LocalEngine
from effrob.engines.on_ray import RayEngine
from effrob.engines.on_torchrun import TorchrunEngine
from effrob.errors import UsageProblem
from effrob.evaluation.evaluator import engine_for
from effrob.evaluation.request import Request
from effrob.features import threads

LOADER = '''
import os, signal
from pathlib import Path
import torch

MARK = Path({mark!r})
ENOUGH = 520  # pictures: more than a shard, so that the dead process has kept one and lost one

class Net(torch.nn.Module):
    """A small network that kills its process once in the whole run, when that process has seen ENOUGH pictures."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = torch.nn.Conv2d(3, 16, 8, 8)
        self.fc = torch.nn.Linear(16, 20)
        self.seen = 0

    def forward(self, x):
        self.seen += len(x)
        if self.seen > ENOUGH and not MARK.exists():
            MARK.write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)
        return self.fc(self.conv(x).relu().mean((2, 3)))
'''


@pytest.fixture(scope="module")
def local(run, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Predictions of an undisturbed run of the local engine."""
    done, predictions = run(tmp_path_factory.mktemp("local"), False, [sys.executable], ["--engine", "local"])
    assert done.returncode == 0, done.stderr
    assert set(predictions) == {"pocket-r", "pocket-v2"}
    return predictions


@pytest.fixture(scope="module")
def run(pocket_data: Path) -> Callable[..., tuple[subprocess.CompletedProcess[str], dict[str, bytes]]]:
    """`run(folder, deadly, before, engine)` -> (process, predictions by shift) of one evaluation in processes of its own."""

    def go(folder: Path, deadly: bool, before: Sequence[str], engine: Sequence[str]):
        loader = folder / "net.py"
        loader.write_text(LOADER.format(mark=str(folder / "killed")))
        if not deadly:
            (folder / "killed").touch()
        environment = {
            **os.environ,
            "EFFROB_CONFIG": str(folder / "config"),
            "OMP_NUM_THREADS": "1",
            "RAY_DEDUP_LOGS": "0",
        }
        pixels = "resize=32,crop=32,interpolation=bilinear,mean=0.5,std=0.5"
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("EFFROB_CONFIG", environment["EFFROB_CONFIG"])
            patch.setattr("model_zoo.registered._live", {})
            registered = CliRunner().invoke(main, ["register", "net", "--loader", f"{loader}:Net", "--pixels", pixels])
        assert registered.exit_code == 0, registered.output
        command = [*before, "-m", "effrob", "eval", "--model", "net", "--suite", "pocket", "--data", str(pocket_data)]
        command += [
            "--shift",
            "pocket-r",
            "--shift",
            "pocket-v2",
            "--results",
            str(folder / "r"),
            "--cache",
            str(folder / "c"),
        ]
        command += ["--device", "cpu", "--batch-size", "32", *engine]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
        files = sorted((folder / "r").rglob("predictions.npz"))
        return done, {path.parent.parent.name: path.read_bytes() for path in files}

    return go


RANKS = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


@pytest.mark.engine
def test_two_torchrun_ranks_give_local_predictions(run, local: dict[str, bytes], tmp_path: Path) -> None:
    spread, got = run(tmp_path, False, RANKS, ["--engine", "torchrun"])
    assert spread.returncode == 0, spread.stderr
    assert got == local
    assert spread.stdout.count("records in") == 1  # one rank leads


@pytest.mark.engine
def test_torchrun_with_a_killed_rank_restarts_and_goes_on(run, local: dict[str, bytes], tmp_path: Path) -> None:
    spread, got = run(tmp_path, True, [*RANKS, "--max-restarts", "3"], ["--engine", "torchrun"])
    assert (tmp_path / "killed").read_text().isdigit()
    assert spread.returncode == 0, spread.stderr
    assert got == local


@pytest.mark.engine
def test_ray_with_a_killed_worker_gives_local_predictions(run, local: dict[str, bytes], tmp_path: Path) -> None:
    pytest.importorskip("ray")
    spread, got = run(tmp_path, True, [sys.executable], ["--engine", "ray"])
    assert (tmp_path / "killed").read_text().isdigit()
    assert spread.returncode == 0, spread.stderr
    assert got == local


@pytest.mark.parametrize(
    ("asked", "variable", "taken"), [(None, "", "local"), (None, "h:1", "h:1"), ("auto", "h:1", "auto")]
)
def test_ray_starts_here_whatever_cluster_its_files_remember(
    asked: str | None, variable: str, taken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = pytest.importorskip("ray")
    seen: dict[str, object] = {}
    monkeypatch.setenv("RAY_ADDRESS", variable)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda **options: seen.update(options))
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 2.0})
    RayEngine(asked)
    assert seen["address"] == taken


class Recorded:
    """Work that keeps count, and says what a job said."""

    def __init__(self) -> None:
        self.done: list[Job] = []

    def __call__(self, job: Job) -> Outcome:
        self.done.append(job)
        return Outcome(job, "broken" if job.start == 10 else None)

    def detached(self):
        return self

    def absorb(self, outcome: Outcome) -> Outcome:
        return outcome


def test_the_local_engine_does_every_job_in_order_and_one_failure_stops_nothing() -> None:
    work, jobs = Recorded(), [Job("s", ("m",), start, start + 10) for start in (0, 10, 20)]
    outcomes = LocalEngine().run(work, jobs)
    assert work.done == jobs and [o.job for o in outcomes] == jobs
    assert [o.error for o in outcomes] == [None, "broken", None]


@pytest.mark.parametrize(
    ("rank", "workers"), [("0", "abc"), ("0", "0"), ("0", "-2"), ("x", "2"), ("2", "2"), ("0", "")]
)
def test_torchrun_by_numbers_that_fit_no_run_says_so_at_once(
    rank: str, workers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", workers)
    with pytest.raises(UsageProblem, match="RANK here is"):
        TorchrunEngine()


@pytest.mark.parametrize(("ranks", "share"), [("2", 2), ("0", 4), ("abc", 4), ("", 4), ("-1", 4), ("9", 1)])
def test_cores_are_shared_among_the_ranks_of_a_machine(
    ranks: str, share: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(threads.os, "sched_getaffinity", lambda process: set(range(4)), raising=False)
    monkeypatch.setattr(threads, "_QUOTA", tmp_path / "none")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", ranks)
    assert threads.cores() == share


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("engine", ["local", "torchrun"])
def test_a_gpu_that_is_not_there_is_refused_in_a_sentence(engine: str) -> None:
    with pytest.raises(UsageProblem, match="torch sees no GPU here"):
        engine_for(Request(models=("pocket:cnn-small",), shifts=("pocket-v2",), device="cuda", engine=engine))


def test_torchrun_without_torchrun_says_how_to_start_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(UsageProblem, match="torchrun --nproc-per-node"):
        TorchrunEngine()
