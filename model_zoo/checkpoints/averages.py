"""Averages that a Lightning module keeps inside its own state dict, as LitEma of latent diffusion's trainers names them.

LitEma stores `model_ema.decay`, `model_ema.num_updates` and each averaged parameter under its name without the dots.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch

from model_zoo.errors import ModelError, listed

COUNTERS = ("decay", "num_updates")


def averages_in(names: Iterable[str]) -> str | None:
    """The name LitEma's averages stand under (`model_ema`), or None where a state dict holds none."""
    held = set(names)
    for name in held:
        part, _, last = name.rpartition(".")
        if part and last == COUNTERS[1] and f"{part}.{COUNTERS[0]}" in held:
            return part
    return None


def without_averages(state: Mapping[str, torch.Tensor], part: str) -> dict[str, torch.Tensor]:
    """The raw weights alone."""
    return {name: value for name, value in state.items() if not name.startswith(f"{part}.")}


def averaged(state: Mapping[str, torch.Tensor], part: str, path: Path) -> dict[str, torch.Tensor]:
    """The raw names with the averages in place of the values they are of; what was not averaged (buffers) stays.

    Raises ModelError where an average belongs to no raw name, or to more than one.
    """
    raw = without_averages(state, part)
    inside = {name.removeprefix(f"{part}."): value for name, value in state.items() if name not in raw}
    values = {name: value for name, value in inside.items() if name not in COUNTERS}
    for prefix in _prefixes(raw):
        of: dict[str, list[str]] = {}
        for name in raw:
            if name.startswith(prefix):
                of.setdefault(name.removeprefix(prefix).replace(".", ""), []).append(name)
        if values and all(
            len(of.get(name, ())) == 1 and raw[of[name][0]].shape == value.shape for name, value in values.items()
        ):
            return {**raw, **{of[name][0]: value for name, value in values.items()}}
    raise ModelError(
        f"{path} holds averaged weights under {part!r} whose names without dots ({listed(list(values), 3)}) do not each "
        f"belong to one raw weight: in the trainer call {part}.copy_to(MODEL), and save MODEL.state_dict()"
    )


def _prefixes(names: Iterable[str]) -> list[str]:
    """Every dotted beginning of the names, shortest first: the averaged module is one of them."""
    found = {""}
    for name in names:
        words = name.split(".")
        found.update(".".join(words[:depth]) + "." for depth in range(1, len(words)))
    return sorted(found, key=lambda prefix: (prefix.count("."), prefix))
