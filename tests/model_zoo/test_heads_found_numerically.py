"""Classifiers that are more than a matrix and a bias: found on the features a probe reads, or left as logits, never wrong."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

import model_zoo
from effrob.evaluation.trials import prove_encoder
from model_zoo import ModelError, PixelSpec

SPEC = PixelSpec((16, 16), (16, 16))


class Body(nn.Module):
    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(3, 12, 5, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
        self.head = head

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x))


class Cosine(nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 16 * functional.linear(functional.normalize(x, dim=-1), functional.normalize(self.weight, dim=-1))


class CosineOfItsOwn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(10, 48))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.normalize(x, dim=-1) @ functional.normalize(self.weight, dim=-1).T


class Standardised(nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = (self.weight - self.weight.mean(1, keepdim=True)) / self.weight.std(1, keepdim=True)
        return functional.linear(x, weight, self.bias)


class Scaled(Body):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 30 * super().forward(x) - 2


class Normalising(Body):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(functional.normalize(self.body(x), dim=-1))


class Softmax(Body):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x).softmax(dim=1)


class Noisy(Body):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(functional.dropout(self.body(x), 0.3))


class OverTheBatch(Body):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features = self.body(x)
        return self.head(features - features.mean(dim=0))


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda: Body(nn.Linear(48, 10)), "penultimate"),
        (lambda: Body(nn.Linear(48, 10, bias=False)), "penultimate"),
        (lambda: Body(nn.Sequential(nn.Dropout(0.5), nn.Linear(48, 10))), "penultimate"),
        (lambda: Body(nn.utils.parametrizations.weight_norm(nn.Linear(48, 10))), "penultimate"),
        (lambda: Body(Cosine(48, 10)), "penultimate"),
        (lambda: Body(CosineOfItsOwn()), "penultimate"),
        (lambda: Body(Standardised(48, 10)), "penultimate"),
        (lambda: Scaled(nn.Linear(48, 10)), "penultimate"),
        (lambda: Normalising(nn.Linear(48, 10)), "penultimate"),
        (lambda: Softmax(nn.Linear(48, 10)), "logits"),
        (lambda: Body(nn.Sequential(nn.Linear(48, 10), nn.Tanh())), "logits"),
    ],
)
def test_scores_of_the_head_are_the_networks(make: object, kind: str) -> None:
    torch.manual_seed(1)
    network = make().eval()  # type: ignore[operator]
    batch = torch.randn(5, 3, 16, 16)
    with torch.inference_mode():
        expected = network(batch)
    model_zoo.register("net", lambda: network, pixels=SPEC, replace=True)
    encoder = model_zoo.load("net")
    assert encoder.kind == kind
    with torch.inference_mode():
        features = encoder.embed(batch)
        head = encoder.classifier
        scores = features if head.weight is None else functional.linear(features, head.weight, head.bias)
    assert torch.allclose(scores, expected, atol=1e-4 * float(expected.abs().max()))
    prove_encoder(encoder)


def test_noise_in_evaluation_is_refused() -> None:
    model_zoo.register("net", lambda: Noisy(nn.Linear(48, 10)), pixels=SPEC)
    with pytest.raises(ModelError, match=r"second time.*dropout"):
        model_zoo.load("net")


def test_a_network_that_looks_over_its_batch_is_refused() -> None:
    model_zoo.register("net", lambda: OverTheBatch(nn.Linear(48, 10)), pixels=SPEC)
    with pytest.raises(ModelError, match="depend on the others in its batch"):
        prove_encoder(model_zoo.load("net"))
