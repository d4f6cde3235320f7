"""A network told apart by what it computes: a digest of its answers to two made-up pictures.

It changes with whatever the answers depend on, source or not: an imported file, a variable of the environment, other data.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from model_zoo.encoder import TextTower
from model_zoo.memory.random_states import kept_random_states
from model_zoo.memory.text import PROMPTS
from model_zoo.pixels import PixelSpec
from model_zoo.sources.forward_pass import Embed, varied

VALUES = 64  # random projections of the answers
STEP = 1e-6  # they are rounded to, as a part of their size: float64 noise moves one in a million over an edge
COARSE = (
    1e-2  # the same of answers in float32, whose noise is 1e-6: another machine's may differ in one of 200 networks
)
DOUBLE = 50_000_000  # parameters up to which a network is run in float64


def answers_digest(
    module: nn.Module,
    pixels: PixelSpec,
    layer: str | None = None,
    embedding: Callable[[nn.Module], Embed] = lambda m: m,
) -> str:
    """SHA-256 of what a module answers, rounded; of a layer's output too where one is named.

    embedding  what is run of a module, where that is not its forward pass
    Equal on every machine but for rounding's edges. Noise has a fixed seed. A copy is run, where the module is small and can be
    copied. A network that cannot run has the digest of nothing: whoever evaluates it says why.
    """
    device = next((tensor.device for tensor in module.parameters()), torch.device("cpu"))
    pictures = varied(pixels, device, 2)
    small = sum(tensor.numel() for tensor in module.parameters()) <= DOUBLE
    for kind in (torch.float64, torch.float32) if small else (torch.float32,):
        hashed = hashlib.sha256()
        with _seeded(), _one_thread(kind == torch.float32), contextlib.suppress(Exception):
            twin = copy.deepcopy(module).to(kind) if kind == torch.float64 else module
            for answer in _answers(twin, embedding(twin), pictures.to(kind), layer):
                hashed.update(_rounded(answer, STEP if answer.dtype == torch.float64 else COARSE))
            return hashed.hexdigest()
    return ""


def texts_digest(text: TextTower) -> str:
    """SHA-256 of what a text tower answers to two prompts, rounded; of nothing where it cannot."""
    with _seeded(), _one_thread(True), contextlib.suppress(Exception), torch.inference_mode():
        answer = text.embed(text.tokenize(PROMPTS)).float()
        return hashlib.sha256(_rounded(answer, COARSE)).hexdigest()
    return ""


def _answers(module: nn.Module, embed: Embed, pictures: torch.Tensor, layer: str | None) -> list[torch.Tensor]:
    seen: list[Any] = []
    at = dict(module.named_modules()).get(layer or "") if layer else None
    hook = at.register_forward_hook(lambda _, __, output: seen.append(output)) if at is not None else None
    try:
        with torch.inference_mode():
            seen.append(embed(pictures))
            tokens = getattr(module, "forward_features", None)
            if layer and at is None and callable(tokens):
                seen.append(tokens(pictures))
    finally:
        if hook is not None:
            hook.remove()
    return [tensor for output in seen for tensor in _tensors(output)]


def _tensors(output: Any) -> Iterator[torch.Tensor]:
    if isinstance(output, torch.Tensor):
        yield output if output.dtype == torch.float64 else output.detach().float()
    elif isinstance(output, Mapping):
        yield from (tensor for value in output.values() for tensor in _tensors(value))
    elif isinstance(output, Sequence) and not isinstance(output, str):
        yield from (tensor for value in output for tensor in _tensors(value))


def _rounded(answer: torch.Tensor, step: float) -> bytes:
    values = answer.detach().cpu().double().reshape(-1).numpy()
    norm = float(np.linalg.norm(values))
    if not math.isfinite(norm) or norm == 0:
        return f"{answer.shape} {norm}".encode()
    scale = 2.0 ** round(math.log2(norm))
    draw = np.random.default_rng(0)
    kept = [round(float(values @ draw.standard_normal(len(values))) / scale / step) for _ in range(VALUES)]
    return f"{tuple(answer.shape)} {scale} {kept}".encode()


@contextlib.contextmanager
def _seeded() -> Iterator[None]:
    """Random numbers from a fixed seed; afterwards they go on as if none had been drawn."""
    with kept_random_states():
        torch.manual_seed(0)
        random.seed(0)
        np.random.seed(0)
        yield


@contextlib.contextmanager
def _one_thread(wanted: bool) -> Iterator[None]:
    """float32 sums depend on how many threads share them."""
    before = torch.get_num_threads()
    try:
        if wanted:
            torch.set_num_threads(1)
        yield
    finally:
        torch.set_num_threads(before)
