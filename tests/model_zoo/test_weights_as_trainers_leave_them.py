"""One network's weights as trainers leave them: wrapped, prefixed, averaged, beside other things; read right or refused."""

from __future__ import annotations

import argparse
import collections
import datetime
import json
import pathlib
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

import model_zoo
from model_zoo import ModelError
from model_zoo.checkpoints.parts import read_weights, weights_file
from model_zoo.checkpoints.state import fit_state

NAME = "test_vit"


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model(NAME, num_classes=1000).eval()


def under(state: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {f"{prefix}{name}": value for name, value in state.items()}


class Stranger:
    """An object of a package that the reader does not have."""

    def __init__(self) -> None:
        self.rate = 0.1


class Attributes(dict):  # type: ignore[type-arg]
    """A dictionary of a package that the reader does not have, as Lightning's hyper-parameters are."""


FORMS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "bare": lambda s: s,
    "distributed": lambda s: {"state_dict": under(s, "module.")},
    "compiled": lambda s: under(s, "_orig_mod."),
    "compiled and distributed": lambda s: under(s, "module._orig_mod."),
    "lightning": lambda s: {"state_dict": under(s, "model."), "pytorch-lightning_version": "2.4.0", "epoch": 1},
    "lightning around compile": lambda s: {"state_dict": under(s, "model._orig_mod.")},
    "lightning with a loss": lambda s: {"state_dict": {**under(s, "net."), "criterion.weight": torch.ones(3)}},
    "deepspeed": lambda s: {"module": s, "buffer_names": [], "ds_version": "0.14.0"},
    "a backbone of a larger model": lambda s: {"model": under(s, "image_encoder.trunk."), "epoch": 3},
    "averaged alone": lambda s: {"epoch": 5, "model_ema": s},
    "averaged inside": lambda s: {"epoch": 5, "model_ema": {"module": s, "decay": 0.99}},
    "AveragedModel": lambda s: {"state_dict": {**under(s, "module."), "n_averaged": torch.tensor(3)}},
    "fsdp": lambda s: {name.replace("blocks.0.", "blocks.0._fsdp_wrapped_module."): t for name, t in s.items()},
    "numbers of numpy": lambda s: {"state_dict": s, "best": np.float64(0.5), "seen": np.int64(3), "curve": np.ones(3)},
    "paths": lambda s: {"state_dict": s, "at": pathlib.PurePosixPath("/a/b"), "dir": pathlib.Path("/c")},
    "namespaces": lambda s: {
        "model": s,
        "args": argparse.Namespace(lr=0.1, out=Path("/x")),
        "more": types.SimpleNamespace(a=1),
    },
    "defaultdicts": lambda s: {"state_dict": s, "log": collections.defaultdict(list, {"loss": [0.1]})},
    "dates": lambda s: {"state_dict": s, "at": datetime.datetime(2024, 1, 2), "took": datetime.timedelta(1)},
}


@pytest.mark.parametrize("form", FORMS)
def test_a_form_gives_the_plain_weights(network: nn.Module, tmp_path: Path, form: str) -> None:
    file = tmp_path / "w.pt"
    torch.save(FORMS[form](network.state_dict()), file)
    encoder = model_zoo.load(f"timm:{NAME}@{file}")
    batch = torch.randn(2, 3, *encoder.pixels.size)
    with torch.inference_mode():
        ours = nn.functional.linear(encoder.embed(batch), encoder.classifier.weight, encoder.classifier.bias)
        assert torch.allclose(ours, network(batch), atol=1e-5)


def test_objects_of_other_packages_are_left_unread(network: nn.Module, tmp_path: Path, monkeypatch: Any) -> None:
    module = types.ModuleType("some_config_package")
    Stranger.__module__, Stranger.__qualname__ = "some_config_package", "Stranger"
    module.Stranger = Stranger  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "some_config_package", module)
    torch.save({"state_dict": network.state_dict(), "hyper_parameters": {"config": Stranger()}}, tmp_path / "w.pt")
    monkeypatch.delitem(sys.modules, "some_config_package")
    weights = read_weights(weights_file(str(tmp_path / "w.pt"), "a file"))
    assert set(weights.state) == set(network.state_dict())
    assert "some_config_package" not in sys.modules


def test_dictionaries_of_other_packages_are_left_unread(network: nn.Module, tmp_path: Path, monkeypatch: Any) -> None:
    module = types.ModuleType("some_attribute_package")
    Attributes.__module__, Attributes.__qualname__ = "some_attribute_package", "Attributes"
    module.Attributes = Attributes  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "some_attribute_package", module)
    torch.save({"state_dict": network.state_dict(), "hyper_parameters": Attributes(lr=0.1)}, tmp_path / "w.pt")
    monkeypatch.delitem(sys.modules, "some_attribute_package")
    assert set(read_weights(weights_file(str(tmp_path / "w.pt"), "a file")).state) == set(network.state_dict())


def test_raw_and_averaged_weights_are_told_and_chosen(network: nn.Module, tmp_path: Path) -> None:
    file, averaged = tmp_path / "best.pth.tar", network.state_dict()
    raw = {name: tensor + 0.1 for name, tensor in averaged.items()}
    torch.save({"state_dict": raw, "state_dict_ema": averaged, "epoch": 3}, file)
    default = model_zoo.identify(f"timm:{NAME}@{file}")
    assert any("raw (state_dict) and averaged weights (state_dict_ema)" in note for note in default.notes)
    assert torch.equal(
        model_zoo.load(f"timm:{NAME}@{file}").module.head.weight,
        timm.create_model(NAME, checkpoint_path=str(file)).head.weight,
    )
    chosen = f"timm:{NAME}@{file}#state_dict"
    assert torch.equal(model_zoo.load(chosen).module.head.weight, raw["head.weight"])
    digests = {model_zoo.identify(spec).digest for spec in (default.asked, chosen)}
    assert len(digests) == 2
    with pytest.raises(ModelError, match=r"has no part 'ema'.*state_dict, state_dict_ema"):
        model_zoo.identify(f"timm:{NAME}@{file}#ema")


def test_two_networks_in_one_file_are_named(network: nn.Module, tmp_path: Path) -> None:
    file, state = tmp_path / "two.ckpt", network.state_dict()
    other = {name: tensor * 0 for name, tensor in state.items()}
    torch.save({"state_dict": {**under(state, "student."), **under(other, "teacher.")}}, file)
    with pytest.raises(ModelError, match=r"'student\.' and 'teacher\.'.*two\.ckpt#student"):
        model_zoo.load(f"timm:{NAME}@{file}")
    assert torch.equal(model_zoo.load(f"timm:{NAME}@{file}#student").module.head.weight, state["head.weight"])


def test_dinos_teacher_gives_features_without_a_classifier(tmp_path: Path) -> None:
    torch.manual_seed(0)
    backbone = timm.create_model(NAME, num_classes=0).eval()
    state = backbone.state_dict()
    projection = {"head.mlp.0.weight": torch.ones(3, 64), "head.last_layer.weight_g": torch.ones(3, 1)}
    teacher = {**under(state, "backbone."), **projection}
    student = under({name: tensor * 0 for name, tensor in teacher.items()}, "module.")
    content = {"student": student, "teacher": teacher, "optimizer": {}, "dino_loss": {"center": torch.ones(1, 3)}}
    torch.save(content, tmp_path / "dino.pth")
    encoder = model_zoo.load(f"timm:{NAME}@{tmp_path / 'dino.pth'}")
    assert (encoder.kind, encoder.classifier) == ("penultimate", None)
    notes = " ".join(encoder.identity.notes)
    assert "averaged weights (teacher)" in notes and "holds no classifier" in notes
    batch = torch.randn(2, 3, *encoder.pixels.size)
    with torch.inference_mode():
        assert torch.allclose(encoder.embed(batch), backbone(batch), atol=1e-5)


def test_shards_by_their_index(network: nn.Module, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    names = sorted(state)
    for number, part in enumerate((names[::2], names[1::2])):
        save_file({name: state[name] for name in part}, tmp_path / f"model-{number}.safetensors")
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {n: f"model-{i % 2}.safetensors" for i, n in enumerate(names)}}))
    assert torch.equal(model_zoo.load(f"timm:{NAME}@{index}").module.head.weight, state["head.weight"])
    (tmp_path / "model-1.safetensors").unlink()
    with pytest.raises(ModelError, match=r"model-1\.safetensors is not beside it"):
        model_zoo.load(f"timm:{NAME}@{index}")


@pytest.mark.filterwarnings("ignore")  # of tracing
def test_torchscript_gives_its_weights_to_a_named_architecture(network: nn.Module, tmp_path: Path) -> None:
    with torch.inference_mode():
        torch.jit.trace(network, torch.zeros(1, 3, 160, 160)).save(str(tmp_path / "traced.pt"))
    encoder = model_zoo.load(f"timm:{NAME}@{tmp_path / 'traced.pt'}")
    assert torch.equal(encoder.module.head.weight, network.state_dict()["head.weight"])


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("net.onnx", "ONNX graph.*state_dict.*loader"),
        ("net.pt2", r"torch\.export.*state_dict"),
        ("net.h5", "TensorFlow"),
    ],
)
def test_exported_programs_say_what_to_give(tmp_path: Path, name: str, told: str) -> None:
    (tmp_path / name).write_bytes(b"\x08\x07exported")
    with pytest.raises(ModelError, match=told):
        model_zoo.load(f"timm:{NAME}@{tmp_path / name}")


def test_lora_matrices_beside_weights_are_refused(network: nn.Module, tmp_path: Path) -> None:
    torch.save({**network.state_dict(), "blocks.0.attn.qkv.lora_A.weight": torch.ones(2, 3)}, tmp_path / "w.pt")
    with pytest.raises(ModelError, match=r"LoRA.*merge_and_unload"):
        model_zoo.load(f"timm:{NAME}@{tmp_path / 'w.pt'}")


def test_a_rank_of_deepspeed_says_how_to_consolidate(network: nn.Module, tmp_path: Path) -> None:
    empty = {name: torch.empty(0) for name in network.state_dict()}
    torch.save({"module": empty, "ds_version": "0.14.0", "param_shapes": []}, tmp_path / "mp_rank_00_model_states.pt")
    with pytest.raises(ModelError, match="zero_to_fp32"):
        model_zoo.load(f"timm:{NAME}@{tmp_path / 'mp_rank_00_model_states.pt'}")


def test_a_misfit_of_names_says_prefix_and_part() -> None:
    module = nn.Sequential(nn.Linear(2, 3))
    with pytest.raises(ModelError, match=r"prefix of decoder, head stripped or renamed.*#"):
        fit_state(module, {"decoder.x": torch.ones(1), "head.y": torch.ones(1)}, "w.pt", "my net")


@pytest.mark.parametrize(
    ("suffix", "prefix", "raw"),
    [("ckpt", "model.", "model"), ("ckpt", "", "state_dict"), ("safetensors", "model.", "model")],
)
def test_averages_under_names_without_dots(
    network: nn.Module, tmp_path: Path, suffix: str, prefix: str, raw: str
) -> None:
    own = network.state_dict()
    ema = {name.replace(".", ""): value + 1 for name, value in own.items() if not name.endswith("bias")}
    counters = {"decay": torch.tensor(0.99), "num_updates": torch.tensor(7)}
    state = {**under(own, prefix), **under({**ema, **counters}, "model_ema.")}
    file = tmp_path / f"last.{suffix}"
    if suffix == "ckpt":
        torch.save({"state_dict": state, "epoch": 1}, file)
    else:
        save_file({name: value.contiguous() for name, value in state.items()}, file)
    wanted = {name: value if name.endswith("bias") else value + 1 for name, value in own.items()}
    encoder = model_zoo.load(f"timm:{NAME}@{file}")
    assert any("averages (model_ema)" in note and f"{file.name}#" in note for note in encoder.identity.notes)
    named = model_zoo.identify(f"timm:{NAME}@{file}#model_ema")
    plain = model_zoo.identify(f"timm:{NAME}@{file}#{raw}")
    assert encoder.identity.digest == named.digest != plain.digest
    for part, right in (("", wanted), ("#model_ema", wanted), (f"#{raw}", own)):
        filled = timm.create_model(NAME, num_classes=1000)
        fit_state(filled, read_weights(weights_file(f"{file}{part}", "test")).state, file, NAME)
        assert all(torch.equal(value, right[name]) for name, value in filled.state_dict().items())
    state["model_ema.stranger"] = torch.ones(2)
    torch.save({"state_dict": state}, tmp_path / "strange.pt")
    with pytest.raises(ModelError, match="do not each belong to one raw weight"):
        read_weights(weights_file(str(tmp_path / "strange.pt"), "test"))
