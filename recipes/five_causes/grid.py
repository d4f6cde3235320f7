"""The grid: which trainings there are, arm by arm and seed by seed, and with what settings. Plain data, no torch.

An arm is one way to make a model; a run is an arm with a seed. Runs are ordered seed by seed, so that a grid that is cut
short still holds whole replicates.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Method = Literal["contrastive", "labels", "self-supervised", "text-free-head"]
Source = Literal["train", "web"]


@dataclass(frozen=True)
class Arm:
    """A way to make a model.

    images  pictures it is trained on; of pocket-train the same number of every class
    text    what the pictures are captioned with, or where their labels come from
    of      the arm whose tower a text-free head is put on
    """

    name: str
    method: Method
    source: Source
    images: int
    text: Literal["alt-text", "title", "class-name", "label", "matched", "none"]
    of: str | None = None


@dataclass(frozen=True)
class Settings:
    """What all runs share: the optimiser's step, the schedule and the crops are the same for captions and for labels."""

    epochs: int = 6
    self_supervised_epochs: int = 8
    batch: int = 64
    rate: float = 2e-3
    decay: float = 0.1
    warmup: int = 60
    crop: float = 0.6


@dataclass(frozen=True)
class Run:
    """An arm with a seed; the seed draws the pictures, the weights and the batches."""

    arm: Arm
    seed: int

    @property
    def name(self) -> str:
        return f"{self.arm.name}-s{self.seed}"


@dataclass(frozen=True)
class Member:
    """A baseline classifier beside the shipped ones: a shipped network trained on fewer pictures of a class."""

    network: str
    per_class: int

    @property
    def name(self) -> str:
        return f"line-{self.network}-{self.per_class}"


@dataclass(frozen=True)
class Grid:
    """Arms times seeds, and the classifiers that reach down from the shipped baseline."""

    arms: tuple[Arm, ...]
    seeds: int
    settings: Settings
    members: tuple[Member, ...]

    def arm(self, name: str) -> Arm:
        """The arm of a name; KeyError where there is none."""
        return {arm.name: arm for arm in self.arms}[name]

    def runs(self) -> Iterator[Run]:
        """Every run, seed by seed; a head comes after the tower it is put on."""
        for seed in range(self.seeds):
            for arm in self.arms:
                yield Run(arm, seed)


ARMS = (
    Arm("clip-web-2000", "contrastive", "web", 2000, "alt-text"),
    Arm("clip-web-4000", "contrastive", "web", 4000, "alt-text"),
    Arm("clip-web-8000", "contrastive", "web", 8000, "alt-text"),
    Arm("clip-titles", "contrastive", "train", 4000, "title"),
    Arm("clip-names", "contrastive", "train", 4000, "class-name"),
    Arm("labels-1000", "labels", "train", 1000, "label"),
    Arm("labels-2000", "labels", "train", 2000, "label"),
    Arm("labels-4000", "labels", "train", 4000, "label"),
    Arm("labels-web-4000", "labels", "web", 4000, "matched"),
    Arm("head-web-8000", "text-free-head", "web", 8000, "matched", of="clip-web-8000"),
    Arm("simclr", "self-supervised", "train", 4000, "none"),
)

MEMBERS = tuple(
    Member(network, per_class)
    for network in ("linear", "mlp", "lenet", "cnn-tiny", "cnn-flat", "cnn-wide", "resnet", "vit", "convnext")
    for per_class in (10, 25, 70)
)

POCKET = Grid(ARMS, seeds=5, settings=Settings(), members=MEMBERS)
