"""One evaluation as a user asks for it: every option of `effrob eval` with its default. Plain data; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import shifts
from effrob.errors import UsageProblem, suggest
from effrob.features.precision import PRECISIONS
from shifts.catalogue import check_names
from shifts.storage.kept_places import cache_folder, expanded

PIXEL_PATHS = ("exact", "fast", "nvjpeg")
ENGINES = ("local", "torchrun", "ray")
DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True)
class Request:
    """One `effrob eval`, complete: paths are absolute, `shifts` None means every set of the suite that is found.

    suite    a shipped or added suite by name, or the path of a TOML file
    prompts  none: the suite's templates
    train    names the labelled set that heads learn from; None is the suite's own (`imagenet-train`, `pocket-train`)
    at       (set, its own folder or file), before what `data` holds; follow_links: links may leave a set's folder
    allow_nondeterminism  answers that depend on batch, order, calls or chance are recorded with their spread, and not refused
    limit and train_limit count images (training: a class); batch_size images a forward pass.
    """

    models: tuple[str, ...]
    shifts: tuple[str, ...] | None = None
    suite: str = "imagenet"
    heads: tuple[str, ...] = ()
    prompts: tuple[str, ...] = ()
    protocol: str = "effrob"
    data: Path | None = None
    results: Path = field(default_factory=lambda: Path("effrob-results"))
    cache: Path = field(default_factory=cache_folder)
    pixel_cache: Path | None = None
    device: str = "auto"
    precision: str = "fp32"
    pixels: Literal["exact", "fast", "nvjpeg"] = "exact"
    batch_size: int = 64
    limit: int | None = None
    partial: bool = False
    train: str | None = None
    train_limit: int | None = None
    engine: str = "local"
    address: str | None = None
    progress: bool = True
    at: tuple[tuple[str, Path], ...] = ()
    follow_links: bool = False
    allow_nondeterminism: bool = False

    def __post_init__(self) -> None:
        for what, value, known in (
            ("device", self.device.split(":")[0], DEVICES),
            ("precision", self.precision, PRECISIONS),
            ("pixel path", self.pixels, PIXEL_PATHS),
            ("engine", self.engine, ENGINES),
        ):
            if value not in known:
                raise UsageProblem(f"no {what} is called {value!r}{suggest(value, known)}")
        for what, number in (("batch size", self.batch_size), ("limit", self.limit), ("train limit", self.train_limit)):
            if number is not None and number < 1:
                raise UsageProblem(f"the {what} must be at least 1, got {number}")
        object.__setattr__(self, "suite", str(self.suite))
        if self.suite.endswith(".toml"):
            object.__setattr__(self, "suite", str(expanded(self.suite).resolve()))
        check_names(
            dict(self.at), shifts.suite(self.suite)
        )  # raises for one that is not there, before anything is loaded
        if not self.models:
            raise UsageProblem("name at least one model: --model openclip:ViT-B-32")
        for name in ("results", "cache"):
            object.__setattr__(self, name, expanded(getattr(self, name)).resolve())
        places = tuple((name, expanded(place).resolve()) for name, place in dict(self.at).items())
        object.__setattr__(self, "at", places)
        for name in ("data", "pixel_cache"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, expanded(getattr(self, name)).resolve())
