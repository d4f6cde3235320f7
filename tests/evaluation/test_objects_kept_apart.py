"""What hangs on an object beside its weights: functions that close over it, factors in mappings, texts; and threads."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import effrob
import model_zoo
from effrob.evaluation.in_memory import undisturbed
from model_zoo.memory.model import from_memory

PIXELS = model_zoo.PixelSpec((32, 32), (32, 32), mean=(0.5,) * 3, std=(0.5,) * 3)
SEEN: list[torch.Tensor] = []
FACTOR = {"text": 1.0}


def net() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(3, 8, 5, 2), nn.BatchNorm2d(8), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, 20)
    )


def compiled(model: nn.Module) -> nn.Module:
    model.forward = torch.compile(model.forward, backend="eager")  # type: ignore[method-assign]
    return model


def closing(model: nn.Module) -> nn.Module:
    own = model.forward
    model.forward = lambda pictures: 2 * own(pictures)  # type: ignore[method-assign]
    return model


def hooked(model: nn.Module) -> nn.Module:
    collected: list[torch.Tensor] = []
    model[1].register_forward_hook(lambda _, __, output: collected.append(output.detach()))  # type: ignore[index]
    model.collected = lambda: list(collected)  # type: ignore[assignment]
    return model


def hooked_by_a_script(model: nn.Module) -> nn.Module:
    model[1].register_forward_hook(lambda _, __, output: SEEN.append(output.detach()))  # type: ignore[index]
    model.collected = lambda: list(SEEN)  # type: ignore[assignment]
    return model


class Outside(nn.Module):
    """A backbone that is no child: it is reached through a function."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.head = nn.Linear(20, 20)
        self.features = lambda pictures: backbone(pictures)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(pictures))


@pytest.mark.parametrize("dressed", [compiled, closing, hooked, hooked_by_a_script, Outside])
def test_functions_that_reach_the_object_reach_its_copy(
    dressed: Callable[[nn.Module], nn.Module], options: dict[str, Any]
) -> None:
    SEEN.clear()
    inner = net()
    model = dressed(inner).train()
    pictures = torch.randn(4, 3, 32, 32)
    model(pictures)
    collected = getattr(model, "collected", list)
    before = {name: tensor.clone() for name, tensor in inner.state_dict().items()}, len(collected())
    (row,) = effrob.evaluate(model, preprocess=PIXELS, name="dressed", **options)
    assert row.accuracy is not None and model.training and inner[1].training
    assert all(torch.equal(tensor, before[0][name]) for name, tensor in inner.state_dict().items())
    assert len(collected()) == before[1] and all(p.requires_grad for p in inner.parameters())
    model(pictures)
    assert int(inner[1].num_batches_tracked) == int(before[0]["1.num_batches_tracked"]) + 1


class Towers(nn.Module):
    """An adapter's factor in a mapping, as peft keeps it, on the side of the texts alone."""

    def __init__(self) -> None:
        super().__init__()
        self.visual, self.words, self.logit_scale = (
            nn.Linear(3072, 8),
            nn.Embedding(64, 8),
            nn.Parameter(torch.zeros(())),
        )
        self.scaling = {"default": 0.0}

    def encode_image(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.visual(pictures.flatten(1))

    def encode_text(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.words(tokens).mean(1) + self.scaling["default"] + FACTOR["text"]


def tokens(prompts: list[str]) -> torch.Tensor:
    return torch.tensor([[ord(letter) % 64 for letter in prompt.ljust(40)[:40]] for prompt in prompts])


def test_what_the_text_tower_computes_is_part_of_the_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = Towers()

    def digest() -> str:
        return from_memory(model, PIXELS, "towers", tokens).identity.digest

    first = digest()
    assert digest() == first
    model.scaling["default"] = 8.0
    second = digest()
    monkeypatch.setitem(FACTOR, "text", 3.0)  # kept nowhere in the object
    assert len({first, second, digest()}) == 3


def test_evaluations_at_once_leave_the_random_states_of_before_the_first() -> None:
    def states() -> tuple[str, str, bytes]:
        return repr(random.getstate()), repr(np.random.get_state()), torch.get_rng_state().numpy().tobytes()

    def evaluation(start: float, length: float) -> None:
        time.sleep(start)
        with undisturbed():
            torch.manual_seed(0), random.seed(0), np.random.seed(0)
            time.sleep(length)
            torch.rand(3), random.random(), np.random.rand()

    before = states()
    for length in (0.05, 0.3):  # the first ends before the second, and after it
        threads = [threading.Thread(target=evaluation, args=each) for each in ((0.0, 0.15), (0.05, length))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert states() == before
