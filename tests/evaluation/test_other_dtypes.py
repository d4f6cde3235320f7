"""Networks whose weights are float64: evaluated in float32 with a note, or as they are where they compute in float64 alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import effrob
import model_zoo
from model_zoo.errors import ModelError
from model_zoo.sources.from_callable import Loader, find, identity_of, live, module_of

PIXELS = model_zoo.PixelSpec((32, 32), (32, 32), mean=(0.5,) * 3, std=(0.5,) * 3)
NOTE = "its weights are not float32"
FILE = """
import torch
from torch import nn
torch.set_default_dtype(torch.float64)
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.set_default_dtype(torch.float64)
        self.layer = nn.Linear(3, 20)
        with torch.no_grad():
            self.layer.weight.copy_(torch.arange(60).reshape(20, 3) / 60)
            self.layer.bias.zero_()
    def forward(self, pictures):
        return self.layer(pictures.mean((2, 3))) + torch.zeros(20)
"""


class Net(nn.Module):
    """Features by a convolution; double: pictures are made float64 in its forward pass."""

    def __init__(self, double: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body, self.classifier, self.double_inside = nn.Conv2d(3, 8, 3, 2), nn.Linear(8, 20), double

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        pictures = pictures.double() if self.double_inside else pictures
        features = self.body(pictures).relu().mean((2, 3))
        return self.classifier(features) + torch.zeros(20)  # of the process's default dtype


@pytest.fixture
def doubles() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def own(name: str, net: nn.Module, options: dict[str, Any]) -> int:
    """Images right, by the network's own classifier."""
    (row,) = effrob.evaluate(net, name=name, preprocess=PIXELS, head="native", **options)
    return int(np.load(Path(row.record) / "predictions.npz")["correct"].sum())


def test_objects_made_under_float64_answer_as_their_float32_twin(options: dict[str, Any], doubles: None) -> None:
    double = own("double", Net(), options)
    assert torch.get_default_dtype() == torch.float64
    assert double == own("single", Net().float(), options) == own("inside", Net(double=True), options)


def loaders(net: nn.Module) -> Loader:
    return live("mine", lambda: net)


def test_a_loaders_float64_weights_are_evaluated_in_float32_and_said(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(FILE)
    loader = find(f"{file}:Net")
    built = identity_of(loader, PIXELS, None)
    assert NOTE in built.notes[0] and built.n_outputs == 20
    assert torch.get_default_dtype() == torch.float32
    assert {tensor.dtype for tensor in module_of(loader, PIXELS, None).parameters()} == {torch.float32}
    assert {tensor.dtype for tensor in module_of(loader, PIXELS, None).parameters()} == {torch.float32}  # called again
    assert identity_of(loaders(Net().double()), PIXELS, None).notes == built.notes
    inside = loaders(Net(double=True).double())
    assert not identity_of(inside, PIXELS, None).notes
    assert {tensor.dtype for tensor in module_of(inside, PIXELS, None).parameters()} == {torch.float64}


def test_advice_on_another_dtype_mends_it() -> None:
    net = Net(double=True).float()
    with pytest.raises(ModelError, match=r"float32 .*leave \.double\(\) and \.half\(\) out") as refused:
        identity_of(loaders(net), PIXELS, None)
    assert "--pixels" not in str(refused.value)
    net.double_inside = False
    assert identity_of(loaders(net), PIXELS, None).n_outputs == 20
