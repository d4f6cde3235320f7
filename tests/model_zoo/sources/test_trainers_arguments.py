"""Every argument of open_clip's and timm's trainers, changed: applied, refused by its name, or proved to change nothing."""

from __future__ import annotations

import argparse
import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import open_clip
import pytest
import timm
import torch
from timm.data import create_transform, resolve_data_config

import model_zoo
from effrob.evaluation.trials import pixels, prove_encoder
from model_zoo import ModelError, UnknownModel
from model_zoo.defaults import inert_arguments
from model_zoo.proof import pictures, scores_of

NAME = "test_efficientnet"


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    network = timm.create_model(NAME, num_classes=7).eval()
    with torch.no_grad():
        network(torch.randn(2, 3, 64, 64))
        for name, buffer in network.named_buffers():
            if name.endswith("running_var"):
                buffer.mul_(0.01)  # so that an epsilon counts
    return network.state_dict()


def spec_of(folder: Path, state: dict[str, torch.Tensor], **arguments: Any) -> str:
    told = {"gp": None, "bn_momentum": None, "crop_pct": None, "sched": "cosine", "smoothing": 0.1, "model": NAME}
    torch.save(
        {"arch": NAME, "state_dict": state, "args": argparse.Namespace(**{**told, **arguments})}, folder / "w.pt"
    )
    return f"timm:{NAME}@{folder / 'w.pt'}"


def ours(spec: str) -> torch.Tensor:
    encoder = model_zoo.load(spec)
    prove_encoder(encoder)
    with torch.inference_mode():
        features = encoder.embed(torch.stack([pixels(each, encoder) for each in pictures()]))
        return features if encoder.classifier is None else scores_of(encoder, features)


def trainers(state: dict[str, torch.Tensor], **arguments: Any) -> torch.Tensor:
    """Scores as timm's train.py builds and validates the network of these arguments."""
    told = {name: value for name, value in arguments.items() if value is not None}
    built = {"global_pool": told.get("gp"), "bn_eps": told.get("bn_eps"), "bn_momentum": told.get("bn_momentum")}
    built |= {"drop_rate": told.get("drop"), "drop_path_rate": told.get("drop_path")}
    built |= {"drop_block_rate": told.get("drop_block"), **told.get("model_kwargs", {})}
    given = {name: value for name, value in built.items() if value is not None}
    network = timm.create_model(NAME, num_classes=7, **given).eval()
    network.load_state_dict(state)
    prepare = create_transform(**resolve_data_config(dict(arguments), model=network))
    with torch.inference_mode():
        return network(torch.stack([prepare(each) for each in pictures()]))


@pytest.mark.parametrize(
    ("told", "same"),
    [
        ({"drop": 0.5, "drop_path": 0.4, "bn_momentum": 0.7}, True),
        ({"gp": "max"}, False),
        ({"bn_eps": 0.3}, False),
        ({"mean": [0.5, 0.4, 0.3]}, False),
        ({"std": [0.5, 0.4, 0.3]}, False),
        ({"interpolation": "bilinear"}, False),
        ({"crop_pct": 0.5}, False),
        ({"crop_mode": "squash"}, False),
        ({"crop_mode": "border", "mean": [0.5, 0.5, 0.5]}, False),
        ({"img_size": 96}, False),
        ({"input_size": [3, 64, 96]}, False),
        ({"model_kwargs": {"act_layer": "relu"}}, False),
    ],
)
def test_arguments_are_applied_as_timm_applies_them(
    tmp_path: Path, state: dict[str, torch.Tensor], told: dict[str, Any], same: bool
) -> None:
    theirs = trainers(state, **told)
    found = ours(spec_of(tmp_path, state, **told))
    assert torch.allclose(found, theirs, atol=1e-4)
    assert torch.allclose(theirs, trainers(state), atol=1e-5) is same


@pytest.mark.parametrize("trainer", ["timm", "open_clip"])
def test_no_argument_of_the_table_is_one_that_counts(trainer: str) -> None:
    counts = {
        "gp",
        "bn_eps",
        "bn_tf",
        "mean",
        "std",
        "interpolation",
        "crop_pct",
        "crop_mode",
        "img_size",
        "input_size",
    }
    counts |= {"in_chans", "model_kwargs", "class_map", "input_img_mode", "naflex_loader", "image_mean", "image_std"}
    counts |= {"image_interpolation", "image_resize_mode", "force_image_size", "force_quick_gelu", "force_custom_text"}
    counts |= {
        "force_context_length",
        "use_naflex",
        "force_naflex_vision",
        "model",
        "hf_model_name",
        "hf_tokenizer_name",
    }
    assert not inert_arguments(trainer) & (counts | ({"pretrained"} if trainer == "open_clip" else set()))


def test_what_open_clips_trainer_has_today_is_known() -> None:
    params = pytest.importorskip("open_clip_train.params")
    names = set(vars(params.parse_args([])))
    read = {"model", "pretrained", "force_image_size", "force_context_length", "force_custom_text", "force_quick_gelu"}
    read |= {"image_mean", "image_std", "image_interpolation", "image_resize_mode"}
    assert names <= read | inert_arguments("open_clip")


def test_an_argument_that_nobody_knows_is_refused_by_name(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    plain = ours(spec_of(tmp_path, state))
    assert torch.equal(ours(spec_of(tmp_path, state, my_flag=False, other=None, third="")), plain)
    with pytest.raises(ModelError, match=r"says my_flag: 3, an argument that timm's train.py does not have"):
        model_zoo.identify(spec_of(tmp_path, state, my_flag=3))
    (tmp_path / "w.pt").unlink()
    torch.save({"state_dict": state, "args": argparse.Namespace(data_set="IMNET", my_flag=3)}, tmp_path / "w.pt")
    identity = model_zoo.identify(f"timm:{NAME}@{tmp_path / 'w.pt'}")
    assert any("not timm's" in note and "data_set, my_flag" in note for note in identity.notes)


def test_bn_tf_is_an_epsilon(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    found = ours(spec_of(tmp_path, state, bn_tf=True))
    assert torch.allclose(found, trainers(state, bn_eps=1e-3), atol=1e-5)
    assert not torch.allclose(found, trainers(state), atol=1e-4)


def test_means_of_other_trainers(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    """BEiT's trainer normalises by halves unless imagenet_default_mean_and_std is set; DeiT's crops by eval_crop_ratio."""
    for given, mean in ((False, (0.5,) * 3), (True, (0.485, 0.456, 0.406))):
        about = argparse.Namespace(imagenet_default_mean_and_std=given, eval_crop_ratio=0.7)
        torch.save({"model": state, "args": about}, tmp_path / "w.pt")
        seen = model_zoo.identify(f"timm:{NAME}@{tmp_path / 'w.pt'}").pixels
        assert seen.mean == mean and seen.resize[0] == int(seen.size[0] / 0.7)


# open_clip's params.txt, against create_model_and_transforms as its main.py calls it


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("logs") / "run"
    (folder / "checkpoints").mkdir(parents=True)
    torch.manual_seed(0)
    text = {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
    vision = {"image_size": 64, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16}
    config = {"embed_dim": 16, "vision_cfg": vision, "text_cfg": text}
    for name, changes in (("Tiny-args", {}), ("Tiny-args-quickgelu", {"quick_gelu": True})):
        file = folder.parent / f"{name}.json"
        file.write_text(json.dumps({**config, **changes}))
        open_clip.add_model_config(file)
    state = open_clip.create_model("Tiny-args").state_dict()
    torch.save(
        {"epoch": 1, "state_dict": {f"module.{k}": v for k, v in state.items()}}, folder / "checkpoints" / "e.pt"
    )
    return folder, {
        "model": "Tiny-args",
        "pretrained": "",
        "siglip": False,
        "force_quick_gelu": False,
        "precision": "amp",
    }


CHANGES: dict[str, list[Any]] = {
    "image_mean": [(0.4, 0.5, 0.6)],
    "image_std": [(0.4, 0.5, 0.6)],
    "image_interpolation": ["bilinear", "random", "nearest"],
    "image_resize_mode": ["longest", "squash", "strange"],
    "force_quick_gelu": [True],
    "force_custom_text": [True],
    "force_patch_dropout": [0.5],
    "force_image_size": [96, 64, [64, 64], [64, 96]],
    "force_context_length": [40],
    "siglip": [True],
    "precision": ["bf16"],
    "use_naflex": [True],
    "force_strange": [1],
    "my_flag": [0.3],
    "hf_model_name": ["org/none"],
}


def test_each_argument_of_open_clips_trainer_is_applied_or_refused(run: tuple[Path, dict[str, Any]]) -> None:
    folder, plain = run
    file = folder / "checkpoints" / "e.pt"
    outcomes = {"equal": 0, "refused": 0}
    for key, values in CHANGES.items():
        for value in values:
            told = {**deepcopy(plain), key: value}
            (folder / "params.txt").write_text("".join(f"{k}: {v}\n" for k, v in told.items()))
            forced = {k: v for k, v in told.items() if k.startswith(("force_", "image_")) and v}
            try:
                found = ours(f"openclip:Tiny-args@{file}")
            except (ModelError, UnknownModel) as error:
                assert (
                    key in str(error)
                    or "QuickGELU" in str(error)
                    or "interpolation" in str(error)
                    or "resize" in str(error)
                    or "positional_embedding" in str(error)  # of another length than the file's
                )
                outcomes["refused"] += 1
                continue
            model, _, prepare = open_clip.create_model_and_transforms("Tiny-args", pretrained=str(file), **forced)
            with torch.inference_mode():
                theirs = model.eval().encode_image(torch.stack([prepare(each) for each in pictures()]))
            assert torch.allclose(found, theirs, atol=1e-4), (key, value)
            outcomes["equal"] += 1
    assert outcomes["equal"] > 8 and outcomes["refused"] >= 6, outcomes


# timm's config.json of a folder, against timm's own reading of it


def test_each_key_of_timms_config_is_the_librarys_or_refused(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = timm.create_model("test_vit2", num_classes=7)
    timm.models.save_for_hf(network, tmp_path, model_config={"num_classes": 7})
    written = json.loads((tmp_path / "config.json").read_text())
    written["pretrained_cfg"] |= {"crop_pct": 0.9, "crop_mode": "center"}
    changes: list[tuple[tuple[str, ...], Any]] = [
        *((("pretrained_cfg", key), value) for key in ("mean", "std") for value in ([0.3, 0.3, 0.3], [0.2, 0.3, 0.4])),
        *((("pretrained_cfg", "crop_pct"), value) for value in (0.5, 1.0, None)),
        *((("pretrained_cfg", "crop_mode"), value) for value in ("squash", "border", "strange")),
        *((("pretrained_cfg", "interpolation"), value) for value in ("bilinear", "lanczos", "random", "strange")),
        *((("pretrained_cfg", "input_size"), value) for value in ([3, 64, 64], [1, 64, 64], [3, 48, 64])),
        *(
            (("pretrained_cfg", key), "strange")
            for key in ("strange", "license", "first_conv", "classifier", "pool_size")
        ),
        *((("pretrained_cfg", key), True) for key in ("fixed_input_size", "custom_load")),
        (("pretrained_cfg", "num_classes"), 9),
        (("pretrained_cfg", "label_offset"), 1),
        (("architecture",), "test_vit"),
        (("architecture",), "strange"),
        *((("num_classes",), value) for value in (9, 0, None)),
        *((("global_pool",), value) for value in ("avg", "strange")),
        (("num_features",), 5),
        (("label_names",), ["a", "b"]),
        (("label_names",), list("abcdefg")),
        (("strange",), 1),
        *(
            (("model_args",), value)
            for value in ({"global_pool": "avg"}, {"strange": 1}, {"img_size": 64}, {"in_chans": 1})
        ),
        *((("model_args",), value) for value in ({"qkv_bias": False}, {"act_layer": "relu"}, {"class_token": False})),
    ]
    silent, outcomes = [], {"equal": 0, "refused": 0}
    for path, value in changes:
        mutated = deepcopy(written)
        inside = mutated if len(path) == 1 else mutated[path[0]]
        inside[path[-1]] = value
        (tmp_path / "config.json").write_text(json.dumps(mutated))
        try:
            found = ours(f"timm:local-dir:{tmp_path}")
        except (ModelError, UnknownModel) as error:
            assert "\n" not in str(error)
            outcomes["refused"] += 1
            continue
        except Exception as error:
            silent.append(f"{path} = {value}: {type(error).__name__}: {error}")
            continue
        try:
            own = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
            prepare = create_transform(**resolve_data_config({}, model=own))
            with torch.inference_mode():
                theirs = own(torch.stack([prepare(each) for each in pictures()]))
        except Exception as error:
            silent.append(f"{path} = {value}: timm fails ({type(error).__name__}: {error}), and effrob answers")
            continue
        if found.shape != theirs.shape or not torch.allclose(found, theirs, atol=1e-4):
            silent.append(f"{path} = {value}: another answer")
        outcomes["equal"] += 1
    assert silent == [], chr(10).join(silent)
    assert outcomes["equal"] > 10 and outcomes["refused"] > 5, outcomes
