"""Every run and member through effrob itself, on the pocket suite; its records are what the report is made of.

Contrastive runs are asked for as `openclip:CONFIG@FILE`, the others are registered in this process under their names.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import effrob
import model_zoo
from effrob.robustness.rows import Row
from model_zoo.sources.from_pocket import cards, pixels_of
from recipes.five_causes.arms import weights_of
from recipes.five_causes.grid import Grid, Member, Run
from recipes.five_causes.loaders import member_loader, run_loader
from recipes.five_causes.tower import PIXELS
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
    if run.arm.method == "contrastive":
        spec = f"openclip:{write_config(out)}@{weights_of(run.name, out)}"
    else:
        spec, features = run.name, "0" if run.arm.method == "self-supervised" else None
        model_zoo.register(spec, run_loader(run, grid, out), pixels=PIXELS, features=features, replace=True)
    prompts = PROMPTS if run.arm.name == "clip-titles" else PROMPTS[:1]
    return _measured(run.name, spec, heads_of(run), prompts, data, out)


def evaluate_member(member: Member, data: Path, out: Path) -> list[Measured]:
    """Evaluate a baseline member."""
    pixels = pixels_of(int(cards()[member.network]["side"]))
    model_zoo.register(member.name, member_loader(member, out), pixels=pixels, replace=True)
    return _measured(member.name, member.name, ("native",), PROMPTS[:1], data, out)


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
        pixels="exact",  # as the networks were trained
        device="cpu",
        progress=False,
    )
    return [Measured(name, row.head, row.prompts, row) for row in rows]
