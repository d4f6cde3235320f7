"""What the fast pixel path does to predictions: real networks on real photographs, exact against fast.

The photographs and weights are not the project's to ship: EFFROB_REAL names a folder that holds them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.measure import Finding
from effrob.results.predictions import Predictions
from effrob.results.store import ResultStore

MOBILENETS = {"mobilenet-025": ("025_128", 128), "mobilenet-05": ("05_160", 160), "mobilenet-075": ("075_192", 192)}
NETWORKS = ("squeezenet", *MOBILENETS)
SETS = {"imagenet": "1,300 prescaled to 227x227", "imagenet-train": "400 at full size"}


@dataclass(frozen=True)
class Flips:
    """Of n predictions: how many differ, how many were right on either path."""

    n: int
    flipped: int
    right_exact: int
    right_fast: int

    @property
    def rate(self) -> float:
        return self.flipped / self.n

    @property
    def net(self) -> float:
        """Accuracy on the fast path minus that on the exact one."""
        return (self.right_fast - self.right_exact) / self.n

    def __add__(self, other: Flips) -> Flips:
        return Flips(
            self.n + other.n,
            self.flipped + other.flipped,
            self.right_exact + other.right_exact,
            self.right_fast + other.right_fast,
        )

    @classmethod
    def of(cls, exact: Predictions, fast: Predictions) -> Flips:
        """Raises ValueError where the two are not of the same images."""
        if not np.array_equal(exact.id, fast.id):
            raise ValueError("the two paths were run on different images")
        differ = int((exact.predicted != fast.predicted).sum())
        return cls(len(exact.id), differ, int(exact.correct.sum()), int(fast.correct.sum()))


def real() -> Path:
    """The folder of real photographs and networks. Exits with a sentence where it is not named."""
    named = os.environ.get("EFFROB_REAL")
    if not named:
        sys.exit("the effect of the fast path is measured on real photographs: EFFROB_REAL must name their folder")
    return Path(named)


def register(folder: Path) -> None:
    """The four networks, under names of this process's own registrations."""
    squeezenet = ["--checkpoint", str(folder / "weights" / "squeezenet1_0.pth"), "--like", "torchvision:squeezenet1_0"]
    commands = [["squeezenet", *squeezenet]]
    for name, (function, size) in MOBILENETS.items():
        loader = f"{folder / 'networks.py'}:mobilenet_v1_{function}"
        pixels = f"resize={int(size / 0.875)},crop={size},interpolation=bilinear,mean=0.5,std=0.5"
        commands.append([name, "--loader", loader, "--pixels", pixels])
    for command in commands:
        subprocess.run(
            [sys.executable, "-m", "effrob", "register", *command, "--replace"],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


def predictions(folder: Path, out: Path, path: str) -> dict[tuple[str, str], Predictions]:
    """(set, network) -> a row an image, on one pixel path."""
    shutil.rmtree(out / path, ignore_errors=True)
    command = [sys.executable, "-m", "effrob", "eval", "--data", str(folder), "--partial", "--pixels", path]
    command += ["--results", str(out / path), "--cache", str(out / path / "cache"), "--json"]
    for each in SETS:
        command += ["--shift", each]
    for name in NETWORKS:
        command += ["--model", name]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return {(s.record.asked.shift, s.record.asked.model): s.predictions() for s in ResultStore(out / path)}


def compare(folder: Path, out: Path) -> dict[tuple[str, str], Flips]:
    """(set, network) -> what the fast path changed."""
    register(folder)
    exact, fast = (predictions(folder, out, path) for path in ("exact", "fast"))
    return {key: Flips.of(exact[key], fast[key]) for key in sorted(exact)}


def on_real_networks(work: Path, repeats: int) -> list[Finding]:
    found = compare(real(), work / "flips")
    findings = []
    for name, what in SETS.items():
        each = {model: flips for (shift, model), flips in found.items() if shift == name}
        pooled = sum(each.values(), Flips(0, 0, 0, 0))
        judged = name == "imagenet"  # the others are training images
        findings.append(
            Finding(
                f"fast pixels, {what}",
                ", ".join(f"{model} {flips.flipped} of {flips.n} ({flips.net:+.2%})" for model, flips in each.items()),
                "exact pixels, the same networks",
                f"top-1 flips {pooled.rate:.2%}, accuracy {pooled.net:+.3%} net, {pooled.n} predictions",
                "flips < 0.5 %, net ≤ 0.1 %" if judged else "told only",
                not judged or (pooled.rate < 0.005 and abs(pooled.net) <= 0.001),
                {model: json.loads(json.dumps(vars(flips))) for model, flips in each.items()},
            )
        )
    return findings
