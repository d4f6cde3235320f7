"""open_clip models: text towers trimmed only where that is exact, weights of every format, and mismatches refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from open_clip.pretrained import get_pretrained_cfg
from safetensors.torch import save_file
from torch.nn import functional

import model_zoo
from effrob.evaluation.trials import prove_encoder
from model_zoo import ModelError, UnknownModel
from model_zoo.defaults import default_spec, table
from model_zoo.sources.from_openclip_text import OpenClipText

CLOSE = {"rtol": 0, "atol": 2e-6}  # float32 sums in another order; some CPU kernels differ by what is next to a row
PROMPTS = ["a dog", "a photo of a small cat.", "one two three four five six seven eight nine ten eleven twelve"]


@pytest.mark.parametrize("kind", ["clip", "custom", "bidirectional", "coca"])
def test_embeddings_are_open_clips(tower: Any, kind: str) -> None:
    config, weights, model = tower(kind)
    encoder = model_zoo.load(f"openclip:{config}@{weights}")
    pictures = torch.randn(3, 3, 32, 32)
    tokens = encoder.text.tokenize(PROMPTS)
    assert torch.equal(tokens, open_clip.get_tokenizer("ViT-B-32", context_length=24)(PROMPTS))
    with torch.inference_mode():
        torch.testing.assert_close(encoder.embed(pictures), model.encode_image(pictures, normalize=False), **CLOSE)
        torch.testing.assert_close(encoder.text.embed(tokens), model.encode_text(tokens, normalize=False), **CLOSE)
    assert (encoder.kind, encoder.dim, encoder.classifier) == ("image-embedding", 16, None)
    model_zoo.check_encoder(encoder)


@pytest.mark.parametrize("kind", ["clip", "bidirectional"])
def test_the_proof_sees_tokens_that_are_not_open_clips(tower: Any, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config, weights, _ = tower(kind)
    tokenize = OpenClipText.tokenize
    assert prove_encoder(model_zoo.load(f"openclip:{config}@{weights}")).text_wrong is None
    monkeypatch.setattr(
        OpenClipText, "tokenize", lambda text, prompts: tokenize(text, [each[::-1] for each in prompts])
    )
    said = prove_encoder(model_zoo.load(f"openclip:{config}@{weights}")).text_wrong
    assert said is not None and "the embedding of a prompt" in said


@pytest.mark.parametrize("kind", ["clip", "custom"])
def test_causal_towers_are_trimmed_exactly(tower: Any, kind: str) -> None:
    config, weights, model = tower(kind)
    text = model_zoo.load(f"openclip:{config}@{weights}").text
    tokens = text.tokenize(PROMPTS)
    lengths = text.lengths(tokens)
    assert lengths.tolist() == [4, 9, 14]  # start, words, full stop, end
    with torch.inference_mode():
        full = model.encode_text(tokens, normalize=False)
        for length in (14, 17, 23):
            cosine = functional.cosine_similarity(text.embed(tokens[:, :length]), full)
            assert (1 - cosine).abs().max() < 1e-6
        assert torch.allclose(text.embed(tokens[:1, :4]), full[:1], atol=1e-6)
        too_short = functional.cosine_similarity(text.embed(tokens[:, :9]), full)
    assert (1 - too_short[2]).abs() > 1e-4  # what trimming below the length would do


@pytest.mark.parametrize("kind", ["bidirectional", "coca"])
def test_other_towers_are_not_trimmed(tower: Any, kind: str) -> None:
    config, weights, _ = tower(kind)
    text = model_zoo.load(f"openclip:{config}@{weights}").text
    assert text.lengths(text.tokenize(PROMPTS)) is None


def test_a_prompt_longer_than_the_context_keeps_its_end(tower: Any) -> None:
    config, weights, _ = tower("clip")
    text = model_zoo.load(f"openclip:{config}@{weights}").text
    assert text.lengths(text.tokenize(["word " * 60])).tolist() == [24]


def test_every_format_of_one_checkpoint_is_one_model(tower: Any, tmp_path: Path) -> None:
    config, bare, model = tower("clip")
    state = model.state_dict()
    optimizer = {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 0.1}]}
    training = {"epoch": 3, "name": "run", "optimizer": optimizer}
    torch.save(training | {"state_dict": {f"module.{k}": v for k, v in state.items()}}, tmp_path / "epoch_3.pt")
    torch.save(
        training | {"state_dict": {f"module._orig_mod.{k}": v for k, v in state.items()}}, tmp_path / "compiled.pt"
    )
    torch.save(state, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    save_file({k: v.contiguous() for k, v in state.items()}, tmp_path / "weights.safetensors")
    (tmp_path / "no_suffix").write_bytes((tmp_path / "weights.safetensors").read_bytes())
    pictures = torch.randn(2, 3, 32, 32)
    files = [bare, *(tmp_path / n for n in ("epoch_3.pt", "compiled.pt", "old.pt", "weights.safetensors", "no_suffix"))]
    with torch.inference_mode():
        found = [model_zoo.load(f"openclip:{config}@{file}").embed(pictures) for file in files]
    assert all(torch.equal(each, found[0]) for each in found[1:])


def test_old_layout_fills_a_custom_text_model(tower: Any, tmp_path: Path) -> None:
    _, weights, model = tower("clip")
    config, _, _ = tower("custom")
    text = model_zoo.load(f"openclip:{config}@{weights}").text
    tokens = text.tokenize(PROMPTS)
    with torch.inference_mode():
        assert torch.allclose(text.embed(tokens), model.encode_text(tokens), atol=1e-6)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"vision_cfg": {"image_size": 32, "layers": 3, "width": 32, "head_width": 16, "patch_size": 8}}, "missing"),
        (
            {"vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8}},
            "not in the model",
        ),
        # open_clip itself would stretch the positions of this one in silence
        (
            {"vision_cfg": {"image_size": 64, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8}},
            "17x32 in the file",
        ),
        ({"embed_dim": 8}, "of another shape"),
    ],
)
def test_another_architectures_weights_are_refused(
    tower: Any, tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    config, weights, _ = tower("clip")
    other = tmp_path / "other.json"
    other.write_text(json.dumps({**json.loads(config.read_text()), **change}))
    with pytest.raises(ModelError, match="does not fit") as raised:
        model_zoo.load(f"openclip:{other}@{weights}")
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)


def test_published_defaults() -> None:
    identity = model_zoo.identify("openclip:ViT-B-32")
    assert str(identity.spec) == "openclip:ViT-B-32@laion2b_s34b_b79k"
    assert identity.asked == "openclip:ViT-B-32"
    assert any("laion2b_s34b_b79k" in note for note in identity.notes)
    assert identity.digest == model_zoo.identify("openclip:ViT-B-32@laion2b_s34b_b79k").digest
    assert identity.has_text


def test_every_architecture_with_weights_has_a_fitting_default() -> None:
    published = {arch for arch, _ in open_clip.list_pretrained()}
    assert published <= set(table("openclip"))
    for arch in sorted(published):
        spec = model_zoo.identify(f"openclip:{arch}").spec  # raises where the activation does not fit
        assert str(spec) == default_spec("openclip", arch)
        assert get_pretrained_cfg(spec.name, str(spec.weights))


@pytest.mark.parametrize("arch", ["ViT-B-32", "ViT-L-14", "RN50"])
def test_quickgelu_weights_are_taken_with_their_architecture(arch: str) -> None:
    identity = model_zoo.identify(f"openclip:{arch}@openai")
    assert str(identity.spec) == f"openclip:{arch}-quickgelu@openai"
    assert "trained with QuickGELU" in identity.notes[0]
    assert identity.digest == model_zoo.identify(f"openclip:{arch}-quickgelu@openai").digest
    assert model_zoo.identify(f"openclip:{arch}-quickgelu@openai").notes == ()


def test_openais_own_release_needs_quickgelu(tower: Any, tmp_path: Path) -> None:
    config, _, model = tower("clip")
    numbers = {name: torch.tensor(1) for name in ("input_resolution", "context_length", "vocab_size")}
    torch.save({**model.state_dict(), **numbers}, tmp_path / "openai.pt")
    with pytest.raises(ModelError, match="QuickGELU"):
        model_zoo.load(f"openclip:{config}@{tmp_path / 'openai.pt'}")
    config.write_text(json.dumps({**json.loads(config.read_text()), "quick_gelu": True}))
    model_zoo.load(f"openclip:{config}@{tmp_path / 'openai.pt'}")


def test_the_activation_changes_the_numbers_and_the_digest(tower: Any, tmp_path: Path) -> None:
    config, weights, _ = tower("clip")
    quick = tmp_path / "quick.json"
    quick.write_text(json.dumps({**json.loads(config.read_text()), "quick_gelu": True}))
    plain, other = model_zoo.load(f"openclip:{config}@{weights}"), model_zoo.load(f"openclip:{quick}@{weights}")
    pictures = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        assert not torch.allclose(plain.embed(pictures), other.embed(pictures))
    assert plain.identity.digest != other.identity.digest


def test_a_file_of_an_architecture_with_a_twin_says_so(tmp_path: Path) -> None:
    torch.save({"logit_scale": torch.ones(())}, tmp_path / "w.pt")
    notes = model_zoo.identify(f"openclip:ViT-B-32@{tmp_path / 'w.pt'}").notes
    assert any("openclip:ViT-B-32-quickgelu" in note for note in notes)


@pytest.mark.parametrize(
    ("params", "arch", "right"),
    [
        ("model: ViT-B-32\nforce_quick_gelu: True\n", "ViT-B-32", "ViT-B-32-quickgelu"),
        ("model: ViT-B-32-quickgelu\nforce_quick_gelu: False\n", "ViT-B-32", "ViT-B-32-quickgelu"),
        ("model: ViT-B-32\nforce_quick_gelu: False\n", "ViT-B-32-quickgelu", "ViT-B-32"),
    ],
)
def test_the_training_runs_own_record_settles_the_activation(
    tmp_path: Path, params: str, arch: str, right: str
) -> None:
    (tmp_path / "checkpoints").mkdir()
    file = tmp_path / "checkpoints" / "epoch_1.pt"
    torch.save({"logit_scale": torch.ones(())}, file)
    (tmp_path / "params.txt").write_text(params)
    with pytest.raises(ModelError, match=f"write openclip:{right}@"):
        model_zoo.identify(f"openclip:{arch}@{file}")
    assert model_zoo.identify(f"openclip:{right}@{file}").notes == ()


def test_a_file_is_prepared_as_its_architectures_published_weights(tmp_path: Path) -> None:
    torch.save({"logit_scale": torch.ones(())}, tmp_path / "w.pt")
    identity = model_zoo.identify(f"openclip:ViT-B-16-SigLIP@{tmp_path / 'w.pt'}")
    assert identity.pixels == model_zoo.identify("openclip:ViT-B-16-SigLIP@webli").pixels
    assert identity.pixels.mode == "squash"
    clip = model_zoo.identify(f"openclip:ViT-B-32@{tmp_path / 'w.pt'}")
    assert clip.pixels == model_zoo.identify("openclip:ViT-B-32@laion2b_s34b_b79k").pixels


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("openclip:ViT-B-23", "near: .*ViT-B-32"),
        ("openclip:ViT-B-32@laion2b_s34b_b97k", "near: laion2b_s34b_b79k"),
        ("openclip:ViT-B-32-quickgelu@laion2b_s34b_b79k", "it is a tag of openclip:ViT-B-32"),
        ("openclip:ViT-B-32@nowhere/w.pt", "neither a file nor a tag"),
        ("openclip:nowhere.json@w.pt", "there is no model config"),
    ],
)
def test_unknown_names_suggest_near_ones(spec: str, told: str) -> None:
    with pytest.raises(UnknownModel, match=told):
        model_zoo.identify(spec)


def test_slash_stands_for_dash_as_in_open_clip() -> None:
    assert model_zoo.identify("openclip:ViT-B/32").digest == model_zoo.identify("openclip:ViT-B-32").digest


def test_a_tag_without_network_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("model_zoo.checkpoints.network._resolvable", lambda url: False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError) as raised:
        model_zoo.load("openclip:ViT-B-32")
    assert "laion2b_s34b_b79k of openclip:ViT-B-32 could not be fetched" in str(raised.value)
    assert "openclip:ViT-B-32@FILE" in str(raised.value)
    assert "\n" not in str(raised.value)
