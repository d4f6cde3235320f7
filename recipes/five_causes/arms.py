"""Runs and members of the line made into files of weights, each once: what is there is kept, so that a killed grid goes on.

OUT/weights/<run>.safetensors
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from effrob.heads.linear import LinearProbe
from model_zoo.sources.from_openclip import provider as openclip
from model_zoo.sources.from_pocket import N_CLASSES, cards, pixels_of
from model_zoo.sources.from_pocket_networks import build
from model_zoo.spec import ModelSpec
from recipes import pictures, supervised
from recipes.drawn.pool import IMAGES
from recipes.five_causes import training, views
from recipes.five_causes.grid import Grid, Member, Run
from recipes.five_causes.pairs import Examples, examples, matched
from recipes.five_causes.tower import EMBEDDING

STRENGTHS = (
    0.01,
    0.1,
    1.0,
    10.0,
    100.0,
)  # of a layer's penalty, chosen on held-out rows of the pictures it learns from


def weights_of(name: str, out: Path) -> Path:
    """Where a run's or member's weights lie."""
    return out / "weights" / f"{name}.safetensors"


def make(run: Run, grid: Grid, out: Path, pool_images: int = IMAGES) -> Path:
    """Train a run, unless its weights are there."""
    file = weights_of(run.name, out)
    if not training.finished(file):
        under = run if run.arm.layer_on is None else Run(grid.arm(run.arm.layer_on), run.seed)
        chosen = examples(under, out, pool_images)
        if run.arm.layer_on is None:
            state = training.train(run.arm, chosen, grid.settings, run.seed)
        else:
            state = layer(tower_of(run, grid, out), chosen)
        training.save(state, file)
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
    """The image tower, with its projection, of the run that a layer is put on."""
    assert run.arm.layer_on is not None
    under = Run(grid.arm(run.arm.layer_on), run.seed)
    spec = ModelSpec("openclip", str(training.write_config(out)), str(weights_of(under.name, out)))
    return openclip.network(spec).eval()


@torch.inference_mode()
def layer(tower: nn.Module, chosen: Examples) -> training.State:
    """A tower and a linear layer on its embedding, learned from labels that captions were matched to: no word at test time."""
    labels = matched(chosen.captions)
    named = labels >= 0
    blocks = [tower(views.normalised(views.whole(block))) for block in torch.split(chosen.images[named], 500)]
    probe = LinearProbe(Cs=STRENGTHS).fit(torch.cat(blocks).numpy(), labels[named].numpy())
    head = with_layer(tower)
    weight, bias = torch.zeros(N_CLASSES, EMBEDDING), torch.full((N_CLASSES,), -1e4)  # what no text named is never said
    rows = torch.from_numpy(probe.classes_.astype(np.int64))
    weight[rows] = torch.from_numpy(probe.coef_).float()
    bias[rows] = torch.from_numpy(probe.intercept_).float()
    head[1].load_state_dict({"weight": weight, "bias": bias})
    return {name: tensor.clone() for name, tensor in head.state_dict().items()}


def with_layer(tower: nn.Module) -> nn.Sequential:
    """A tower with an untrained linear layer over the classes on its embedding."""
    return nn.Sequential(tower, nn.Linear(EMBEDDING, N_CLASSES))
