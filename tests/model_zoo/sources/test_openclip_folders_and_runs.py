"""open_clip's folders, repositories and training runs: what lies beside the weights is read, or a conflict refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import save_file

import model_zoo
from effrob.evaluation.trials import pixels, prove_encoder
from model_zoo import ModelError, UnknownModel
from model_zoo.proof import pictures, prove
from model_zoo.sources.from_openclip import OpenClipProvider
from tests.model_zoo import tiny_hf
from tests.model_zoo.conftest import TOWERS

PREPARED = {"mean": [0.0] * 3, "std": [1.0] * 3, "interpolation": "bilinear", "resize_mode": "squash"}


def hub(folder: Path, model: Any, config: dict[str, Any], preprocess: dict[str, Any]) -> Path:
    folder.mkdir()
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "open_clip_model.safetensors")
    content = {"model_cfg": config, "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(content))
    return folder


def small(**changes: Any) -> dict[str, Any]:
    return json.loads(json.dumps({**TOWERS["clip"], **changes}))


def test_a_folder_is_read_as_open_clip_reads_it(tower: Any, tmp_path: Path) -> None:
    _, _, model = tower("clip")
    folder = hub(tmp_path / "a#b", model, small(), PREPARED)
    encoder = model_zoo.load(f"openclip:local-dir:{folder}")
    theirs, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    batch = torch.stack([transform(picture) for picture in pictures()])
    assert torch.equal(torch.stack([pixels(picture, encoder) for picture in pictures()]), batch)
    with torch.inference_mode():
        assert torch.allclose(encoder.embed(batch), theirs.eval().encode_image(batch), atol=1e-6)
    proof = prove_encoder(encoder)
    assert proof.pixels == 0 and proof.text is not None
    assert model_zoo.parse(str(encoder.identity.spec)).name == f"local-dir:{folder}"


def test_a_folders_tokenizer_is_part_of_its_digest(tower: Any, tmp_path: Path) -> None:
    _, _, model = tower("clip")
    folder = hub(tmp_path / "hub", model, small(), PREPARED)
    before = model_zoo.identify(f"openclip:local-dir:{folder}").digest
    (folder / "tokenizer.json").write_text("{}")
    assert model_zoo.identify(f"openclip:local-dir:{folder}").digest != before


def test_a_folder_keeps_its_tokenizer_at_another_picture_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    elsewhere = tmp_path / "what-the-configuration-names"
    words = tiny_hf.tokenizer(12, True)
    words.add_tokens(["dog."])  # which it reads as one word
    words.save_pretrained(elsewhere)
    text = {"context_length": 12, "vocab_size": 40, "width": 32, "heads": 2, "layers": 1}
    config = small(text_cfg={**text, "hf_tokenizer_name": str(elsewhere)})
    (copy := tmp_path / "own-words.json").write_text(json.dumps(config))
    open_clip.add_model_config(copy)
    folder = hub(tmp_path / "hub", open_clip.create_model("own-words"), config, PREPARED)
    tiny_hf.tokenizer(12, True).save_pretrained(folder)
    wanted = open_clip.get_tokenizer(f"local-dir:{folder}")(["a photo of a dog."])
    assert not torch.equal(wanted, open_clip.get_tokenizer("own-words")(["a photo of a dog."]))
    for size in (None, (48, 48)):
        spec = model_zoo.parse(f"openclip:local-dir:{folder}")
        encoder = OpenClipProvider().load(spec, torch.device("cpu"), size)
        assert encoder.text is not None and torch.equal(encoder.text.tokenize(["a photo of a dog."]), wanted)
        assert encoder.identity.pixels.size == (size or (32, 32))


@pytest.mark.parametrize("key", ["mean", "std", "interpolation", "resize_mode"])
def test_the_proof_sees_each_key_of_the_record(tower: Any, tmp_path: Path, monkeypatch: Any, key: str) -> None:
    _, _, model = tower("clip")
    folder = hub(tmp_path / "hub", model, small(), PREPARED)
    changed = {"mean": [0.02] * 3, "std": [0.95] * 3, "interpolation": "bicubic", "resize_mode": "shortest"}
    from model_zoo.sources import from_openclip

    right = from_openclip.pixels_of
    monkeypatch.setattr(from_openclip, "pixels_of", lambda preprocess: right({**preprocess, key: changed[key]}))
    encoder = model_zoo.load(f"openclip:local-dir:{folder}")
    assert any(sentence.startswith("pixels of a") for sentence in prove(encoder, pixels).wrong)


def test_unknown_keys_and_values_are_refused_by_name(tower: Any, tmp_path: Path) -> None:
    _, _, model = tower("clip")
    for number, (extra, told) in enumerate(
        (
            ({"crop_pct": 0.9}, "no key 'crop_pct'"),
            ({"resize_mode": "crop"}, "takes resize_mode as one of"),
            ({"fill_color": [1, 2, 3]}, "fill_color"),
        )
    ):
        folder = hub(tmp_path / f"hub{number}", model, small(), {**PREPARED, **extra})
        with pytest.raises(ModelError, match=told):
            model_zoo.identify(f"openclip:local-dir:{folder}")


def test_folders_that_lack_something_say_what(tower: Any, tmp_path: Path) -> None:
    _, _, model = tower("clip")
    with pytest.raises(UnknownModel, match=r"open_clip_config\.json and weights"):
        model_zoo.identify(f"openclip:local-dir:{tmp_path}")
    folder = hub(tmp_path / "hub", model, small(), PREPARED)
    (folder / "open_clip_model.safetensors").unlink()
    with pytest.raises(UnknownModel, match="holds no weights"):
        model_zoo.identify(f"openclip:local-dir:{folder}")
    for name in ("a.pt", "b.pt"):
        torch.save(model.state_dict(), folder / name)
    with pytest.raises(ModelError, match=r"several weights files.*open_clip_config\.json@"):
        model_zoo.identify(f"openclip:local-dir:{folder}")


def test_a_repository_comes_from_the_hubs_cache(tower: Any, tmp_path: Path, monkeypatch: Any) -> None:
    _, _, model = tower("clip")
    folder = hub(tmp_path / "hub", model, small(), PREPARED)
    commit = "0" * 40
    cache = tmp_path / "cache" / "models--org--tiny"
    (cache / "snapshots").mkdir(parents=True)
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text(commit)
    folder.rename(cache / "snapshots" / commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    encoder = model_zoo.load("openclip:hf-hub:org/tiny")
    batch = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        assert torch.allclose(encoder.embed(batch), model.encode_image(batch), atol=1e-6)
    assert encoder.pixels.mode == "squash"
    prove_encoder(encoder)


ARCH = "ViT-S-32-alt"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A training run of a small architecture at 96 pixels, without its params.txt."""
    torch.manual_seed(0)
    model = open_clip.create_model(ARCH, force_image_size=96).eval()
    folder = tmp_path_factory.mktemp("logs") / "run" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save({"epoch": 1, "state_dict": model.state_dict()}, folder / "epoch_1.pt")
    return folder / "epoch_1.pt", model


def params(file: Path, **more: object) -> None:
    lines = {"model": ARCH, "pretrained": "", "force_quick_gelu": False, "force_image_size": None, **more}
    (file.parent.parent / "params.txt").write_text("".join(f"{key}: {value}\n" for key, value in lines.items()))


def test_the_runs_image_size_and_preparation_are_read(run: tuple[Path, Any]) -> None:
    file, model = run
    params(file, force_image_size=96, image_mean=[0.0] * 3, image_std=[1.0] * 3, image_resize_mode="squash")
    encoder = model_zoo.load(f"openclip:{ARCH}@{file}")
    assert (encoder.pixels.size, encoder.pixels.mean, encoder.pixels.mode) == ((96, 96), (0.0,) * 3, "squash")
    assert any("params.txt" in note and "force_image_size 96" in note for note in encoder.identity.notes)
    batch = torch.randn(2, 3, 96, 96)
    with torch.inference_mode():
        assert torch.allclose(encoder.embed(batch), model.encode_image(batch), atol=1e-6)
    prove_encoder(encoder)
    params(file, force_image_size=96, force_something_new=3)
    with pytest.raises(ModelError, match="force_something_new: 3, an argument that"):
        model_zoo.identify(f"openclip:{ARCH}@{file}")
    params(file, model="RN50")
    with pytest.raises(ModelError, match="are of the model RN50"):
        model_zoo.identify(f"openclip:{ARCH}@{file}")


def test_a_configuration_of_ones_own_may_say_what_the_run_forced(run: tuple[Path, Any], tmp_path: Path) -> None:
    file, _ = run
    params(file, force_image_size=96)
    config = open_clip.get_model_config(ARCH)
    for size, fits in ((96, True), (config["vision_cfg"]["image_size"], False)):
        config["vision_cfg"]["image_size"] = size
        (tmp_path / "mine.json").write_text(json.dumps(config))
        if fits:
            assert model_zoo.identify(f"openclip:{tmp_path}/mine.json@{file}").pixels.size == (96, 96)
        else:
            with pytest.raises(ModelError, match=r"whose vision_cfg\.image_size is not"):
                model_zoo.identify(f"openclip:{tmp_path}/mine.json@{file}")


def test_positions_tell_the_size_where_no_record_does(run: tuple[Path, Any], tmp_path: Path) -> None:
    file, _ = run
    moved = tmp_path / "moved.pt"
    moved.write_bytes(file.read_bytes())
    identity = model_zoo.identify(f"openclip:{ARCH}@{moved}")
    assert identity.pixels.size == (96, 96)
    assert any("image size of 96 pixels, by its positional embeddings" in note for note in identity.notes)


def test_a_hub_record_beside_a_named_architecture(tmp_path: Path) -> None:
    model = open_clip.create_model(ARCH)
    folder = hub(tmp_path / "hub", model, open_clip.get_model_config(ARCH), PREPARED)
    file = folder / "open_clip_model.safetensors"
    identity = model_zoo.identify(f"openclip:{ARCH}@{file}")
    assert (identity.pixels.mode, identity.pixels.interpolation) == ("squash", "bilinear")
    assert any("open_clip_config.json beside the file" in note for note in identity.notes)
    content = json.loads((folder / "open_clip_config.json").read_text())
    content["model_cfg"]["quick_gelu"] = True
    (folder / "open_clip_config.json").write_text(json.dumps(content))
    with pytest.raises(ModelError, match=r"another model.*quick_gelu.*openclip:local-dir:"):
        model_zoo.identify(f"openclip:{ARCH}@{file}")


def test_openais_weights_of_an_old_trainer_say_both_activations(run: tuple[Path, Any]) -> None:
    file, _ = run
    params(file, pretrained="openai", force_image_size=96)
    notes = model_zoo.identify(f"openclip:{ARCH}@{file}").notes
    assert any("pretrained: openai" in note and "QuickGELU" in note for note in notes)


def test_siglips_bias_beside_an_ordinary_architecture(tower: Any, tmp_path: Path) -> None:
    config, _, model = tower("clip")
    state = {**model.state_dict(), "logit_bias": torch.tensor(-10.0)}
    torch.save({"state_dict": {f"module.{name}": value for name, value in state.items()}}, tmp_path / "siglip.pt")
    batch = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        ours = model_zoo.load(f"openclip:{config}@{tmp_path / 'siglip.pt'}").embed(batch)
        assert torch.allclose(ours, model.encode_image(batch), atol=1e-6)


def test_the_record_beside_a_file_goes_before_the_one_above(run: tuple[Path, Any], tmp_path: Path) -> None:
    own, above = f"model: {ARCH}\nimage_mean: [0.1, 0.1, 0.1]\n", "model: other\nimage_mean: [0.0, 0.0, 0.0]\n"
    for name in ("ft", "checkpoints"):
        folder = tmp_path / name / "logs" / name
        folder.mkdir(parents=True)
        (folder / "epoch_1.pt").write_bytes(run[0].read_bytes())
        (folder.parent / "params.txt").write_text(above)
        (folder / "params.txt").write_text(own)
        identity = model_zoo.identify(f"openclip:{ARCH}@{folder / 'epoch_1.pt'}")
        assert identity.pixels.mean == (0.1,) * 3
        assert any(f"by {folder / 'params.txt'}" in note for note in identity.notes)
        assert any(f"not {folder.parent / 'params.txt'}" in n for n in identity.notes) == (name == "checkpoints")
        (folder / "params.txt").unlink()
        if name == "checkpoints":
            with pytest.raises(ModelError, match=r"of the model other, not of .*move params\.txt away"):
                model_zoo.identify(f"openclip:{ARCH}@{folder / 'epoch_1.pt'}")
        else:
            assert model_zoo.identify(f"openclip:{ARCH}@{folder / 'epoch_1.pt'}").pixels.mean != (0.0,) * 3


def test_a_record_of_another_model_is_refused_for_a_config_too(tower: Any, tmp_path: Path) -> None:
    config, _, model = tower("clip")
    file = tmp_path / "epoch_1.pt"
    torch.save({"state_dict": model.state_dict()}, file)
    for other in ("other", "RN50"):
        (tmp_path / "params.txt").write_text(f"model: {other}\nimage_mean: [0.0, 0.0, 0.0]\n")
        with pytest.raises(ModelError, match=f"params.txt these weights are of the model {other}"):
            model_zoo.identify(f"openclip:{config}@{file}")
    (tmp_path / "params.txt").write_text(f"model: {Path(config).stem}\nimage_mean: [0.0, 0.0, 0.0]\n")
    assert model_zoo.identify(f"openclip:{config}@{file}").pixels.mean == (0.0,) * 3


@pytest.mark.parametrize("forced", ["", "image_mean: [0.1, 0.2, 0.3]\n"])
def test_the_runs_pretrained_tag_prepares_what_no_key_forces(tmp_path: Path, forced: str) -> None:
    file = tmp_path / "w.pt"
    torch.save({"logit_scale": torch.ones(())}, file)
    arch, tag = "ViT-B-16-SigLIP", "webli"
    (tmp_path / "params.txt").write_text(f"model: {arch}\npretrained: {tag}\n{forced}")
    theirs = model_zoo.identify(f"openclip:{arch}@{tag}").pixels
    identity = model_zoo.identify(f"openclip:{arch}@{file}")
    ours = identity.pixels
    assert ours.mean == ((0.1, 0.2, 0.3) if forced else theirs.mean)
    assert (ours.std, ours.mode, ours.interpolation) == (theirs.std, theirs.mode, theirs.interpolation)
    assert any(f"resize_mode squash (of {tag})" in note and str(tmp_path) in note for note in identity.notes)
