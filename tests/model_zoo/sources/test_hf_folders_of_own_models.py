"""Folders of transformers that hold more, or other, than their configuration says: refused or told, never dropped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import model_zoo
from model_zoo import ModelError

transformers = pytest.importorskip("transformers")
safetensors = pytest.importorskip("safetensors.torch")

VIT = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64, "image_size": 32}


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, Any]:
    torch.manual_seed(0)
    names = {index: f"class {index}" for index in range(10)}
    config = transformers.ViTConfig(**VIT, patch_size=8, id2label=names, label2id={n: i for i, n in names.items()})
    model = transformers.ViTForImageClassification(config).eval()
    model.save_pretrained(tmp_path / "vit")
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path / "vit")
    return tmp_path / "vit", model


def rewritten(folder: Path, change: Any) -> None:
    state = safetensors.load_file(folder / "model.safetensors")
    safetensors.save_file(change(state), folder / "model.safetensors", metadata={"format": "pt"})


def adapted(model: Any, base: Path, folder: Path, **options: Any) -> Any:
    peft = pytest.importorskip("peft")
    layers = [name for name, part in model.named_modules() if isinstance(part, torch.nn.Linear)]
    targets = options.pop("targets", [name for name in layers if name != "classifier"])
    adapter = peft.get_peft_model(
        model, peft.LoraConfig(r=3, init_lora_weights=False, target_modules=targets, **options)
    ).eval()
    adapter.peft_config["default"].base_model_name_or_path = str(base)
    adapter.save_pretrained(folder)
    (folder / "config.json").unlink(missing_ok=True)
    return adapter


def test_an_architecture_that_transformers_lacks_is_refused(saved: tuple[Path, Any]) -> None:
    file = saved[0] / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"architectures": ["ViTScaledForImageClassification"]}))
    with pytest.raises(ModelError, match=r"ViTScaledForImageClassification, which transformers .* does not have"):
        model_zoo.identify(f"transformers:{saved[0]}")


def test_tensors_without_a_place_are_refused_by_name(saved: tuple[Path, Any]) -> None:
    rewritten(saved[0], lambda state: state | {"vit.embeddings.position_ids": torch.arange(17)[None]})
    model_zoo.load(f"transformers:{saved[0]}")  # a buffer that releases of old saved
    rewritten(saved[0], lambda state: state | {"class_scale": torch.ones(10)})
    with pytest.raises(ModelError, match="hold class_scale, which ViTForImageClassification"):
        model_zoo.load(f"transformers:{saved[0]}")


def test_names_under_a_wrapper_are_read_without_it(saved: tuple[Path, Any]) -> None:
    batch = torch.randn(2, 3, 32, 32)
    rewritten(saved[0], lambda state: {f"_orig_mod.{name}": values for name, values in state.items()})
    encoder = model_zoo.load(f"transformers:{saved[0]}")
    with torch.inference_mode():
        head = encoder.classifier
        ours = torch.nn.functional.linear(encoder.embed(batch), head.weight, head.bias)
        assert torch.allclose(ours, saved[1](batch).logits, atol=1e-5)
    rewritten(saved[0], lambda state: {f"strange.{name}": values for name, values in state.items()})
    with pytest.raises(ModelError, match="its weights lack"):
        model_zoo.load(f"transformers:{saved[0]}")


def test_other_weights_in_the_folder_are_told(saved: tuple[Path, Any]) -> None:
    torch.save({}, saved[0] / "training_args.bin")
    assert not any("also holds" in note for note in model_zoo.identify(f"transformers:{saved[0]}").notes)
    safetensors.save_file({"a": torch.ones(1)}, saved[0] / "ema_model.safetensors")
    told = [note for note in model_zoo.identify(f"transformers:{saved[0]}").notes if "also holds" in note]
    assert told == ["its folder also holds ema_model.safetensors: the weights taken are those of model.safetensors"]


def test_a_head_of_an_adapter_takes_no_order_of_its_base(saved: tuple[Path, Any], tmp_path: Path) -> None:
    base, model = saved
    adapted(model, base, tmp_path / "lora", modules_to_save=["classifier"])
    with pytest.raises(ModelError, match=r"trained head of its own.*model\.config\.save_pretrained"):
        model_zoo.identify(f"transformers:{tmp_path / 'lora'}")
    model.config.save_pretrained(tmp_path / "lora")  # the advice
    labels = model_zoo.identify(f"transformers:{tmp_path / 'lora'}").labels
    assert labels == tuple(f"class {index}" for index in range(10))


def test_an_update_to_the_classifier_is_no_head(saved: tuple[Path, Any], tmp_path: Path) -> None:
    base, model = saved
    adapter = adapted(model, base, tmp_path / "lora", targets=["classifier"])
    assert model_zoo.identify(f"transformers:{tmp_path / 'lora'}").n_classes == 10
    encoder, pictures = model_zoo.load(f"transformers:{tmp_path / 'lora'}"), torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        head = encoder.classifier
        logits = torch.nn.functional.linear(encoder.embed(pictures), head.weight, head.bias)
        assert torch.allclose(logits, adapter(pixel_values=pictures).logits, atol=1e-5)
