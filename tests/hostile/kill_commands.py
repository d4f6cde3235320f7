"""Kill commands at random moments, and run several at once on one folder: nothing is lost, and nothing is left.

    python -m tests.hostile.kill_commands --kills 50

After each kill what the command writes is as it was or as it shall be; a further run ends it, and leaves no draft.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Command:
    """A command line of effrob by the folder it works in, with what it leaves when it is done.

    sound  whether what lies in the folder is whole, whenever the command was killed
    """

    args: Callable[[Path], list[str]]
    state: Callable[[Path], object]
    sound: Callable[[Path], bool]


@dataclass
class Tally:
    """What became of the kills of one command."""

    killed: int = 0
    ended: int = 0
    torn: list[str] = field(default_factory=list)
    litter: list[str] = field(default_factory=list)
    other: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not (self.torn or self.litter or self.other)


def environment(folder: Path) -> dict[str, str]:
    """Settings, caches and baselines of this folder alone."""
    own = {f"EFFROB_{each}": str(folder / each.lower()) for each in ("CONFIG", "CACHE", "BASELINES")}
    return os.environ | own | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def start(folder: Path, args: list[str]) -> subprocess.Popen[str]:
    """effrob in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "effrob", *args], cwd=folder, env=environment(folder), start_new_session=True, text=True,
        stdout=subprocess.DEVNULL, stderr=(folder / "said").open("w"),
    )  # fmt: skip


def finish(folder: Path, args: list[str]) -> None:
    """Run to the end. RuntimeError with what it said where it fails."""
    status = start(folder, args).wait()
    said = (folder / "said").read_text()
    if status or "Traceback" in said:
        raise RuntimeError(f"effrob {' '.join(args)} ended with {status}: {said[-1500:]}")


def litter(folder: Path) -> list[str]:
    """Drafts below the folder: hidden files but locks."""
    held = (path.relative_to(folder).as_posix() for path in folder.rglob(".*") if path.suffix != ".lock")
    return sorted(name for name in held if not name.startswith("cache/"))


def digest(root: Path) -> str:
    """Of every file's name and bytes below a folder; hidden ones do not count."""
    hashed = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(root).parts):
            hashed.update(name.encode() + b"\0" + path.read_bytes())
    return hashed.hexdigest()


def answers(folder: Path, data: Path) -> None:
    """Five models' answers on pocket-r and the clean pocket set as CSV, three of four right."""
    import shifts

    (folder / "none").mkdir()
    for name in ("pocket-r", "pocket"):
        shift = shifts.load(name, data)
        targets, ids = np.asarray(shift.targets), shift.ids
        for number in range(5):
            rng = np.random.default_rng([number, len(ids)])
            right = rng.random(len(ids)) < 0.5 + 0.08 * number - (0.1 if name == "pocket-r" else 0)
            given = np.where(right, targets, (targets + 1) % len(shift.labels))
            lines = ["id,class", *(f"{each},{answer}" for each, answer in zip(ids, given, strict=True))]
            (folder / f"{name}-{number}.csv").write_text("\n".join(lines) + "\n")


def importing(folder: Path, number: int) -> list[str]:
    """The command that imports a model's answers."""
    files = [str(folder / f"pocket-r-{number}.csv"), "--clean", str(folder / f"pocket-{number}.csv")]
    return ["import", *files, "--model", f"m{number}", "--shift", "pocket-r", "--results", str(folder / "results")]


def commands(data: Path) -> dict[str, Command]:
    """The commands that are killed. Those of answers need `answers` in their folder."""

    def records(folder: Path) -> object:
        from effrob.results.select import read_records

        held = read_records(folder / "results") if (folder / "results").is_dir() else []
        return sorted((each.record.asked.key(), digest_of(each.folder)) for each in held)

    def digest_of(folder: Path) -> str:
        return hashlib.sha256((folder / "predictions.npz").read_bytes()).hexdigest()

    def whole(folder: Path) -> bool:
        from effrob.results.select import read_records

        if (folder / "results").is_dir():
            read_records(folder / "results")  # recounts
        return True

    def places(folder: Path) -> object:
        file = folder / "config" / "places.json"
        return file.read_text() if file.is_file() else ""

    def site_whole(folder: Path) -> bool:
        out = folder / "site"
        listed = (out / "effrob-leaderboard").read_text().splitlines()[1:]  # it stood before: it is never missing
        return all((out / name).is_file() for name in listed) and (out / "index.html").is_file()

    def board(folder: Path) -> list[str]:
        return ["leaderboard", "--format", "html", "--results", str(folder / "none"), "--published", "systems",
                "--out", str(folder / "site")]  # fmt: skip

    def baseline(folder: Path) -> object:
        file = folder / "baselines" / "five" / "baseline.json"
        return digest(file.parent) if file.is_file() else ""

    def built(folder: Path) -> list[str]:
        models = [word for number in range(5) for word in ("--model", f"m{number}")]
        return ["baseline", "build", "five", *models, "--suite", "pocket", "--shift", "pocket-r", "--data", str(data),
                "--results", str(folder / "results"), "--device", "cpu"]  # fmt: skip

    return {
        "leaderboard": Command(board, lambda folder: digest(folder / "site"), site_whole),
        "import": Command(lambda folder: importing(folder, 0), records, whole),
        "where": Command(
            lambda folder: ["data", "where", f"pocket-r={data}"], places, lambda folder: not places(folder) or True
        ),
        "baseline": Command(built, baseline, lambda folder: baseline(folder) is not None),
    }


def prepared(name: str, command: Command, data: Path, folder: Path) -> None:
    """What the command needs before it is killed."""
    folder.mkdir(parents=True)
    answers(folder, data)
    if name == "leaderboard":
        finish(folder, command.args(folder))
    if name == "baseline":
        for number in range(5):
            finish(folder, importing(folder, number))


def campaign(name: str, data: Path, scratch: Path, kills: int, seed: int) -> Tally:
    """One undisturbed run, then so many that are killed at moments spread over its time, each ended by a further one."""
    command, rng, tally = commands(data)[name], random.Random(seed), Tally()
    first = scratch / f"{name}-ready"
    prepared(name, command, data, first)
    folder = scratch / name
    shutil.copytree(first, folder)
    begun = time.monotonic()
    finish(folder, command.args(folder))
    duration = time.monotonic() - begun
    wanted = command.state(folder)
    while tally.killed < kills:
        if name in ("import", "baseline", "where"):  # the same folder, without what the last run made
            shutil.rmtree(folder)
            shutil.copytree(first, folder)
        process = start(folder, command.args(folder))
        time.sleep(rng.uniform(0.1, 1.0) * duration)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            tally.killed += 1
        else:
            tally.ended += 1
            duration *= 0.95
        process.wait()
        moment = f"kill {tally.killed}"
        try:
            if not command.sound(folder):
                tally.torn.append(moment)
        except Exception as error:
            tally.torn.append(f"{moment}: {error}"[:200])
        try:
            finish(folder, command.args(folder))
        except RuntimeError as error:
            if "stands in" not in str(error):  # a baseline that was whole when its command was killed
                tally.other.append(f"{moment}: {error}"[:600])
        if command.state(folder) != wanted:
            tally.other.append(f"{moment}: another result")
        tally.litter += [f"{moment}: {each}" for each in litter(folder)]
    return tally


def together(name: str, data: Path, scratch: Path, processes: int) -> Tally:
    """So many of one command at once on one folder: each ends, with what one would leave, and no draft."""
    command, tally = commands(data)[name], Tally()
    folder = scratch / f"{name}-together"
    prepared(name, command, data, folder)
    running = [start(folder, command.args(folder)) for _ in range(processes)]
    for each in running:
        if each.wait() and name != "baseline":
            tally.other.append((folder / "said").read_text()[-300:])
    if not command.sound(folder):
        tally.torn.append("together")
    tally.litter = litter(folder)
    return tally


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--command", action="append")
    asked = parser.parse_args()
    good = True
    with tempfile.TemporaryDirectory(prefix="effrob-kills-") as held:
        from shifts.synthetic.pocket import ensure

        data, scratch = Path(held) / "data", Path(held)
        for name in ("pocket", "pocket-r"):
            ensure(name, None, data)
        for name in asked.command or commands(data):
            tally = campaign(name, data, scratch, asked.kills, asked.seed)
            print(f"{name}: {tally.killed} killed, {tally.ended} ended first; {tally}", flush=True)
            shared = [together(name, data, scratch / str(n), n) for n in (2, 3, 4)]
            print(f"{name}: two to four at once: {shared}", flush=True)
            good &= tally.ok and all(each.ok for each in shared)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
