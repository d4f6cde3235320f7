"""From a run's pictures to a file of weights, by the arm's factors alone: one loop, one optimiser, one schedule for all.

The two-tower model, its tokeniser and its contrastive loss are open_clip's.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import open_clip
import torch
from open_clip.loss import ClipLoss
from open_clip_train.scheduler import cosine_lr
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from timm.optim import create_optimizer_v2
from torch import nn
from torch.nn import functional

from model_zoo.sources.from_pocket import MEAN, STD
from recipes.five_causes import views
from recipes.five_causes.grid import Arm, Settings
from recipes.five_causes.pairs import Examples, matched
from recipes.five_causes.tower import CONTEXT, EMBEDDING, WIDTH, StrideTower, classifier, clip_config
from shifts.classes import pocket

CONFIG = "pocket-stride-clip.json"
HOTTEST = 100.0  # of the learned scale of similarities, as CLIP bounds it
State = dict[str, torch.Tensor]
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # (rows, images as networks take them) -> scalar


def write_config(folder: Path) -> Path:
    """The contrastive model's configuration, with its preprocessing, as `openclip:CONFIG@FILE` reads it."""
    pixels = {"mean": list(MEAN), "std": list(STD), "interpolation": "bicubic", "resize_mode": "shortest"}
    file = folder / CONFIG
    text = json.dumps({"model_cfg": clip_config(), "preprocess_cfg": pixels}, indent=1) + "\n"
    if not file.is_file() or file.read_text(encoding="utf-8") != text:
        file.write_text(text, encoding="utf-8")
    return file


def train(arm: Arm, chosen: Examples, settings: Settings, seed: int) -> State:
    """The weights of an arm's run: of both towers where it is read out by prompts, else of a classifier."""
    torch.manual_seed(seed)
    steps = arm.steps if arm.finish == "none" else arm.steps // 2
    generator = torch.Generator().manual_seed(seed)
    if arm.text == "label":
        network = classifier()
        _fit(network, _labels_loss(network, chosen.labels), chosen, arm.views, settings, steps, generator, arm.passes)
        return _state(network)
    if arm.text == "view":
        views_model = Viewed()
        _fit(views_model, views_model.loss, chosen, arm.views, settings, steps, generator, arm.passes)
        tower: nn.Module = views_model.tower
    else:
        told = Told(arm, chosen)
        _fit(told.model, told.loss, chosen, arm.views, settings, steps, generator, arm.passes)
        if arm.finish == "none":
            return told.state()
        tower = told.model.visual.get_submodule("trunk")
    finished = classifier()
    finished[0].load_state_dict(tower.state_dict())
    loss = _labels_loss(finished, matched(chosen.captions))
    _fit(finished, loss, chosen, "crops", settings, arm.steps - steps, generator)
    return _state(finished)


class Told:
    """A two-tower model that learns pictures by texts: captions or class names, by either loss.

    The text tower's table of tokens is cut to those that occur, so that the optimiser does not walk through 49,408 rows
    at each step; the others keep the values they were born with.
    """

    def __init__(self, arm: Arm, chosen: Examples) -> None:
        self.model = open_clip.CLIP(**clip_config())
        names = pocket().names
        texts = list(chosen.captions) if arm.text == "caption" else [names[label] for label in chosen.labels.tolist()]
        self.among_classes = arm.loss == "among-the-classes"
        if self.among_classes:
            texts = list(names)
        distinct = sorted(set(texts))
        place = {text: row for row, text in enumerate(distinct)}
        self.text_of = chosen.labels if self.among_classes else torch.tensor([place[text] for text in texts])
        if self.among_classes:
            distinct = texts
        tokens = open_clip.tokenize(distinct, context_length=CONTEXT)
        self.used, inverse = torch.unique(tokens, return_inverse=True)
        self.tokens = inverse.view_as(tokens)  # order is kept, so that the end of a text is still its largest token
        self.born = self.model.token_embedding.weight.detach().clone()
        self.model.token_embedding = nn.Embedding.from_pretrained(self.born[self.used], freeze=False)  # type: ignore[no-untyped-call]
        self.batch_loss = ClipLoss()

    def loss(self, rows: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        """CLIP's loss over the batch, or cross-entropy over every class's text, both at the learned temperature.

        images: of the rows; where they are passed several times, all of the first time, then all of the second, and the loss
        is the mean over the times.
        """
        times = len(images) // len(rows)
        scale = self.model.logit_scale.exp().clamp(max=HOTTEST)
        seen = self.model.encode_image(images, normalize=True)
        if self.among_classes:
            said = self.model.encode_text(self.tokens, normalize=True)
            return functional.cross_entropy(scale * seen @ said.T, self.text_of[rows].repeat(times))
        texts, back = torch.unique(self.text_of[rows], return_inverse=True)
        said = self.model.encode_text(self.tokens[texts], normalize=True)[back]
        return torch.stack([self.batch_loss(once, said, scale) for once in seen.chunk(times)]).mean()

    def state(self) -> State:
        """Of the whole model, its table of tokens at full length again."""
        state = _state(self.model)
        table = self.born.clone()
        table[self.used] = state["token_embedding.weight"]
        return {**state, "token_embedding.weight": table}


class Viewed(nn.Module):
    """A tower that learns pictures by another view of them: CLIP's loss and projection, no text."""

    def __init__(self) -> None:
        super().__init__()
        self.tower = StrideTower()
        self.projection = nn.Linear(WIDTH, EMBEDDING, bias=False)
        self.logit_scale = nn.Parameter(open_clip.CLIP(**clip_config()).logit_scale.detach().clone())
        self.batch_loss = ClipLoss()

    def loss(self, rows: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        """images: all first views, then all second ones."""
        seen = functional.normalize(self.projection(self.tower(images)), dim=1)
        one, other = seen.chunk(2)
        loss: torch.Tensor = self.batch_loss(one, other, self.logit_scale.exp().clamp(max=HOTTEST))
        return loss


def _labels_loss(network: nn.Module, labels: torch.Tensor) -> Loss:
    """Cross-entropy over the classes; -1 is a picture without a label."""

    def loss(rows: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(network(images), labels[rows].repeat(len(images) // len(rows)), ignore_index=-1)

    return loss


def _fit(
    network: nn.Module, loss: Loss, chosen: Examples, kind: str, settings: Settings, steps: int,
    generator: torch.Generator, passes: int = 1,
) -> None:  # fmt: skip
    """The one loop: AdamW on a warmed-up cosine rate, over so many crops of each of the shuffled pictures."""
    if len(chosen) < settings.batch:
        raise ValueError(f"{len(chosen)} pictures make no batch of {settings.batch}")
    network.to(memory_format=torch.channels_last).train()
    optimizer = create_optimizer_v2(network, "adamw", lr=settings.rate, weight_decay=settings.decay, fused=True)
    schedule = cosine_lr(optimizer, settings.rate, min(settings.warmup, steps // 4), steps)
    for step, rows in enumerate(views.batches(len(chosen), settings.batch, steps, generator)):
        schedule(step)
        sources = chosen.images[rows.repeat(passes)]
        images = views.crops(sources, settings.crop, generator)
        if kind == "recoloured":
            images = views.recoloured(images, generator)
        optimizer.zero_grad()
        ready = views.normalised(images).contiguous(memory_format=torch.channels_last)
        loss(rows, ready).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    network.to(memory_format=torch.contiguous_format).eval()


def _state(network: nn.Module) -> State:
    return {name: tensor.detach().clone().contiguous() for name, tensor in network.state_dict().items()}


def save(state: State, file: Path) -> None:
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
