"""Image classifiers of transformers, saved to a folder: their logits, their features, and pictures to within a level."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

import model_zoo
from effrob.features.transforms import exact_crop
from model_zoo import ModelError, UnknownModel
from model_zoo.proof import pictures
from model_zoo.sources.hf.processors import pixels_of

transformers = pytest.importorskip("transformers")

VIT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64, "image_size": 32}


@pytest.fixture
def folder(tmp_path: Path) -> tuple[Path, Any]:
    torch.manual_seed(0)
    config = transformers.ViTConfig(**VIT, patch_size=8, num_labels=1000)
    model = transformers.ViTForImageClassification(config).eval()
    model.save_pretrained(tmp_path / "vit")
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path / "vit")
    return tmp_path / "vit", model


def test_a_saved_folder(folder: tuple[Path, Any]) -> None:
    path, model = folder
    identity = model_zoo.identify(f"transformers:{path}")
    assert (identity.n_classes, identity.pixels.mode, identity.pixels.size) == (1000, "squash", (32, 32))
    encoder = model_zoo.load(f"transformers:{path}")
    assert (encoder.kind, encoder.dim) == ("penultimate", 32)
    pictures = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        logits = functional.linear(encoder.embed(pictures), encoder.classifier.weight, encoder.classifier.bias)
        assert torch.allclose(logits, model(pictures).logits, atol=1e-5)
    model_zoo.check_encoder(encoder)


def test_weights_change_the_digest(folder: tuple[Path, Any]) -> None:
    path, model = folder
    before = model_zoo.identify(f"transformers:{path}").digest
    with torch.no_grad():
        model.classifier.bias.add_(1)
    model.save_pretrained(path)
    assert model_zoo.identify(f"transformers:{path}").digest != before


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("ViTImageProcessor", {"size": {"height": 48, "width": 32}}),
        ("SiglipImageProcessor", {"size": {"height": 32, "width": 32}}),
        ("BitImageProcessor", {"size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 32}}),
        ("CLIPImageProcessor", {"size": {"shortest_edge": 41}, "crop_size": {"height": 32, "width": 32}}),
    ],
)
def test_generic_processors_are_read_as_data_to_a_level(kind: str, settings: dict[str, Any]) -> None:
    processor = getattr(transformers, kind)(**settings)
    spec, prepare = pixels_of(processor, kind)
    assert prepare is None
    for picture in pictures():
        theirs = processor(picture, return_tensors="pt", do_normalize=False)["pixel_values"][0].permute(1, 2, 0) * 255
        ours = torch.from_numpy(exact_crop(picture, spec).copy()).float()
        assert ours.shape == theirs.shape
        assert (ours - theirs).abs().max() < 3.5
        assert (ours - theirs).abs().mean() < 0.3


@pytest.mark.parametrize(
    "kind", ["ConvNextImageProcessor", "EfficientNetImageProcessor", "MobileViTImageProcessor", "LevitImageProcessor"]
)
def test_processors_with_a_step_of_their_own_are_called_as_they_are(kind: str) -> None:
    spec, prepare = pixels_of(getattr(transformers, kind)(), kind)
    assert spec.opaque is not None and prepare is not None


def test_what_cannot_be_used_says_so(folder: tuple[Path, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, _ = folder
    monkeypatch.setattr("model_zoo.checkpoints.network._resolvable", lambda url: False)
    with pytest.raises(UnknownModel, match="there is no folder"):
        model_zoo.identify(f"transformers:{tmp_path / 'none'}")
    with pytest.raises(ModelError, match="could not be fetched"):
        model_zoo.identify("transformers:nobody/nothing-of-that-name")
    with pytest.raises(ModelError, match="no revisions"):
        model_zoo.identify(f"transformers:{path}@main")
    with pytest.raises(ModelError, match="no fixed size"):
        pixels_of(transformers.ViTImageProcessor(size={"shortest_edge": 32}), "x")
    (path / "preprocessor_config.json").unlink()
    with pytest.raises(ModelError, match=r"save_pretrained\('"):
        model_zoo.identify(f"transformers:{path}")
