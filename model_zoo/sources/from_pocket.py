"""`pocket:NAME`: the tiny models that ship with the package, for the pocket sets of `shifts`.

A dozen and a half classifiers of 20 classes, described in data/pocket/models.json, and one open_clip model in
open_clip's own configuration and checkpoint format. Their training is `recipes/pocket.py`; nothing is fetched.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from torch import nn

from model_zoo.checkpoints.files import file_digest
from model_zoo.checkpoints.state import fit_state, read_state
from model_zoo.encoder import Encoder, Identity
from model_zoo.errors import ModelError, UnknownModel, suggest
from model_zoo.pixels import PixelSpec
from model_zoo.sources.from_module import supervised
from model_zoo.sources.from_openclip import provider as openclip
from model_zoo.sources.from_pocket_networks import build
from model_zoo.spec import ModelSpec

FOLDER = Path(str(files("model_zoo") / "data" / "pocket"))
N_CLASSES = 20
MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)


@cache
def cards() -> dict[str, dict[str, Any]]:
    """Name -> what is known of the model: family, network, side, training, and whether it is a baseline member."""
    described: dict[str, dict[str, Any]] = json.loads((FOLDER / "models.json").read_text(encoding="utf-8"))["models"]
    return described


def pixels_of(side: int) -> PixelSpec:
    """The pocket classifiers' preprocessing: short side to `side`, centre crop."""
    return PixelSpec((side, side), (side, side), "shortest", "bicubic", MEAN, STD)


def untrained(name: str) -> nn.Module:
    """A classifier's network as its card describes it."""
    card = cards()[name]
    return build(card["network"], int(card["side"]), N_CLASSES)


class PocketProvider:
    """The scheme `pocket`."""

    def names(self) -> list[str]:
        return list(cards())

    def identify(self, spec: ModelSpec) -> Identity:
        card = self._card(spec)
        if card["kind"] == "contrastive":
            return replace(openclip.identify(_files(spec)), spec=ModelSpec("pocket", spec.name), asked=str(spec))
        about = json.dumps(["pocket", card["network"], card["side"], file_digest(_weights(spec.name))], sort_keys=True)
        return Identity(
            spec=ModelSpec("pocket", spec.name),
            asked=str(spec),
            digest=hashlib.sha256(about.encode()).hexdigest(),
            pixels=pixels_of(int(card["side"])),
            n_classes=N_CLASSES,
        )

    def network(self, spec: ModelSpec) -> nn.Module:
        """The classifier or the image tower with its weights, on the CPU."""
        if self._card(spec)["kind"] == "contrastive":
            return openclip.network(_files(spec))
        module, file = untrained(spec.name), _weights(spec.name)
        fit_state(module, read_state(file), file, str(spec))
        return module

    def load(self, spec: ModelSpec, device: torch.device) -> Encoder:
        identity = self.identify(spec)
        if identity.has_text:
            return replace(openclip.load(_files(spec), device), identity=identity)
        return supervised(self.network(spec), identity, device)

    def _card(self, spec: ModelSpec) -> dict[str, Any]:
        if spec.name not in cards():
            known = ", ".join(cards())
            raise UnknownModel(f"there is no pocket model {spec.name!r}{suggest(spec.name, cards())}; they are {known}")
        if spec.weights is not None:
            raise ModelError(
                f"pocket models come with their weights: write pocket:{spec.name}, without @{spec.weights}"
            )
        return cards()[spec.name]


def _weights(name: str) -> Path:
    file = FOLDER / f"{name}.safetensors"
    if not file.is_file():
        raise ModelError(f"the weights of pocket:{name} are not installed ({file} is missing); reinstall effrob")
    return file


def _files(spec: ModelSpec) -> ModelSpec:
    """The same model as open_clip names it: a configuration file and a checkpoint."""
    return ModelSpec("openclip", str(FOLDER / f"{spec.name}.json"), str(_weights(spec.name)))


provider = PocketProvider()
