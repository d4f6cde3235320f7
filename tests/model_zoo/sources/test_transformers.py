"""Image classifiers of transformers, saved to a folder: their logits, their features, and pictures to within a level."""

from __future__ import annotations

import json
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


def test_broken_folders_say_what_is_broken(folder: tuple[Path, Any], tmp_path: Path) -> None:
    path, model = folder
    whole = (path / "model.safetensors").read_bytes()
    (path / "model.safetensors").write_bytes(whole[:2000])
    with pytest.raises(ModelError, match=r"cannot be read.*header"):
        model_zoo.load(f"transformers:{path}")
    (path / "model.safetensors").write_bytes(whole)
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(
        json.dumps({**config, "id2label": {"0": "a"}, "label2id": {"a": 0}, "num_labels": 3})
    )
    with pytest.raises(ModelError, match=r"id2label of its config\.json names no column 1|weights lack|cannot be read"):
        model_zoo.load(f"transformers:{path}")
    named = {
        "id2label": {str(k): f"thing {k}" for k in range(1000)},
        "label2id": {f"thing {k}": 999 - k for k in range(1000)},
    }
    (path / "config.json").write_text(json.dumps({**config, **named}))
    with pytest.raises(ModelError, match="contradicts itself"):
        model_zoo.identify(f"transformers:{path}")
    odd = tmp_path / "a b#c@d"
    model.save_pretrained(odd)
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(odd)
    spec = model_zoo.parse(f"transformers:{odd}")
    assert str(spec) == f"transformers:{odd}" and model_zoo.load(str(spec)).dim == 32


def test_pictures_of_another_size_than_the_networks_are_refused(folder: tuple[Path, Any]) -> None:
    path, _ = folder
    transformers.ViTImageProcessor(size={"height": 48, "width": 48}).save_pretrained(path)
    with pytest.raises(ModelError, match="does not take pictures of 48x48"):
        model_zoo.load(f"transformers:{path}")


def test_a_model_of_words_is_no_image_model(tmp_path: Path) -> None:
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    transformers.BertModel(transformers.BertConfig(vocab_size=10, **shape)).save_pretrained(tmp_path)
    transformers.ViTImageProcessor().save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="BertModel, which reads input_ids and no pictures"):
        model_zoo.load(f"transformers:{tmp_path}")
