"""Runs and baseline members made into files of weights, each once: what is there is kept, so that a killed grid goes on.

OUT/weights/<run>.safetensors   OUT/scratch/<run>/   (the trainer's folder, removed when the run is done)
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from effrob.features.transforms import decode, exact_crop, normalise
from effrob.heads.linear import LinearProbe
from model_zoo.sources.from_openclip import provider as openclip
from model_zoo.sources.from_pocket import N_CLASSES, cards, pixels_of
from model_zoo.sources.from_pocket_networks import build
from model_zoo.spec import ModelSpec
from recipes import pictures, supervised
from recipes.five_causes import training
from recipes.five_causes.grid import Grid, Member, Run
from recipes.five_causes.pairs import Example, examples
from recipes.five_causes.tower import EMBEDDING, PIXELS

STRENGTHS = (0.01, 0.1, 1.0, 10.0, 100.0)  # of a text-free head's penalty, chosen on held-out rows of its own pictures


def weights_of(name: str, out: Path) -> Path:
    """Where a run's or member's weights lie."""
    return out / "weights" / f"{name}.safetensors"


def make(run: Run, grid: Grid, data: Path, out: Path) -> Path:
    """Train a run, unless its weights are there."""
    file, scratch, arm = weights_of(run.name, out), out / "scratch" / run.name, run.arm
    if training.finished(file):
        return file
    chosen = examples(run, data)
    with _own_log():
        if arm.method == "contrastive":
            state = training.train_captions(chosen, grid.settings, run.seed, scratch)
        elif arm.method == "labels":
            state = training.train_labels(chosen, grid.settings, run.seed)
        elif arm.method == "self-supervised":
            state = training.train_without_labels(chosen, grid.settings, run.seed)
        else:
            state = text_free_head(tower_of(run, grid, out), chosen)
    training.save(state, file)
    shutil.rmtree(scratch, ignore_errors=True)
    return file


def make_member(member: Member, data: Path, out: Path) -> Path:
    """Train a baseline member as its network's card says, on fewer pictures; epochs stay, so steps shrink with them."""
    file = weights_of(member.name, out)
    if not training.finished(file):
        card = cards()[member.network]
        plan = replace(supervised.Plan(**card["training"]), per_class=member.per_class)
        torch.manual_seed(plan.seed)
        network, side = member_network(member), int(card["side"])
        supervised.train(network, pictures.load(data, "pocket-train", side), pixels_of(side), plan)
        training.save(network.state_dict(), file)
    return file


def member_network(member: Member) -> nn.Module:
    """The untrained network of a member's card."""
    card = cards()[member.network]
    return build(card["network"], int(card["side"]), N_CLASSES)


def tower_of(run: Run, grid: Grid, out: Path) -> nn.Module:
    """The image tower, with its projection, of the contrastive run that a text-free head is put on."""
    assert run.arm.of is not None
    under = Run(grid.arm(run.arm.of), run.seed)
    spec = ModelSpec("openclip", str(training.write_config(out)), str(weights_of(under.name, out)))
    return openclip.network(spec).eval()


@torch.inference_mode()
def text_free_head(tower: nn.Module, chosen: list[Example]) -> dict[str, torch.Tensor]:
    """A linear layer on the frozen tower's embedding, learned from labels that texts were matched to: no word at test time."""
    blocks = []
    for start in range(0, len(chosen), 250):
        paths = [example.path for example in chosen[start : start + 250]]
        crops = np.stack([exact_crop(decode(path.read_bytes(), path.name), PIXELS) for path in paths])
        blocks.append(tower(normalise(torch.from_numpy(crops), PIXELS)))
    features = torch.cat(blocks).numpy()
    probe = LinearProbe(Cs=STRENGTHS).fit(features, np.array([example.label for example in chosen]))
    head = with_head(tower)
    weight, bias = (
        torch.zeros(N_CLASSES, EMBEDDING),
        torch.full((N_CLASSES,), -1e4),
    )  # a class no text named is never said
    rows = torch.from_numpy(probe.classes_.astype(np.int64))
    weight[rows] = torch.from_numpy(probe.coef_).float()
    bias[rows] = torch.from_numpy(probe.intercept_).float()
    head[1].load_state_dict({"weight": weight, "bias": bias})
    return {name: tensor.clone() for name, tensor in head.state_dict().items()}


def with_head(tower: nn.Module) -> nn.Sequential:
    """A tower with an untrained linear layer over the classes on its embedding."""
    return nn.Sequential(tower, nn.Linear(EMBEDDING, N_CLASSES))


@contextmanager
def _own_log() -> Iterator[None]:
    """The trainer adds log handlers to the root logger at every start and leaves them there."""
    before, level = list(logging.root.handlers), logging.root.level
    try:
        yield
    finally:
        for handler in [h for h in logging.root.handlers if h not in before]:
            logging.root.removeHandler(handler)
            handler.close()
        logging.root.setLevel(level)
