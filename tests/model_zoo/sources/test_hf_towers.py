"""Two-tower models and backbones of transformers: zero-shot scores and probe features equal to the library's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

import effrob
import model_zoo
from effrob.evaluation.trials import pixels, prove_encoder
from effrob.heads.zero_shot import embed_prompts
from model_zoo import ModelError
from model_zoo.proof import pictures, prove
from tests.model_zoo import tiny_hf

transformers = pytest.importorskip("transformers")

PROMPTS = ["a photo of a dog.", "a small red bicycle", "one bird"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hf")


def towers(folders: Path, kind: str) -> tuple[str, Any, Any, Any]:
    model, tokenizer, processor = tiny_hf.towers(kind)
    return f"transformers:{tiny_hf.save(folders / kind, model, tokenizer, processor)}", model, tokenizer, processor


@pytest.mark.parametrize("kind", ["clip", "siglip", "align", "altclip"])
def test_zero_shot_scores_are_the_librarys(folders: Path, kind: str) -> None:
    spec, model, tokenizer, processor = towers(folders, kind)
    encoder = model_zoo.load(spec)
    assert (encoder.kind, encoder.identity.has_text, encoder.classifier) == ("image-embedding", True, None)
    padding = {"padding": "max_length", "max_length": 64} if kind == "siglip" else {"padding": True}
    with torch.inference_mode():
        given = tokenizer(PROMPTS, truncation=True, return_tensors="pt", **padding)
        inputs = processor(images=list(pictures()), return_tensors="pt")
        theirs = model(**given, **inputs)
        images = functional.normalize(
            encoder.embed(torch.stack([pixels(each, encoder) for each in pictures()])), dim=-1
        )
        texts = embed_prompts(encoder.text, PROMPTS)
    assert torch.allclose(texts, theirs.text_embeds, atol=1e-5)
    tolerance = 1e-5 if encoder.transform else 0.01  # pictures may differ by a level
    assert torch.allclose(images @ texts.T, theirs.image_embeds @ theirs.text_embeds.T, atol=tolerance)
    proof = prove_encoder(encoder)
    assert proof.text is not None and proof.text < 1e-5 and proof.features is not None and proof.features < 1e-5


def test_a_folder_at_hand_asks_for_no_name_and_the_hubs_is_asked_for_once(
    folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name server that is silent costs seconds a look-up, of which a model took several."""
    asked = []

    def nobody(name: str, *_: object, **__: object) -> None:
        asked.append(name)
        raise OSError("no answer")

    spec, *_ = towers(folders, "clip")
    monkeypatch.setattr("socket.getaddrinfo", nobody)
    monkeypatch.setattr("model_zoo.checkpoints.network._looked_up", {})
    for variable in (
        "http_proxy",
        "https_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "all_proxy",
        "ALL_PROXY",
        "HF_HUB_OFFLINE",
    ):
        monkeypatch.delenv(variable, raising=False)
    embed_prompts(model_zoo.load(spec).text, PROMPTS)
    assert asked == []
    for _ in range(2):
        with pytest.raises(ModelError, match="could not be fetched"):
            model_zoo.load("transformers:nobody/nothing-of-that-name")
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("kind", "pooling", "dim"),
    [
        ("dinov2", "", 32),
        ("dinov3", "", 32),
        ("dinov3", "#cls+mean", 64),
        ("vit", "", 32),
        ("vit", "#mean", 32),
        ("vit_mae", "", 32),
        ("swin", "", 32),
        ("convnext", "", 16),
    ],
)
def test_backbones_give_the_librarys_features(folders: Path, kind: str, pooling: str, dim: int) -> None:
    model, processor = tiny_hf.backbone(kind)
    encoder = model_zoo.load(
        f"transformers:{tiny_hf.save(folders / f'{kind}{len(pooling)}', model, processor)}{pooling}"
    )
    assert (encoder.kind, encoder.dim, encoder.classifier, encoder.text) == ("penultimate", dim, None, None)
    batch = torch.cat([processor(images=[each], return_tensors="pt")["pixel_values"] for each in pictures()])
    own = model.vit if kind == "vit_mae" else model
    if kind == "vit_mae":
        own.config.mask_ratio = 0.0
    with torch.inference_mode():
        given = {"noise": torch.arange(16).repeat(3, 1).float()} if kind == "vit_mae" else {}
        theirs = own.eval()(batch, **given)
        tokens = theirs.last_hidden_state
        prefix = 3 if kind == "dinov3" else 1
        expected = {
            "": tokens[:, 0] if kind in ("dinov2", "dinov3", "vit", "vit_mae") else theirs.pooler_output.flatten(1),
            "#mean": tokens[:, prefix:].mean(1) if tokens.ndim == 3 else None,
            "#cls+mean": torch.cat([tokens[:, 0], tokens[:, prefix:].mean(1)], 1) if tokens.ndim == 3 else None,
        }[pooling]
        assert torch.allclose(encoder.embed(batch), expected, atol=1e-5)
    prove_encoder(encoder)


@pytest.mark.parametrize("kind", ["clip", "siglip", "align"])
def test_zero_shot_rows_on_the_pocket_suite(folders: Path, pocket_data: Path, tmp_path: Path, kind: str) -> None:
    spec, model, tokenizer, processor = towers(folders, kind)
    where = {"data": pocket_data, "results": tmp_path / "r", "cache": tmp_path / "c"}
    rows = effrob.evaluate(spec, "pocket", suite="pocket", prompts="name-only", limit=40, progress=False, **where)
    assert [(row.head, row.n) for row in rows] == [("zero-shot", 40)]
    import shifts

    shift = shifts.load("pocket", root=pocket_data, partial=True).limited(40)
    padding = {"padding": "max_length", "max_length": 64} if kind == "siglip" else {"padding": True}
    with torch.inference_mode():
        given = tokenizer(list(shift.labels.class_names), truncation=True, return_tensors="pt", **padding)
        inputs = processor(images=[example.image for example in shift], return_tensors="pt")
        scores = model(**given, **inputs).logits_per_image
    kept = np.load(next((tmp_path / "r").rglob("predictions.npz")))
    clear = scores.topk(2).values.diff(dim=1).abs().squeeze(1) > 1e-3 * scores.abs().max()
    assert clear.any()
    agree = torch.from_numpy(kept["predicted"])[clear] == scores.argmax(1)[clear]
    assert agree.float().mean() > 0.95


@pytest.mark.parametrize("kind", ["dinov2", "dinov3", "vit_mae"])
def test_linear_probe_rows_on_the_pocket_suite(folders: Path, pocket_data: Path, tmp_path: Path, kind: str) -> None:
    model, processor = tiny_hf.backbone(kind)
    spec = f"transformers:{tiny_hf.save(folders / f'probe-{kind}', model, processor)}"
    where = {"data": pocket_data, "results": tmp_path / "r", "cache": tmp_path / "c"}
    options = {"suite": "pocket", "limit": 20, "train": "pocket", "train_limit": 3, "progress": False}
    rows = effrob.evaluate(spec, "pocket-r", head="linear-probe@1", **options, **where)
    assert [(row.head, row.n) for row in rows] == [("linear-probe@1", 20)]


def test_a_folder_without_a_tokenizer_probes_and_is_refused_for_words(
    folders: Path, pocket_data: Path, tmp_path: Path
) -> None:
    model, _, processor = tiny_hf.towers("clip")
    spec = f"transformers:{tiny_hf.save(folders / 'wordless', model, processor)}"
    options = {
        "suite": "pocket",
        "limit": 20,
        "train": "pocket",
        "train_limit": 2,
        "progress": False,
        "data": pocket_data,
    }
    where = {"results": tmp_path / "r", "cache": tmp_path / "c"}
    with pytest.raises(effrob.errors.RunFailed, match=r"holds no tokenizer.*save_pretrained"):
        effrob.evaluate(spec, "pocket", head=("zero-shot", "ridge"), **options, **where)
    rows = effrob.evaluate(spec, "pocket", head="ridge", **options, **where)
    assert [row.head for row in rows] == ["ridge"]


def test_another_size_is_interpolated_by_the_library(folders: Path) -> None:
    spec, model, _, _ = towers(folders, "clip")
    record = model_zoo.Registration("big", like=spec, pixels="resize=48,crop=48")
    model_zoo.save_registration(record)
    batch = torch.randn(2, 3, 48, 48)
    with torch.inference_mode():
        theirs = model.get_image_features(pixel_values=batch, interpolate_pos_encoding=True)
        assert torch.allclose(model_zoo.load("big").embed(batch), getattr(theirs, "pooler_output", theirs), atol=1e-5)


def test_lora_adapters_are_merged_and_never_the_base_alone(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    peft = pytest.importorskip("peft")
    torch.manual_seed(0)
    config = transformers.ViTConfig(**tiny_hf.TOWER, image_size=32, patch_size=8, num_labels=7)
    base = transformers.ViTForImageClassification(config).eval()
    processor = transformers.ViTImageProcessor(size={"height": 32, "width": 32})
    place = tiny_hf.save(folders / "lora-base", base, processor)
    batch = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        plain = base(batch).logits
    targets = sorted({name.rpartition(".")[2] for name, m in base.named_modules() if isinstance(m, torch.nn.Linear)})
    options = {"target_modules": [t for t in targets if t != "classifier"], "modules_to_save": ["classifier"]}
    adapted = peft.get_peft_model(base, peft.LoraConfig(r=2, init_lora_weights=False, **options)).eval()
    adapted.peft_config["default"].base_model_name_or_path = str(place)
    adapted.save_pretrained(folders / "lora")
    with torch.inference_mode():
        theirs = adapted(batch).logits
        encoder = model_zoo.load(f"transformers:{folders / 'lora'}")
        ours = functional.linear(encoder.embed(batch), encoder.classifier.weight, encoder.classifier.bias)
    assert not torch.allclose(theirs, plain, atol=1e-3)
    assert torch.allclose(ours, theirs, atol=1e-4)
    monkeypatch.setitem(__import__("sys").modules, "peft", None)
    with pytest.raises(ModelError, match=r"pip install 'effrob\[peft\]'"):
        model_zoo.load(f"transformers:{folders / 'lora'}")


def test_sharded_weights(folders: Path) -> None:
    spec, model, tokenizer, processor = towers(folders, "clip")
    place = tiny_hf.save(folders / "sharded", tokenizer, processor)
    model.save_pretrained(place, max_shard_size="20KB")
    assert len(list(place.glob("model-*.safetensors"))) > 1
    batch = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(model_zoo.load(f"transformers:{place}").embed(batch), model_zoo.load(spec).embed(batch))


def test_a_proof_shows_both_numbers_where_they_differ(folders: Path) -> None:
    spec, *_ = towers(folders, "clip")
    encoder = model_zoo.load(spec)
    shifted = prove(encoder, lambda picture, each: pixels(picture, each) + 0.1)
    assert any("grey levels apart" in sentence and "effrob makes" in sentence for sentence in shifted.wrong)
    right = encoder.embed
    encoder.embed = lambda batch: right(batch) + 0.1 * torch.arange(16)
    assert any("effrob computes" in sentence for sentence in prove(encoder, pixels).wrong)


def test_a_tokenizer_beside_the_weights_is_part_of_the_digest(folders: Path) -> None:
    spec, *_ = towers(folders, "clip")
    before = model_zoo.identify(spec).digest
    file = Path(spec.partition(":")[2]) / "tokenizer_config.json"
    text = file.read_text()
    file.write_text(text + " ")
    assert model_zoo.identify(spec).digest != before
    file.write_text(text)
    assert model_zoo.identify(spec).digest == before
