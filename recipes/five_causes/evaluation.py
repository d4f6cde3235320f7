"""Runs and members through effrob itself, on the pocket suite, many in one pass over each set; its records are what the
report is made of.

Runs with a text tower are asked for as `openclip:CONFIG@FILE`, the others are registered in this process by their names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import effrob
import model_zoo
from effrob.robustness.rows import Row
from model_zoo.sources.from_pocket import cards, pixels_of
from recipes.five_causes.arms import weights_of
from recipes.five_causes.grid import BARE, EIGHTY, READ_TWICE, Grid, Member, Run
from recipes.five_causes.loaders import member_loader, run_loader
from recipes.five_causes.tower import PIXELS
from recipes.five_causes.training import write_config

REFERENCE = "pocket:clip"  # the shipped contrastive model: a tenth of its effective robustness is the margin
SETS = ("pocket", "pocket-v2", "pocket-r", "pocket-sketch", "pocket-object")


@dataclass(frozen=True)
class Measured:
    """One record: which run or member, read out by which head and prompts."""

    name: str
    head: str
    prompts: str | None
    row: Row


def evaluate_runs(runs: Sequence[Run], grid: Grid, data: Path, out: Path) -> list[Measured]:
    """Evaluate finished runs; what has a record is read, not computed."""
    told: dict[str, str] = {}
    plain: dict[str, str] = {}
    for run in runs:
        if run.arm.has_prompts:
            told[run.name] = f"openclip:{write_config(out)}@{weights_of(run.name, out)}"
        else:
            model_zoo.register(run.name, run_loader(run, grid, out), pixels=PIXELS, replace=True)
            plain[run.name] = run.name
    twice = {run.name: told[run.name] for run in runs if run.arm.name in READ_TWICE}
    return [
        *_measured(told, "zero-shot", BARE, data, out),
        *_measured(twice, "zero-shot", EIGHTY, data, out),
        *_measured(plain, "native", EIGHTY, data, out),
    ]


def evaluate_members(members: Sequence[Member], data: Path, out: Path) -> list[Measured]:
    """Evaluate baseline members."""
    for member in members:
        pixels = pixels_of(int(cards()[member.network]["side"]))
        model_zoo.register(member.name, member_loader(member, out), pixels=pixels, replace=True)
    return _measured({member.name: member.name for member in members}, "native", EIGHTY, data, out)


def evaluate_reference(data: Path, out: Path) -> list[Measured]:
    """Evaluate the model that the margin is measured by."""
    return _measured({REFERENCE: REFERENCE}, "zero-shot", EIGHTY, data, out)


def _measured(specs: dict[str, str], head: str, prompts: str, data: Path, out: Path) -> list[Measured]:
    """Rows of models, by name -> specification, in their order."""
    if not specs:
        return []
    rows = effrob.evaluate(
        list(specs.values()),
        suite="pocket",
        shifts=SETS,
        head=(head,),
        prompts=(prompts,),
        data=data,
        results=out / "results",
        cache=out / "cache",
        pixel_cache=out / "pixels",
        pixels="exact",  # as the networks were trained
        device="cpu",
        progress=False,
    )
    named = [name for name in specs for _ in SETS]
    return [Measured(name, row.head, row.prompts, row) for name, row in zip(named, rows, strict=True)]
