"""The weights taken when a spec names none, and trainers' arguments that need no reading, from data/. Loads no library.

timm's and torchvision's defaults are those libraries' own, so they are not listed.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files


@cache
def table(scheme: str) -> dict[str, str]:
    """Name -> weights of one scheme; ARCH@tag where the published weights belong to an architecture's QuickGELU twin."""
    every: dict[str, dict[str, str]] = json.loads(files("model_zoo").joinpath("data/defaults.json").read_text())
    return dict(every.get(scheme, {})) if scheme != "about" else {}


@cache
def inert_arguments(trainer: str) -> frozenset[str]:
    """Arguments of open_clip's or timm's trainer that change nothing of a trained network in evaluation, nor its pictures."""
    every: dict[str, list[str]] = json.loads(files("model_zoo").joinpath("data/trainer_arguments.json").read_text())
    return frozenset(every[trainer])


def default_weights(scheme: str, name: str) -> str | None:
    """The documented weights of `scheme:name`, or None where the table has none (see `table` for the two forms)."""
    return table(scheme).get(name)


def default_spec(scheme: str, name: str) -> str:
    """The spec that `scheme:name` stands for: `openclip:RN50` is `openclip:RN50-quickgelu@openai`; itself if unlisted."""
    weights = default_weights(scheme, name)
    if weights is None:
        return f"{scheme}:{name}"
    return f"{scheme}:{weights}" if "@" in weights else f"{scheme}:{name}@{weights}"
