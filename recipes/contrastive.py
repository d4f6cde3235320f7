"""Contrastive training by open_clip's own trainer, from a captioned CSV to a checkpoint in its format.

Runs `open_clip_train.main` in this process, so that a model configuration of ours can be named.
"""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import open_clip
from open_clip_train.main import main as open_clip_main


@dataclass(frozen=True)
class ContrastivePlan:
    """How a CLIP is trained: AdamW on a warmed-up cosine rate, crops of at least `crop` of the picture's area."""

    epochs: int
    rate: float = 2e-3
    batch: int = 128
    decay: float = 0.1
    warmup: int = 60
    crop: float = 0.6
    seed: int = 0


def with_full_paths(source: Path, target: Path) -> Path:
    """Copy a `filepath<TAB>title` file with its paths made absolute: the trainer opens them from where it was started."""
    with source.open(encoding="utf-8", newline="") as read, target.open("w", encoding="utf-8", newline="") as written:
        writer = csv.writer(written, delimiter="\t")
        for row, (path, title) in enumerate(csv.reader(read, delimiter="\t", quoting=csv.QUOTE_NONE)):
            writer.writerow([path if row == 0 else str(source.parent.resolve() / path), title])
    return target


def train(captions: Path, config: Path, out: Path, plan: ContrastivePlan, extra: Sequence[str] = ()) -> Path:
    """Train the model of an open_clip config file on a `filepath<TAB>title` file; the checkpoint's path.

    `out` takes the trainer's folder; a run that was cut off goes on from its last whole epoch.
    """
    open_clip.add_model_config(config)
    name = f"{config.stem}-{plan.seed}"
    arguments = {
        "model": config.stem, "train-data": with_full_paths(captions, out / "captions.csv"), "dataset-type": "csv",
        "csv-img-key": "filepath", "csv-caption-key": "title", "csv-separator": "\t", "batch-size": plan.batch,
        "epochs": plan.epochs, "lr": plan.rate, "wd": plan.decay, "warmup": plan.warmup, "seed": plan.seed, "workers": 0,
        "precision": "fp32", "device": "cpu", "logs": out, "name": name, "log-every-n-steps": 1000,
    }  # fmt: skip
    flat = [text for key, value in arguments.items() for text in (f"--{key}", str(value))]
    crop = ["--aug-cfg", f"scale=({plan.crop},1.0)"]
    _drop_torn(out / name / "checkpoints")
    if open_clip_main([*flat, "--resume", "latest", *crop, *extra]) == -1:
        raise RuntimeError(f"open_clip_train refused to start in {out / name}")
    return out / name / "checkpoints" / f"epoch_{plan.epochs}.pt"


def _drop_torn(checkpoints: Path) -> None:
    """The trainer writes its checkpoints in place: one that a kill cut short has no end, and would end every restart."""
    for file in checkpoints.glob("*.pt"):
        if not zipfile.is_zipfile(file):
            file.unlink()
