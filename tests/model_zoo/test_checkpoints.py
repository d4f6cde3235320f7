"""Weights files: hostile, damaged and foreign ones are refused in one sentence."""

from __future__ import annotations

import argparse
import os
import pickle
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from model_zoo.checkpoints.files import existing, file_digest
from model_zoo.checkpoints.state import fit_state, read_state, state_digest
from model_zoo.errors import ModelError, UnknownModel


class Hostile:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch hostile-was-here",)


def refused(path: Path) -> str:
    with pytest.raises(ModelError) as raised:
        read_state(path)
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_with_code_is_refused_and_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zipped: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"w": torch.ones(1), "x": Hostile()}, "bad.pt", _use_new_zipfile_serialization=zipped)
    assert "holds code or objects" in refused(tmp_path / "bad.pt")
    assert "system" in refused(tmp_path / "bad.pt")
    assert not (tmp_path / "hostile-was-here").exists()


def test_a_bare_hostile_pickle_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.pkl").write_bytes(pickle.dumps(Hostile()))
    refused(tmp_path / "bad.pkl")
    assert not (tmp_path / "hostile-was-here").exists()


def test_a_whole_pickled_module_is_refused(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "module.pt")
    assert "Linear" in refused(tmp_path / "module.pt")


def test_torchscript_is_read_by_its_tensors_and_not_run(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    torch.jit.save(torch.jit.script(module), str(tmp_path / "script.pt"))
    state = read_state(tmp_path / "script.pt")
    assert set(state) == set(module.state_dict())
    for name, tensor in module.state_dict().items():
        assert torch.equal(state[name], tensor)


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    whole = tmp_path / "whole.pt"
    torch.save({"w": torch.ones(1000)}, whole)
    for name, content in {
        "text.pt": b"hello, world\n",
        "empty.pt": b"",
        "cut.pt": whole.read_bytes()[:900],
        "cut.safetensors": (50).to_bytes(8, "little") + b"{" + b"x" * 60,
    }.items():
        (tmp_path / name).write_bytes(content)
        refused(tmp_path / name)
    torch.save({"epoch": 3, "note": "no weights"}, tmp_path / "other.pt")
    assert "'epoch', 'note'" in refused(tmp_path / "other.pt")
    torch.save([torch.ones(2)], tmp_path / "list.pt")
    assert "found a list" in refused(tmp_path / "list.pt")


def test_training_checkpoints_of_timm_and_torchvision(tmp_path: Path) -> None:
    state = nn.Linear(2, 3).state_dict()
    for key in ("model", "state_dict"):
        torch.save({key: state, "epoch": 1, "args": argparse.Namespace(lr=0.1)}, tmp_path / "run.pt")
        assert set(read_state(tmp_path / "run.pt")) == {"weight", "bias"}


def test_misfits_name_the_tensors(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4))
    state = {**module.state_dict(), "extra": torch.ones(1), "0.weight": torch.ones(3, 5)}
    del state["1.bias"]
    with pytest.raises(ModelError) as raised:
        fit_state(module, state, "w.pt", "my net")
    for told in ("1 missing (1.bias)", "1 not in the model (extra)", "0.weight (3x5 in the file, 3x2 in the model)"):
        assert told in str(raised.value)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda w: (100 * w).to(torch.int8), "torch.int8"),
        (lambda w: w.to(torch.complex64), "torch.complex64"),
        (lambda w: w.to_sparse(), "sparse"),
        (lambda w: w.to("meta"), "sparse or empty"),
    ],
)
def test_tensors_that_are_no_plain_floats_are_a_misfit(make: Callable[[torch.Tensor], torch.Tensor], told: str) -> None:
    module = nn.Linear(2, 3)
    state = module.state_dict()
    with pytest.raises(ModelError, match=rf"1 of another kind of number \(weight \(.*{told}"):
        fit_state(module, {**state, "weight": make(state["weight"])}, "w.pt", "my net")
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        fit_state(module, {name: tensor.to(dtype) for name, tensor in state.items()}, "w.pt", "my net")
        assert module.weight.dtype == torch.float32


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_damaged_bytes_are_read_or_refused(tmp_path: Path, kind: str) -> None:
    path, dice = tmp_path / f"w.{kind}", random.Random(0)
    state = {"weight": torch.ones(3, 4), "bias": torch.ones(3)}
    if kind == "safetensors":
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=kind == "zip")
    whole, refusals = path.read_bytes(), 0
    for _ in range(80):
        damaged = bytearray(whole)
        for _ in range(dice.choice((1, 1, 4, 40))):
            damaged[dice.randrange(len(damaged)) if dice.random() < 0.5 else dice.randrange(64)] = dice.randrange(256)
        path.write_bytes(damaged[: dice.choice((len(damaged), dice.randrange(len(damaged))))])
        try:
            read_state(path)
        except ModelError as error:
            refusals += 1
            assert "\n" not in str(error)
    assert refusals > 30


def test_a_failed_fit_changes_nothing() -> None:
    module = nn.Linear(2, 2)
    before = state_digest(module)
    with pytest.raises(ModelError):
        fit_state(module, {"weight": torch.zeros(2, 2)}, "w.pt", "my net")
    assert state_digest(module) == before


def test_digests_follow_content(tmp_path: Path) -> None:
    path = tmp_path / "w"
    path.write_bytes(b"one")
    first = file_digest(path)
    path.write_bytes(b"other")
    assert file_digest(path) != first
    module = nn.BatchNorm2d(3)
    before = state_digest(module)
    module.running_mean.add_(1e-3)
    assert state_digest(module) != before


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(UnknownModel, match="does not exist"):
        existing(str(tmp_path / "none"), "a checkpoint")
    with pytest.raises(UnknownModel, match="is a folder"):
        existing(str(tmp_path), "a checkpoint")
