"""Every run and member through effrob itself, on the pocket suite; its records are what the report is made of.

Contrastive runs are asked for as `openclip:CONFIG@FILE`, the others are registered in this process under their names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import nn

import effrob
import model_zoo
from effrob.rows import Row
from model_zoo.from_checkpoint import read_state
from model_zoo.from_pocket import cards, pixels_of
from model_zoo.pixels import PixelSpec
from recipes.five_causes.arms import member_network, tower_of, weights_of, with_head
from recipes.five_causes.grid import Grid, Member, Run
from recipes.five_causes.tower import PIXELS, classifier
from recipes.five_causes.training import write_config

SETS = ("pocket", "pocket-v2", "pocket-r", "pocket-sketch", "pocket-object")
PROMPTS = ("openai", "name-only")


@dataclass(frozen=True)
class Measured:
    """One record: which run or member, read out by which head and prompts."""

    name: str
    head: str
    prompts: str | None
    row: Row


def heads_of(run: Run) -> tuple[str, ...]:
    """How a run is read out: with words, by its own layer, or by a probe on pocket-train's labels."""
    by_method = {
        "contrastive": ("zero-shot",), "labels": ("native",), "self-supervised": ("linear-probe",),
        "text-free-head": ("native",),
    }  # fmt: skip
    probed = run.arm.name in ("labels-4000", "clip-titles")  # the probes that others are compared with
    return by_method[run.arm.method] + (("linear-probe",) if probed else ())


def evaluate_run(run: Run, grid: Grid, data: Path, out: Path) -> list[Measured]:
    """Evaluate a finished run; what has a record is read, not computed."""
    file = weights_of(run.name, out)
    if run.arm.method == "contrastive":
        spec = f"openclip:{write_config(out)}@{file}"
    else:
        spec, features = run.name, "0" if run.arm.method == "self-supervised" else None
        model_zoo.register(spec, _loader(run, grid, out), pixels=PIXELS, features=features, replace=True)
    prompts = PROMPTS if run.arm.name == "clip-titles" else PROMPTS[:1]
    return _measured(run.name, spec, heads_of(run), prompts, data, out)


def evaluate_member(member: Member, data: Path, out: Path) -> list[Measured]:
    """Evaluate a baseline member."""
    file, pixels = weights_of(member.name, out), pixels_of(int(cards()[member.network]["side"]))
    _register(member.name, lambda: _filled(member_network(member), file), pixels)
    return _measured(member.name, member.name, ("native",), PROMPTS[:1], data, out)


def _register(name: str, loader: Callable[[], nn.Module], pixels: PixelSpec) -> None:
    model_zoo.register(name, loader, pixels=pixels, replace=True)


def _loader(run: Run, grid: Grid, out: Path) -> Callable[[], nn.Module]:
    file = weights_of(run.name, out)
    if run.arm.method == "text-free-head":

        def load_head() -> nn.Module:
            return _filled(with_head(tower_of(run, grid, out)), file)

        return load_head
    if run.arm.method == "self-supervised":

        def load_tower() -> nn.Module:
            network = classifier()
            network[0].load_state_dict(read_state(file))  # type: ignore[index]
            return network

        return load_tower
    return lambda: _filled(classifier(), file)


def _filled(network: nn.Module, file: Path) -> nn.Module:
    network.load_state_dict(read_state(file))
    return network


def _measured(
    name: str, spec: str, heads: tuple[str, ...], prompts: tuple[str, ...], data: Path, out: Path
) -> list[Measured]:
    rows = effrob.evaluate(
        spec,
        suite="pocket",
        shifts=SETS,
        head=heads,
        prompts=prompts,
        data=data,
        results=out / "results",
        cache=out / "cache",
        pixel_cache=out / "pixels",
        device="cpu",
        progress=False,
    )
    return [Measured(name, row.head, row.prompts, row) for row in rows]
