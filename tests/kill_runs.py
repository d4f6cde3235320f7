"""Kill runs at random moments, resume them, and demand the predictions of a run nobody disturbed.

    python -m tests.kill_runs --runs 50

Prints a line a run and a tally. `make test` does the same with three runs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

MODELS = ("pocket:clip", "pocket:mlp-s", "pocket:cnn-s", "pocket:lenet")
HEADS = ("linear-probe", "zero-shot")


@dataclass(frozen=True)
class Setting:
    """What is run: models, heads, sets and the folder of the data; everything else goes to a folder a run has alone."""

    models: tuple[str, ...]
    heads: tuple[str, ...]
    data: Path
    shifts: tuple[str, ...] = ()
    train_limit: int = 20

    def command(self, folder: Path, *more: str) -> list[str]:
        args = [sys.executable, "-m", "effrob", "eval", "--suite", "pocket", "--data", str(self.data)]
        for option, values in (("--model", self.models), ("--head", self.heads), ("--shift", self.shifts)):
            args += [word for value in values for word in (option, value)]
        args += ["--results", str(folder / "results"), "--cache", str(folder / "cache"), "--device", "cpu"]
        return [*args, "--train-limit", str(self.train_limit), *more]


@dataclass(frozen=True)
class Run:
    """How one killed run ended: the moment, what was left to do, and whether the resumed run gave the wanted bytes."""

    moment: float
    was_killed: bool
    saved_rows: int
    left_rows: int
    equal: bool
    litter: int

    @property
    def ok(self) -> bool:
        return self.equal and self.litter == 0


def start(command: list[str]) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )


def finish(command: list[str]) -> None:
    """Run to the end; a zero-shot head on a model without a text tower may fail, anything else may not."""
    done = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    if done.returncode not in (0, 1) or "Traceback" in done.stderr:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")


def predictions(folder: Path) -> dict[str, bytes]:
    """Every prediction file's bytes by its place in the results."""
    root = folder / "results"
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*.npz"))}


def saved_rows(folder: Path) -> int:
    """Rows of features on disk."""
    rows = 0
    for path in (folder / "cache").rglob("*.npy"):
        if path.name == "features.npy":
            rows += json.loads((path.parent / "key.json").read_text())["key"]["n"]
        elif path.name.startswith("rows-") and not (path.parent / "features.npy").exists():
            first, last = path.stem.split("-")[1:]
            rows += int(last) - int(first)
    return rows


def planned_rows(setting: Setting, folder: Path) -> int:
    """Forward passes a rerun would make, by its own plan."""
    done = subprocess.run(setting.command(folder, "--dry-run", "--json"), capture_output=True, text=True, check=True)
    return int(json.loads(done.stdout)["forwards"])


def kill_and_resume(setting: Setting, folder: Path, moment: float, wanted: dict[str, bytes]) -> Run:
    """One run: killed after `moment` seconds, looked at, resumed to the end, compared."""
    process = start(setting.command(folder))
    time.sleep(moment)
    was_killed = process.poll() is None
    if was_killed:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    saved, left = saved_rows(folder), planned_rows(setting, folder)
    finish(setting.command(folder))
    litter = sum(1 for path in folder.rglob("*.effrob-tmp"))
    return Run(moment, was_killed, saved, left, predictions(folder) == wanted, litter)


def campaign(setting: Setting, runs: int, seed: int, scratch: Path) -> list[Run]:
    """An undisturbed run, then `runs` killed ones at moments spread over its duration."""
    rng = random.Random(seed)
    before = time.monotonic()
    finish(setting.command(scratch / "undisturbed"))
    duration = time.monotonic() - before
    wanted = predictions(scratch / "undisturbed")
    if not wanted:
        raise RuntimeError("the undisturbed run left no predictions")
    ended = []
    for number in range(runs):
        folder = scratch / f"run-{number}"
        ended.append(kill_and_resume(setting, folder, rng.uniform(0.15, 0.95) * duration, wanted))
        print(f"{number + 1:3d} of {runs}: {ended[-1]}", flush=True)
        shutil.rmtree(folder)
    return ended


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, default=None, help="folder with the pocket sets; drawn when missing")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        data = asked.data or Path(scratch) / "data"
        from shifts import suite
        from shifts.pocket import ensure

        for name in (*suite("pocket"), "pocket-train"):
            ensure(name, asked.data, data)
        ended = campaign(Setting(MODELS, HEADS, data), asked.runs, asked.seed, Path(scratch))
    good = sum(run.ok for run in ended)
    print(
        f"{good} of {len(ended)} equal and clean; {sum(run.was_killed for run in ended)} were killed before they ended"
    )
    sys.exit(0 if good == len(ended) else 1)


if __name__ == "__main__":
    main()
