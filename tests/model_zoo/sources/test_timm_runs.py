"""Checkpoints of timm's train.py: arguments that change the network or its columns are applied, or refused by name."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import yaml
from timm.data import ImageNetInfo
from torch import nn

import model_zoo
from model_zoo import ModelError

NAME = "test_efficientnet"


def run_of(folder: Path, module: nn.Module, inside: bool = True, **arguments: Any) -> str:
    """A checkpoint with its arguments inside or in args.yaml beside it, as a spec."""
    told = {
        "model": NAME,
        "img_size": None,
        "mean": None,
        "interpolation": "",
        "in_chans": None,
        "gp": None,
        **arguments,
    }
    content: dict[str, Any] = {"epoch": 1, "arch": NAME, "state_dict": module.state_dict()}
    if inside:
        content["args"] = argparse.Namespace(**told)
    else:
        (folder / "args.yaml").write_text(yaml.safe_dump(told))
    torch.save(content, folder / "model_best.pth.tar")
    return f"timm:{NAME}@{folder / 'model_best.pth.tar'}"


def same_scores(spec: str, module: nn.Module) -> bool:
    """Whether the network read computes what `module` does."""
    read = model_zoo.load(spec, device="cpu").module
    pictures = torch.randn(2, 3, 160, 160, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        return torch.equal(read(pictures), module.eval()(pictures))


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize(
    ("told", "built"),
    [
        ({"gp": "max"}, {"global_pool": "max"}),
        ({"bn_eps": 0.3}, {"bn_eps": 0.3}),
        ({"model_kwargs": {"output_stride": 16}}, {"output_stride": 16}),
        ({"drop": 0.5, "drop_path": 0.1, "bn_momentum": 0.3, "in_chans": 3}, {}),
    ],
)
def test_network_arguments_are_applied(
    tmp_path: Path, told: dict[str, Any], built: dict[str, Any], inside: bool
) -> None:
    torch.manual_seed(0)
    module = timm.create_model(NAME, **built)
    spec = run_of(tmp_path, module, inside, **told)
    assert same_scores(spec, module)
    if built:
        assert not same_scores(run_of(tmp_path, module, inside=True, crop_pct=0.9), module)
        notes = model_zoo.identify(run_of(tmp_path, module, inside, **told)).notes
        assert any("the network is built with" in note for note in notes)
        assert not any("interpolation" in note for note in notes)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"in_chans": 1}, "in_chans: 1"),
        ({"input_size": [1, 160, 160]}, "in_chans: 1"),
        ({"input_img_mode": "L"}, "input_img_mode: 'L'"),
        ({"naflex_loader": True}, "naflex_loader"),
        ({"gp": "nonsense"}, "global_pool='nonsense'"),
        ({"model_kwargs": {"no_such": 1}}, "no_such=1"),
    ],
)
def test_what_cannot_be_applied_is_refused_by_name(tmp_path: Path, told: dict[str, Any], said: str) -> None:
    spec = run_of(tmp_path, timm.create_model(NAME), **told)
    with pytest.raises(ModelError, match="effrob register") as caught:
        model_zoo.load(spec, device="cpu")
    assert said in str(caught.value)


def test_columns_follow_the_class_map(tmp_path: Path) -> None:
    names = ImageNetInfo("imagenet-1k").label_names()[::-1]
    spec = run_of(tmp_path, timm.create_model(NAME), class_map="elsewhere/map.pkl")
    with pytest.raises(ModelError, match=r"class_map: elsewhere/map\.pkl.* put map\.txt beside the weights"):
        model_zoo.identify(spec)
    plain = model_zoo.identify(run_of(tmp_path, timm.create_model(NAME)))
    run_of(tmp_path, timm.create_model(NAME), class_map="elsewhere/map.pkl")
    (tmp_path / "map.txt").write_text("\n".join(names) + "\n")
    identity = model_zoo.identify(spec)
    assert identity.labels == tuple(names) and identity.digest != plain.digest
    (tmp_path / "map.txt").write_text("\n".join(names[1:]) + "\n")
    with pytest.raises(ModelError, match="999 different classes"):
        model_zoo.identify(spec)


def test_model_args_of_a_config_beside_the_file(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = timm.create_model(NAME, global_pool="max")
    timm.models.save_for_hf(module, tmp_path, model_args={"global_pool": "max"}, safe_serialization=False)
    file = next(tmp_path.glob("*.bin"))
    assert same_scores(f"timm:local-dir:{tmp_path}", module)
    assert same_scores(f"timm:{NAME}@{file}", module)
