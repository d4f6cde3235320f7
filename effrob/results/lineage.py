"""Lineage: which measured models are one witness to a line, because they share architecture and data, or one training run."""

from __future__ import annotations

import re
from pathlib import Path

from model_zoo.published import family_of
from model_zoo.registration import saved


def lineage_of(model: str) -> str:
    """The family of a measured model, by what is known of it.

    A registered model that says what it was trained on shares a family with those of its architecture and data. Weights files
    that differ in digits alone (epochs of a run, seeds of a training) are one family. timm and torchvision names say their
    architecture lineage. Any other model is a family of its own.
    """
    entry = saved().get(model)
    if entry is not None:
        architecture = entry.arch or entry.like or entry.loader
        if entry.trained_on:
            return f"{architecture}, {entry.trained_on}"
        return f"{architecture}, {_series(entry.checkpoint)}" if entry.checkpoint else model
    name, _, weights = model.partition("@")
    if "/" in weights or Path(weights).suffix in (".pt", ".pth", ".safetensors", ".bin", ".ckpt", ".tar"):
        return f"{name}@{_series(weights)}"
    return family_of(model)


def _series(path: str) -> str:
    """A path with each run of digits in its file name as `#`: the series of files it is one of."""
    return str(Path(path).with_name(re.sub(r"\d+", "#", Path(path).name)))
