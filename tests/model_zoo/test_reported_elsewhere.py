"""Situations that people reported in public threads, each built small: the library's numbers, or a refusal with the true cause.

The threads are named at each test; a repository that a person owns, by its name alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import open_clip
import pytest
import timm
import torch
from timm.data import ImageNetInfo
from torch import nn
from torch.nn import functional

import model_zoo
from effrob.evaluation.trials import pixels, prove_encoder
from model_zoo import ModelError
from model_zoo.proof import pictures
from model_zoo.sources.class_names import columns_of
from tests.model_zoo import tiny_hf

transformers = pytest.importorskip("transformers")

IDS = ImageNetInfo("imagenet-1k").label_names()
LEMMAS = ImageNetInfo("imagenet-1k").label_descriptions()
NAMES = open_clip.zero_shot_metadata.IMAGENET_CLASSNAMES


def classifier(n: int = 7) -> tuple[Any, Any]:
    torch.manual_seed(0)
    config = transformers.ViTConfig(**tiny_hf.TOWER, image_size=32, patch_size=8, num_labels=n)
    processor = transformers.ViTImageProcessor(size={"height": 32, "width": 32})
    return transformers.ViTForImageClassification(config).eval(), processor


def adapter(base: Any, place: Path, **options: Any) -> Any:
    peft = pytest.importorskip("peft")
    names = {name.rpartition(".")[2] for name, m in base.named_modules() if isinstance(m, nn.Linear)}
    config = peft.LoraConfig(r=2, init_lora_weights=False, target_modules=sorted(names - {"classifier"}), **options)
    adapted = peft.get_peft_model(base, config).eval()
    adapted.peft_config["default"].base_model_name_or_path = str(place)
    return adapted


def test_an_adapter_without_its_trained_head_is_refused(tmp_path: Path) -> None:
    """huggingface/peft#310, #577: the head was trained and not saved; a random one answers."""
    model, processor = classifier()
    place = tiny_hf.save(tmp_path / "base", model.vit, processor)  # a backbone: its head is new each time
    config = transformers.AutoConfig.from_pretrained(place)
    config.architectures = ["ViTForImageClassification"]
    config.save_pretrained(place)
    adapter(model, place).save_pretrained(tmp_path / "lora")
    with pytest.raises(ModelError, match=r"is no trained classifier: its weights lack classifier"):
        model_zoo.load(f"transformers:{tmp_path / 'lora'}")


def test_an_adapters_head_of_another_width_is_its_own(tmp_path: Path) -> None:
    """huggingface/sentence-transformers#3980, peft#503: the base has other classes than the adapter was trained for."""
    old, processor = classifier(7)
    place = tiny_hf.save(tmp_path / "base", old, processor)
    new = transformers.ViTForImageClassification.from_pretrained(place, num_labels=11, ignore_mismatched_sizes=True)
    torch.nn.init.normal_(new.classifier.weight)
    adapted = adapter(new, place, modules_to_save=["classifier"])
    adapted.save_pretrained(tmp_path / "lora")
    batch = torch.randn(2, 3, 32, 32)
    encoder = model_zoo.load(f"transformers:{tmp_path / 'lora'}")
    with torch.inference_mode():
        head = encoder.classifier
        ours = functional.linear(encoder.embed(batch), head.weight, head.bias)
        assert torch.allclose(ours, adapted(batch).logits, atol=1e-4)
    assert encoder.identity.n_classes == 11


def test_siglips_prompts_are_padded_to_their_length(tmp_path: Path) -> None:
    """embeddings-benchmark/mteb#1424, huggingface/transformers#26522: padded to the longest, accuracy falls to a tenth."""
    model, tokenizer, processor = tiny_hf.towers("siglip")
    tokenizer.model_input_names = ["input_ids"]  # as SigLIP's own names no mask
    encoder = model_zoo.load(f"transformers:{tiny_hf.save(tmp_path / 's', model, tokenizer, processor)}")
    words = ["a dog.", "a small red bicycle"]
    with torch.inference_mode():
        ours = encoder.text.embed(encoder.text.tokenize(words))
        both = []
        for how in ("max_length", True):
            given = tokenizer(words, padding=how, max_length=64, truncation=True, return_tensors="pt")
            both.append(model.get_text_features(given["input_ids"]))
    right, wrong = both
    right, wrong = (getattr(each, "pooler_output", each) for each in (right, wrong))
    assert torch.allclose(ours, right, atol=1e-5) and not torch.allclose(ours, wrong, atol=1e-2)
    assert encoder.text.lengths(encoder.text.tokenize(words)) is None


def test_a_vit_trained_at_256_is_read_at_256(tmp_path: Path) -> None:
    """ECCV2022-SDA-FAS#1: `size mismatch for pos_embed`, 257 positions in the file and 197 in the model."""
    torch.manual_seed(0)
    network = timm.create_model("test_vit", img_size=256, num_classes=5).eval()
    torch.save({"model": network.state_dict()}, tmp_path / "w.pth")
    encoder = model_zoo.load(f"timm:test_vit@{tmp_path / 'w.pth'}")
    assert encoder.pixels.size == (256, 256) and any("256 pixels" in note for note in encoder.identity.notes)
    batch = torch.randn(2, 3, 256, 256)
    with torch.inference_mode():
        head = encoder.classifier
        assert torch.allclose(
            functional.linear(encoder.embed(batch), head.weight, head.bias), network(batch), atol=1e-5
        )
    prove_encoder(encoder)


def test_an_image_tower_alone_is_no_clip(tower: Any, tmp_path: Path) -> None:
    """OML-Team/open-metric-learning#354: a checkpoint with `model.visual.` alone; its text tower is not in it."""
    config, _, model = tower("clip")
    state = {f"model.visual.{name}": value for name, value in model.visual.state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "w.ckpt")
    with pytest.raises(ModelError, match=r"missing \(.*(positional_embedding|text_projection)"):
        model_zoo.load(f"openclip:{config}@{tmp_path / 'w.ckpt'}")


def test_labels_with_numbers_and_a_dummy_before_them() -> None:
    """tensorflow/lucid#65: `0:background`, `1:tench, Tinca tinca`, ...; elsewhere the first is called dummy."""
    labels = ["0:background", *(f"{k + 1}:{name}" for k, name in enumerate(LEMMAS))]
    assert columns_of(labels, IDS, NAMES) == tuple(range(1, 1001))
    assert columns_of(["dummy", *LEMMAS], IDS, NAMES) == tuple(range(1, 1001))


def test_kerass_names_in_another_order() -> None:
    """keras-team/keras#10083: more than one order of ImageNet's classes is about; accuracy is zero with the wrong one."""
    keras = [(identifier, name.split(",")[0].replace(" ", "_")) for identifier, name in zip(IDS, LEMMAS, strict=True)]
    order = sorted(range(1000), key=lambda k: keras[k][1])
    assert columns_of([f"{keras[k][0]} {keras[k][1]}" for k in order], IDS, NAMES) == tuple(
        order.index(k) for k in range(1000)
    )
    backwards = [keras[k][1] for k in reversed(order)]  # two cranes, and nothing says which is which
    with pytest.raises(ModelError, match=r"names 2 classes of the set, and nothing says which is which"):
        columns_of(backwards, IDS, NAMES)


def test_a_training_checkpoint_under_its_epoch_and_scaler(tower: Any, tmp_path: Path) -> None:
    """CLIP-KD#9: `Unexpected key(s): epoch, name, state_dict, optimizer, scaler`."""
    config, _, model = tower("clip")
    scaler, optimizer = {"scale": 65536.0, "growth_factor": 2.0}, {"state": {}, "param_groups": [{"lr": 0.1}]}
    content = {"epoch": 32, "name": "run", "state_dict": model.state_dict(), "optimizer": optimizer, "scaler": scaler}
    torch.save(content, tmp_path / "w.pt")
    batch = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        ours = model_zoo.load(f"openclip:{config}@{tmp_path / 'w.pt'}").embed(batch)
        assert torch.allclose(ours, model.encode_image(batch), atol=1e-6)


def test_a_wrapper_that_keeps_a_teacher_is_asked_which(tower: Any, tmp_path: Path) -> None:
    """train-CLIP-FT#10: a Lightning wrapper with `model.`, `teacher.` and a temperature of its own."""
    config, _, model = tower("clip")
    state = model.state_dict()
    both = {f"{who}.{name}": value for who in ("model", "teacher") for name, value in state.items()}
    torch.save({"state_dict": {**both, "sink_temp": torch.ones(())}}, tmp_path / "w.ckpt")
    with pytest.raises(ModelError, match=r"under 'model\.' and 'teacher\.'"):
        model_zoo.load(f"openclip:{config}@{tmp_path / 'w.ckpt'}")
    encoder = model_zoo.load(f"openclip:{config}@{tmp_path / 'w.ckpt'}#teacher")
    assert torch.equal(encoder.module.state_dict()["proj"], state["visual.proj"])


def test_pixels_in_0_to_255_with_the_mean_taken_off(tmp_path: Path) -> None:
    """XNOR-Net-PyTorch#17: pixels were not divided by 255; 4 % where more was reported."""
    model, _ = classifier(20)
    mean, std = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
    processor = transformers.ViTImageProcessor(
        size={"height": 32, "width": 32}, do_rescale=False, image_mean=mean, image_std=std
    )
    encoder = model_zoo.load(f"transformers:{tiny_hf.save(tmp_path / 'm', model, processor)}")
    for picture in pictures():
        expected = processor(images=[picture], return_tensors="pt")["pixel_values"][0]
        assert torch.equal(pixels(picture, encoder), expected)
    prove_encoder(encoder)


def test_a_subset_of_classes_in_an_order_of_its_own() -> None:
    """CV-DD#5, LINs-lab/RDED#10: 200 or 10 of ImageNet's classes, and the checkpoint's order is not that of their ids."""
    some = sorted(IDS[::5])
    names = [NAMES[IDS.index(identifier)] for identifier in some]
    order = torch.randperm(len(some), generator=torch.Generator().manual_seed(0)).tolist()
    columns = columns_of([some[k] for k in order], some, names)
    assert [order[column] for column in columns] == list(range(len(some)))
    assert columns_of(IDS, some, names) == tuple(range(0, 1000, 5))  # or the whole thousand's head


def test_half_a_match_names_the_first_that_differ() -> None:
    """pytorch/vision#3429: labels of something else under the same number of columns."""
    labels = [*LEMMAS[:500], *(f"thing {k}" for k in range(500))]
    with pytest.raises(ModelError, match=rf"name 500 of the set's 1000 classes, and not {IDS[500]}.*500, 'thing 0'"):
        columns_of(labels, IDS, NAMES)
