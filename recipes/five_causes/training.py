"""How each method trains the shared tower, from chosen pictures to a file of weights. Knows no arm's name.

Captions go through open_clip's own trainer. Labels and self-supervision are plain loops with the same optimiser, rate and
schedule; only the loss and what it reads differ.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from open_clip_train.scheduler import cosine_lr
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from timm.optim import create_optimizer_v2
from torch import nn
from torch.nn import functional

from model_zoo.checkpoints.state import read_state
from model_zoo.sources.from_pocket import MEAN, STD
from recipes import contrastive
from recipes.five_causes import views
from recipes.five_causes.grid import Settings
from recipes.five_causes.pairs import Example, write_captions
from recipes.five_causes.tower import WIDTH, FlatTower, classifier, clip_config

CONFIG = "pocket-flat-clip.json"
TEMPERATURE = 0.2  # of SimCLR's loss


def write_config(folder: Path) -> Path:
    """The contrastive model's configuration, with its preprocessing, as `openclip:CONFIG@FILE` reads it."""
    pixels = {"mean": list(MEAN), "std": list(STD), "interpolation": "bicubic", "resize_mode": "shortest"}
    file = folder / CONFIG
    text = json.dumps({"model_cfg": clip_config(), "preprocess_cfg": pixels}, indent=1) + "\n"
    if not file.is_file() or file.read_text(encoding="utf-8") != text:
        file.write_text(text, encoding="utf-8")
    return file


def train_captions(chosen: Sequence[Example], settings: Settings, seed: int, scratch: Path) -> dict[str, torch.Tensor]:
    """A contrastive model on captions, by `open_clip_train`; `scratch` takes its folder."""
    scratch.mkdir(parents=True, exist_ok=True)
    bare = scratch / "model.json"  # open_clip's registry takes the model's part alone
    bare.write_text(json.dumps(clip_config()), encoding="utf-8")
    plan = contrastive.ContrastivePlan(
        settings.epochs, settings.rate, settings.batch, settings.decay, settings.warmup, settings.crop, seed
    )
    norm = ["--image-mean", *map(str, MEAN), "--image-std", *map(str, STD), "--save-frequency", "0"]
    captions = write_captions(chosen, scratch / "pairs.csv")
    return read_state(contrastive.train(captions, bare, scratch, plan, norm))


def train_labels(chosen: Sequence[Example], settings: Settings, seed: int) -> dict[str, torch.Tensor]:
    """A classifier by cross-entropy on the same crops."""
    torch.manual_seed(seed)
    network = classifier()
    labels = torch.tensor([example.label for example in chosen])
    crop = views.training_crop(settings.crop)
    pictures = views.decoded([example.path for example in chosen])
    for rows in _steps(network, len(chosen), settings, settings.epochs, seed):
        images = torch.stack([crop(pictures[row]) for row in rows])
        functional.cross_entropy(network(images), labels[rows]).backward()  # type: ignore[no-untyped-call]
    return network.state_dict()


def train_without_labels(chosen: Sequence[Example], settings: Settings, seed: int) -> dict[str, torch.Tensor]:
    """The tower by SimCLR (Chen et al. 2020): two views of a picture find each other. The projection is dropped."""
    torch.manual_seed(seed)
    tower = FlatTower()
    projection = nn.Sequential(nn.Linear(WIDTH, 128), nn.ReLU(), nn.Linear(128, 64))
    view = views.contrastive_view()
    pictures = views.decoded([example.path for example in chosen])
    both = nn.Sequential(tower, projection)
    for rows in _steps(both, len(chosen), settings, settings.self_supervised_epochs, seed):
        images = torch.stack([view(pictures[row]) for _ in range(2) for row in rows])
        nt_xent(both(images), TEMPERATURE).backward()  # type: ignore[no-untyped-call]
    return tower.state_dict()


def nt_xent(projected: torch.Tensor, temperature: float) -> torch.Tensor:
    """SimCLR's loss over (2N, D): row i and row i + N are views of one picture, all other rows are negatives."""
    z = functional.normalize(projected, dim=1)
    similar = (z @ z.T / temperature).masked_fill(torch.eye(len(z), dtype=torch.bool), float("-inf"))
    half = len(z) // 2
    return functional.cross_entropy(similar, torch.arange(len(z)).roll(half))


def save(state: dict[str, torch.Tensor], file: Path) -> None:
    """Write the weights whole or not at all: a file that is there is a finished training."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(".unfinished")
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, unfinished)
    unfinished.replace(file)


def finished(file: Path) -> bool:
    """Whether a training's weights are there and whole: a disk that filled up or a copy cut short leaves less than that."""
    if not file.is_file():
        return False
    try:
        with safe_open(file, "pt"):
            return True
    except SafetensorError:
        return False


def _steps(network: nn.Module, n: int, settings: Settings, epochs: int, seed: int) -> Iterator[list[int]]:
    """Rows of each batch; the optimiser steps when the caller has left its gradients and comes back for more."""
    if n < settings.batch:
        raise ValueError(f"{n} pictures make no batch of {settings.batch}")
    generator = torch.Generator().manual_seed(seed)
    optimizer = create_optimizer_v2(network, "adamw", lr=settings.rate, weight_decay=settings.decay)
    schedule = cosine_lr(optimizer, settings.rate, settings.warmup, n // settings.batch * epochs)
    network.train()
    for step, rows in enumerate(views.batches(n, settings.batch, epochs, generator)):
        schedule(step)
        optimizer.zero_grad()
        yield rows
        optimizer.step()
