"""The grid: which trainings there are, arm by arm and seed by seed, and with what settings. Plain data, no torch.

An arm is one way to make a model, written as values of the factors; its name carries nothing. A run is an arm with a seed.
Runs are ordered seed by seed, so that a grid that is cut short still holds whole replicates.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

STEPS = 800
PICTURES = 4000
BARE, EIGHTY = "name-only", "openai"  # prompt sets of effrob: the class name alone, and CLIP's eighty sentences
READ_TWICE = (
    "clip-web",
    "clip-narrow",
)  # by both; the other arms by the bare name, which every text they learned from holds


@dataclass(frozen=True)
class Read:
    """A way an arm is read out: a head, and prompts where it has words."""

    arm: str
    head: str
    prompts: str | None = None

    @property
    def name(self) -> str:
        return f"{self.arm} ({self.head}{'' if self.prompts in (None, BARE) else ', ' + self.prompts})"


@dataclass(frozen=True)
class Arm:
    """A way to make a model: a value for each factor. Training reads these fields and the settings, and nothing else.

    pictures_of  the set: `narrow` photographs as the clean set's, or the `web`
    overlap      share of the web's styled pictures that are in the styles of the test sets
    pictures     different pictures
    steps        of the optimiser, in all stages together: as many batches of pictures are seen
    text         what a picture is told by: its caption, its class name, its label, or another view of it (no text)
    loss         told apart from the other texts (or views) of its batch, as CLIP is, or from the other classes
    views        crops, or crops that are mirrored and recoloured too
    passes       how often a picture of a batch goes through the image tower in a step (of the first stage), each time another
                 crop of it: two where a view is told by another view, and where captions are to have as many
    finish       `matched`: the second half of the steps goes on with labels that captions were matched to, and a layer
    layer_on     this arm's towers, held as they are, get a layer over the classes, learned from matched labels
    """

    name: str
    pictures_of: Literal["narrow", "web"] = "web"
    overlap: float = 0.0
    pictures: int = PICTURES
    steps: int = STEPS
    text: Literal["caption", "class-name", "label", "view"] = "caption"
    loss: Literal["among-the-batch", "among-the-classes"] = "among-the-batch"
    views: Literal["crops", "recoloured"] = "crops"
    passes: int = 1
    finish: Literal["none", "matched"] = "none"
    layer_on: str | None = None

    def __post_init__(self) -> None:
        if self.text == "view" and self.passes != 2:
            raise ValueError(f"{self.name}: a view is told by another view, so passes are 2, not {self.passes}")

    @property
    def has_prompts(self) -> bool:
        """Whether it is read out by sentences: its last stage ended in a text tower."""
        return self.text in ("caption", "class-name") and self.finish == "none" and self.layer_on is None


@dataclass(frozen=True)
class Settings:
    """What all runs share, whatever the arm: optimiser, schedule, batches and crops."""

    batch: int = 64
    rate: float = 2e-3
    decay: float = 0.1
    warmup: int = 40
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
    """A classifier of the line beside the shipped ones: a shipped network trained on fewer pictures of a class."""

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
        """Every run, seed by seed; a layer comes after the tower it is put on."""
        for seed in range(self.seeds):
            for arm in self.arms:
                yield Run(arm, seed)

    def configuration(self, read: Read) -> dict[str, Any]:
        """Every factor's value of an arm as it is read out, key by key: what a contrast's two sides are compared by."""
        arm = self.arm(read.arm)
        if arm.layer_on is not None:
            return {**self.configuration(replace(read, arm=arm.layer_on)), "head": "a layer on matched labels"}
        kept = (field.name for field in fields(Arm) if field.name not in ("name", "layer_on", "passes"))
        passes = self.settings.batch * arm.passes  # a step, of the first stage where there are two
        return {
            **{key: getattr(arm, key) for key in kept},
            "image_passes_per_step": passes,
            "head": HEADS[read.prompts],
        }


HEADS = {None: "a layer trained with the tower", BARE: "the class name as prompt", EIGHTY: "eighty prompts"}

_CLIP = Arm("clip-web")
_NAMES = replace(_CLIP, text="class-name")
_CLASSES = replace(_NAMES, loss="among-the-classes")
_LABELS = replace(_CLASSES, text="label")
_FIRST = replace(_CLIP, views="recoloured", finish="matched")
_TWICE = replace(_FIRST, passes=2)

ARMS = (
    _CLIP,
    *(replace(_CLIP, name=f"clip-web-overlap-{dose}", overlap=dose / 100) for dose in (25, 50, 100)),
    replace(_CLIP, name="clip-web-few", pictures=500),
    replace(_CLIP, name="clip-web-short", steps=STEPS // 4),
    replace(_CLIP, name="clip-narrow", pictures_of="narrow"),
    replace(_NAMES, name="names-web"),
    replace(_NAMES, name="names-narrow", pictures_of="narrow"),
    replace(_CLASSES, name="classes-web"),
    replace(_CLASSES, name="classes-narrow", pictures_of="narrow"),
    replace(_LABELS, name="labels-web"),
    replace(_LABELS, name="labels-web-overlap-100", overlap=1.0),
    replace(_LABELS, name="labels-narrow", pictures_of="narrow"),
    replace(_LABELS, name="labels-narrow-few", pictures_of="narrow", pictures=500),
    replace(_FIRST, name="captions-then-matched"),
    replace(_TWICE, name="captions-twice-then-matched"),
    replace(_TWICE, name="views-then-matched", text="view"),
    replace(_TWICE, name="captions-twice-crops-then-matched", views="crops"),
    replace(_TWICE, name="views-crops-then-matched", text="view", views="crops"),
    Arm("layer-web", layer_on="clip-web"),
    Arm("layer-narrow", pictures_of="narrow", layer_on="clip-narrow"),
)

MEMBERS = tuple(
    Member(network, per_class)
    for network in ("linear", "mlp", "lenet", "cnn-tiny", "cnn-flat", "cnn-wide", "resnet", "vit", "convnext")
    for per_class in (10, 25, 70)
)

POCKET = Grid(ARMS, seeds=10, settings=Settings(), members=MEMBERS)
