"""Each model of a request tried before the first image: loaded, proved against its library, and held to what its heads need.

A proof is kept in the cache under the model's digest and the versions of its libraries, so a model is tried once.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import model_zoo
from effrob.errors import stops_one_thing
from effrob.evaluation.request import Request
from effrob.evaluation.tasks import EvalTask
from effrob.evaluation.worker import ENCODERS, device_of
from effrob.features.transforms import exact_crop, normalise
from effrob.files import write_json
from effrob.heads.splits import draw_shots, missing_classes, no_features
from model_zoo.checkpoints.network import NotFetched, without_fetching
from model_zoo.encoder import Encoder, Identity
from model_zoo.proof import VERSION, Proof, prove
from shifts.bounds.files import read_json

PACKAGES = ("torch", "torchvision", "open_clip_torch", "timm", "transformers", "pillow", "peft")


def pixels(image: Image.Image, encoder: Encoder) -> torch.Tensor:
    """RGB picture -> (3, H, W) float32, as a run prepares it on the exact path."""
    if encoder.transform is not None:
        return encoder.transform(image).float()
    spec = encoder.pixels
    return normalise(torch.from_numpy(exact_crop(image, spec).copy())[None], spec)[0]


@functools.cache
def _versions() -> list[str]:
    installed = []
    for package in PACKAGES:
        try:
            installed.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return installed


def proof_file(cache: Path, identity: Identity) -> Path:
    """Where the proof of a model is kept: by its digest, layer and pixels, and by the libraries' versions."""
    about = [VERSION, identity.digest, identity.layer, identity.pixels.digest(), *_versions()]
    name = hashlib.sha256(json.dumps(about).encode()).hexdigest()
    return cache / "proofs" / identity.digest[:2] / f"{name}.json"


def cached_proof(cache: Path, identity: Identity) -> Proof | None:
    """The proof that is in the cache, or None."""
    try:
        return Proof.from_json(read_json(proof_file(cache, identity)))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def prove_encoder(encoder: Encoder, cache: Path | None = None, allow_nondeterminism: bool = False) -> Proof:
    """Prove a loaded model, and keep the proof where nothing is wrong. Raises ModelError saying what differs."""
    proof = prove(encoder, pixels)
    if proof.varies and not proof.wrong:
        if allow_nondeterminism:
            return proof
        raise model_zoo.ModelError(
            f"{encoder.identity.asked} gives answers that are no facts about a picture, so it is not evaluated: "
            f"{'; '.join(proof.varies)} ({proof.spread:.2g} of the largest number). Switch that off where the network is "
            f"built, or say --allow-nondeterminism, and its records hold how far answers vary"
        )
    if proof.wrong:
        raise model_zoo.ModelError(
            f"{encoder.identity.asked} would not be evaluated as its library means it, so it is not: {'; '.join(proof.wrong)}"
        )
    if cache is not None:
        write_json(proof_file(cache, encoder.identity), proof.as_json())
    return proof


class Trials:
    """The trials of one request.

    fetch    False, for a dry run: a model whose weights are not on this machine is not tried, and named in `untried`
    """

    def __init__(self, request: Request, fetch: bool = True) -> None:
        self.request, self._fetch = request, fetch
        self.untried: list[str] = []
        self.varying: dict[str, dict[str, Any]] = {}  # model -> what its answers depend on, where that is allowed
        self._device = "cpu" if request.engine == "ray" else device_of(request)
        self._results: dict[str, Proof | str | None] = {}

    def refused(self, tasks: Sequence[EvalTask], held: Sequence[str] = ()) -> dict[int, str]:
        """A sentence for each of `tasks`, by its place, that cannot end; loads every model that has no proof yet.

        held  models to try last and together, so that they stay loaded for the first pass
        """
        identities = {task.identity.asked: task.identity for task in tasks}
        for spec in (name for name in identities if name not in held):
            self._try(identities[spec])
        ENCODERS.make_room(tuple(held))
        for spec in (name for name in identities if name in held):
            self._try(identities[spec])
        sentences = {number: self._sentence(task) for number, task in enumerate(tasks)}
        return {number: sentence for number, sentence in sentences.items() if sentence is not None}

    def _try(self, identity: Identity) -> None:
        proof = cached_proof(self.request.cache, identity)
        if proof is not None:
            self._results[identity.asked] = proof
            return
        try:
            with contextlib.nullcontext() if self._fetch else without_fetching():
                encoder = ENCODERS.load(identity.asked, self._device, self.request.allow_nondeterminism)
                proof = prove_encoder(encoder, self.request.cache, self.request.allow_nondeterminism)
                self._results[identity.asked] = proof
                if proof.varies:
                    self.varying[identity.asked] = {"what": list(proof.varies), "spread": proof.spread, "images": 3}
        except NotFetched as error:
            self._results[identity.asked] = f"{identity.asked}: {error}" if self._fetch else None
            self.untried += [] if self._fetch else [identity.asked]
        except BaseException as error:  # a user's network may raise anything
            self._results[identity.asked] = f"{identity.asked}: {stops_one_thing(error)}"

    def _sentence(self, task: EvalTask) -> str | None:
        """Why a task cannot end; None where nothing speaks against it."""
        result = self._results[task.identity.asked]
        if isinstance(result, str):
            return result
        if result is None:
            return None if task.train is None else _cannot_teach(task)
        if task.head.name == "zero-shot" and result.text_wrong is not None:
            return f"{task.identity.asked}: no zero-shot head: {result.text_wrong}"
        if task.train is None:
            return None
        if result.kind == "logits":
            return no_features(task.identity.asked)
        return _cannot_teach(task)


def _cannot_teach(task: EvalTask) -> str | None:
    """Why the task's training set does not do for its head; None where it does."""
    train = task.train
    assert train is not None
    targets, classes = np.asarray(train.targets), len(train.labels.parent_ids)
    missing = missing_classes(train.name, targets, classes, task.head.name)
    if missing is not None:
        return missing
    name, _, shots = task.head.name.partition("@")[0].rpartition("-")
    if name == "few-shot" and shots.isdigit():
        try:
            draw_shots(targets, classes, int(shots), 0)
        except ValueError as error:
            return f"{task.head.name} on {train.name}: {error}"
    return None
