"""Schemes: a table and entry points, resolved late, without torch until a model is asked for."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest
import torch

import model_zoo
from model_zoo import ModelError, UnknownModel, providers
from model_zoo.encoder import Classifier, Encoder, Identity
from model_zoo.spec import ModelSpec

PIXELS = model_zoo.PixelSpec((8, 8), (8, 8))


class Fake:
    """A third party's provider."""

    def identify(self, spec: ModelSpec) -> Identity:
        return Identity(spec, str(spec), "digest", PIXELS, n_classes=3)

    def load(self, spec: ModelSpec, device: torch.device) -> Encoder:
        assert isinstance(device, torch.device)
        return Encoder(
            self.identify(spec), device, lambda x: x.mean(dim=(2, 3)), "logits", 3, classifier=Classifier(None, None, 3)
        )

    def names(self) -> list[str]:
        return ["mean"]


fake = Fake()


def offered(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    point = EntryPoint(name, f"{__name__}:fake", providers.ENTRY_POINTS)
    monkeypatch.setattr(providers, "entry_points", lambda group: [point] if group == providers.ENTRY_POINTS else [])


def test_a_third_partys_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    offered(monkeypatch, "fake")
    assert model_zoo.identify("fake:mean").n_classes == 3
    model_zoo.check_encoder(model_zoo.load("fake:mean"))
    assert model_zoo.names("fake") == ["mean"]


def test_two_providers_of_one_scheme_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    offered(monkeypatch, "timm")
    with pytest.raises(ModelError, match="two packages offer"):
        model_zoo.identify("timm:resnet50")


def test_unknown_schemes_suggest_near_ones() -> None:
    with pytest.raises(UnknownModel, match="near: openclip"):
        model_zoo.identify("open_clip:ViT-B-32")


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "cuda"])
def test_devices_that_are_not_there(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    offered(monkeypatch, "fake")
    with pytest.raises(ModelError, match="cpu"):
        model_zoo.load("fake:mean", device)


def test_reading_specs_and_registrations_loads_no_torch() -> None:
    code = (
        "import sys, model_zoo; model_zoo.parse('timm:x'); model_zoo.PixelSpec((1, 1), (1, 1)); model_zoo.names();"
        "model_zoo.register('a', print, pixels=model_zoo.PixelSpec((1, 1), (1, 1))); model_zoo.schemes();"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_public_names_are_there() -> None:
    for name in model_zoo.__all__:
        assert getattr(model_zoo, name) is not None
    with pytest.raises(AttributeError):
        _ = model_zoo.nothing_of_that_name


class Flawed:
    """Encoders that break one promise each."""

    @staticmethod
    def of(embed: object, dim: int = 3) -> Encoder:
        return Encoder(Identity(ModelSpec("x", "y"), "x:y", "d", PIXELS), torch.device("cpu"), embed, "logits", dim)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("embed", "told"),
    [
        (lambda x: x.mean(dim=(2, 3))[:, :2], "wanted"),
        (lambda x: x.mean(dim=(2, 3)) / 0, "not finite"),
        (lambda x: x.mean(dim=(2, 3)) + torch.rand(1), "second time"),
        (lambda x: x.mean(dim=(2, 3)) - x.mean(), "depend on the others"),
        (lambda x: x.mean(dim=(2, 3)).double(), "float64"),
    ],
)
def test_check_encoder_finds_flaws(embed: object, told: str) -> None:
    with pytest.raises(ModelError, match=told):
        model_zoo.check_encoder(Flawed.of(embed))
