"""Kill runs at random moments, resume them, and demand the predictions of a run nobody disturbed.

    python -m tests.kill_runs --runs 50

Prints a line a run and a tally. `make test` does the same with three runs.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from tests.forked import fork

MODELS = ("pocket:clip", "pocket:mlp", "pocket:cnn-small", "pocket:lenet")
HEADS = ("linear-probe", "zero-shot")
Shards = Counter[tuple[str, int]]
IN_FLIGHT = 256  # images beyond a full shard: two batches in networks, one begun, and one while the shard is written


@dataclass(frozen=True)
class Setting:
    """What is run: models, heads, sets and the folder of the data; everything else goes to a folder a run has alone."""

    models: tuple[str, ...]
    heads: tuple[str, ...]
    data: Path
    shifts: tuple[str, ...] = ()
    train_limit: int = 20
    environment: dict[str, str] = field(default_factory=lambda: {"OMP_NUM_THREADS": "1"})

    def command(self, folder: Path, log: str) -> list[str]:
        """One evaluation: the file it logs to what it takes through a network, and effrob's words."""
        args = [str(folder / log), "eval"]
        args += ["--suite", "pocket", "--data", str(self.data)]
        for option, values in (("--model", self.models), ("--head", self.heads), ("--shift", self.shifts)):
            args += [word for value in values for word in (option, value)]
        args += ["--results", str(folder / "results"), "--cache", str(folder / "cache"), "--device", "cpu"]
        return [*args, "--train-limit", str(self.train_limit)]

    def start(self, folder: Path, log: str) -> ForkServerProcess:
        """The evaluation in a process group of its own."""
        folder.mkdir(parents=True, exist_ok=True)
        environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"} | self.environment
        return fork(self.command(folder, log), environment, folder / f"{log}.out", run=counted)

    def finish(self, folder: Path, log: str) -> None:
        """Run to the end."""
        process = self.start(folder, log)
        process.join()
        status = process.exitcode
        said = (folder / f"{log}.out").read_text()
        if status != 0 or "Traceback" in said:
            raise RuntimeError(f"{' '.join(self.command(folder, log))} ended with {status}:\n{said[-2000:]}")


@dataclass(frozen=True)
class Run:
    """How one killed run ended.

    moment     seconds it lived; was_killed: False where it had ended before
    forwarded  (model, set, shard) it had begun;  redone: the most images of one model and set in shards that were begun twice
    equal      the resumed run's predictions are the undisturbed run's, byte for byte;  litter: temporary files left
    """

    moment: float
    was_killed: bool
    forwarded: int
    redone: int
    equal: bool
    litter: int

    @property
    def ok(self) -> bool:
        from effrob.features.cache import SHARD_ROWS

        return self.equal and self.litter == 0 and self.redone <= SHARD_ROWS + IN_FLIGHT


def counted(words: list[str]) -> None:
    """Be effrob, and note in the file that is the first word every shard that goes through a network, before it does."""
    log, *args = words
    from effrob.cli import main as effrob
    from effrob.features import extract
    from effrob.features.cache import SHARD_ROWS

    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    submit = extract._Run.submit

    def noted(run: extract._Run, batch: extract.Batch, jobs: list[extract.EncoderJob]) -> None:
        for job in jobs:
            os.write(handle, f"{job.key.digest()} {batch.rows.start // SHARD_ROWS} {len(batch.rows)}\n".encode())
        submit(run, batch, jobs)

    extract._Run.submit = noted  # type: ignore[method-assign, assignment]
    effrob(args)


def forwarded(log: Path) -> Shards:
    """Images that a run took through networks, by shard; a line a batch, and a torn last line does not count."""
    lines = log.read_text().split("\n")[:-1] if log.exists() else []
    images: Shards = Counter()
    for key, shard, count in map(str.split, lines):
        images[key, int(shard)] += int(count)
    return images


def predictions(folder: Path) -> dict[str, bytes]:
    """Every prediction file's bytes by its place in the results."""
    root = folder / "results"
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*.npz"))}


def kill_and_resume(setting: Setting, folder: Path, moment: float, wanted: dict[str, bytes]) -> Run:
    """One run: killed after `moment` seconds, resumed to the end, compared."""
    process = setting.start(folder, "killed")
    time.sleep(moment)
    was_killed = process.is_alive()
    if was_killed and process.pid is not None:
        os.killpg(process.pid, signal.SIGKILL)
    process.join()
    setting.finish(folder, "resumed")
    before, after = forwarded(folder / "killed"), forwarded(folder / "resumed")
    again: Counter[str] = Counter()
    for key, shard in before.keys() & after.keys():
        again[key] += before[key, shard]
    redone = max(again.values(), default=0)
    litter = sum(1 for _ in folder.rglob("*.effrob-tmp"))
    return Run(moment, was_killed, len(before), redone, predictions(folder) == wanted, litter)


def campaign(setting: Setting, runs: int, seed: int, scratch: Path) -> list[Run]:
    """An undisturbed run, then as many as it takes to kill `runs` of them, at moments spread over its duration."""
    rng = random.Random(seed)
    setting.finish(scratch / "first", "whole")  # the first has imports to wait for
    shutil.rmtree(scratch / "first")
    before = time.monotonic()
    setting.finish(scratch / "undisturbed", "whole")
    duration = time.monotonic() - before
    wanted = predictions(scratch / "undisturbed")
    if not wanted:
        raise RuntimeError("the undisturbed run left no predictions")
    print(f"undisturbed: {duration:.1f} s, {len(wanted)} prediction files", flush=True)
    ended: list[Run] = []
    while sum(run.was_killed for run in ended) < runs:
        folder = scratch / f"run-{len(ended)}"
        run = kill_and_resume(setting, folder, rng.uniform(0.15, 1.0) * duration, wanted)
        ended.append(run)
        if not run.was_killed:  # it ended by itself, so it counts for nothing, and shows that runs have become quicker
            duration = min(duration, run.moment)
        print(f"{sum(run.was_killed for run in ended):3d} of {runs} killed: {run}", flush=True)
        shutil.rmtree(folder)
    return ended


def tally(ended: list[Run]) -> str:
    """The campaign in a sentence."""
    killed = sum(run.was_killed for run in ended)
    busy = sum(run.was_killed and run.forwarded > 0 for run in ended)
    return (
        f"{sum(run.equal for run in ended)} of {len(ended)} ended byte-equal; {killed} were killed before they ended, "
        f"{busy} of them with images under way; at most {max(run.redone for run in ended)} images of a model and set "
        f"redone; {sum(run.litter for run in ended)} temporary files left"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, default=None, help="folder with the pocket sets; drawn when missing")
    parser.add_argument("--threads", default="1", help="OMP_NUM_THREADS of the runs; empty: as many as there are cores")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        data = asked.data or Path(scratch) / "data"
        from shifts import suite
        from shifts.synthetic.pocket import ensure

        for name in (*suite("pocket").tests, "pocket-train"):
            ensure(name, None, data)
        environment = {"OMP_NUM_THREADS": asked.threads} if asked.threads else {}
        setting = Setting(MODELS, HEADS, data, environment=environment)
        ended = campaign(setting, asked.runs, asked.seed, Path(scratch))
    print(tally(ended))
    sys.exit(0 if all(run.ok for run in ended) else 1)


if __name__ == "__main__":
    main()
