"""Lineage: which measured models are one witness to a line, because they share architecture and data, or one training run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from effrob.errors import UsageProblem
from model_zoo.mixtures.specs import mixture
from model_zoo.published import family_of
from model_zoo.registration import saved
from model_zoo.spec import MIXTURE

WEIGHTS = (".pt", ".pth", ".safetensors", ".bin", ".ckpt", ".tar")
# What trainers call the files of a run, beside numbers: open_clip, timm, Lightning, transformers.
OF_A_RUN = {"best", "checkpoint", "checkpoints", "ckpt", "ema", "ep", "epoch", "final", "iter", "last", "latest", "model",
            "pytorch", "state", "step", "weights"}  # fmt: skip


def lineage_of(model: str) -> str:
    """The family of a measured model, by what is known of it.

    A registered model that says what it was trained on shares a family with those of its architecture and data, and with other
    weights in its place (`my-net@runs/epoch_3.pt`). Weights files that differ in digits alone (epochs of a run, seeds of a
    training) are one family, and so are a folder's files that are named as trainers name those of a run (`epoch_3.pt`,
    `last.pt`). A mixture of one family is of that family. timm and torchvision names say their architecture lineage. Any other
    model is a family of its own.
    """
    scheme, _, mixed = model.partition(":")
    if scheme == MIXTURE:
        return " and ".join(dict.fromkeys(map(lineage_of, mixture(mixed).parts)))
    name, _, weights = model.partition("@")
    entry = saved().get(model) or saved().get(name)
    if entry is not None:
        architecture = entry.arch or entry.like or entry.loader
        if entry.trained_on:
            return f"{architecture}, {entry.trained_on}"
        checkpoint = weights or entry.checkpoint
        return f"{architecture}, {_series(checkpoint)}" if checkpoint else model
    if "/" in weights or Path(weights).suffix in WEIGHTS:
        return f"{name}@{_series(weights)}"
    return family_of(model)


def with_families(families: Mapping[str, str], named: Sequence[str]) -> dict[str, str]:
    """model -> family, after the user's own GLOB=FAMILY, which go before what was found.

    Raises UsageProblem for what is no GLOB=FAMILY, and for a glob that fits no model.
    """
    found = dict(families)
    for each in named:
        pattern, equals, family = each.rpartition("=")
        if not (pattern and equals and family):
            raise UsageProblem(f"--family wants GLOB=NAME, as in 'openclip:ViT-B-32@runs/*=mine'; got {each!r}")
        chosen = [model for model in families if model == pattern or fnmatchcase(model, pattern)]
        if not chosen:
            raise UsageProblem(f"--family {each} fits none of the models: {', '.join(families)}")
        found |= dict.fromkeys(chosen, family)
    return found


def _series(path: str) -> str:
    """The series of files that a path is one of: its file name with each run of digits as `#`, or the folder of a run."""
    file = Path(path)
    words = re.findall(r"[A-Za-z]+", file.name.partition(".")[0])
    if all(word.lower() in OF_A_RUN for word in words):
        return str(file.with_name("#"))
    return str(file.with_name(re.sub(r"\d+", "#", file.name)))
