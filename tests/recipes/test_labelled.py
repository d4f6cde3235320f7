"""The labelled trainer on a list that effrob wrote: both losses, a restart, and weights that effrob evaluates."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import open_clip
import pytest
import timm
import torch
from click.testing import CliRunner

import model_zoo
from model_zoo.checkpoints.parts import WeightsFile
from model_zoo.sources import from_callable
from recipes.five_causes.imagenet import lines
from recipes.five_causes.tower import clip_config
from recipes.five_causes.training import write_config
from recipes.frozen import NEVER, WithoutWords, rn50
from recipes.labelled import Listed, main
from shifts.captions.export import export_labels, read_build, write_build
from shifts.captions.imagenet_captions import read_captions
from shifts.catalogue import load
from shifts.classes import pocket
from shifts.synthetic.draw import CAPTIONS

ROOT = Path(__file__).resolve().parents[2]
NETWORK = "test_resnet"  # timm's own smallest


@pytest.fixture(scope="module")
def listed(few_pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lists")
    captions = read_captions(few_pictures / CAPTIONS, pocket())
    write_build(captions.kept(captions.records[::8]), folder / "build", "pocket-train", {})
    some, manifest = read_build(folder / "build")
    export_labels(some, folder / "labels", manifest)
    return folder / "labels"


def run(listed: Path, data: Path, out: Path, *more: str) -> str:
    arguments = ["--list", str(listed), "--data", str(data), "--model", NETWORK, "--batch", "8", "--workers", "0"]
    found = CliRunner().invoke(main, [*arguments, "--out", str(out), *more], catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return found.output


def test_a_restart_gives_what_a_run_in_one_go_gives(listed: Path, few_pictures: Path, tmp_path: Path) -> None:
    drops = ("--drops", "1", "--rate", "0.01")
    torch.manual_seed(0)
    run(listed, few_pictures, tmp_path / "b", "--epochs", "1", *drops)
    said = run(listed, few_pictures, tmp_path / "b", "--epochs", "2", *drops)
    assert "epoch 2" in said and "epoch 1" not in said
    last = torch.load(tmp_path / "b" / "last.pt", weights_only=True)
    assert last["epoch"] == 2 and last["schedule"]["_last_lr"] == [pytest.approx(0.001)]
    before = {
        name: tensor.clone() for name, tensor in torch.load(tmp_path / "b" / "final.pt", weights_only=True).items()
    }
    run(listed, few_pictures, tmp_path / "b", "--epochs", "2", *drops)  # nothing is left to do
    again = torch.load(tmp_path / "b" / "final.pt", weights_only=True)
    assert all(torch.equal(before[name], again[name]) for name in before)


def test_weights_are_read_back_by_effrob(listed: Path, few_pictures: Path, tmp_path: Path) -> None:
    run(listed, few_pictures, tmp_path / "s", "--epochs", "1", "--loss", "simclr", "--rate", "0.01")
    final = tmp_path / "s" / "final.pt"
    network = timm.create_model(NETWORK, pretrained=False, num_classes=20)
    network.load_state_dict(torch.load(final, weights_only=True))
    last = torch.load(tmp_path / "s" / "last.pt", weights_only=True)
    assert any(name.startswith("projection") for name in last["trained"])
    encoder = model_zoo.load(f"timm:{NETWORK}@{final}", "cpu")
    assert encoder.identity.n_classes == 20


def test_a_head_without_words_is_learned_from_a_list_that_lacks_classes(few_pictures: Path, tmp_path: Path) -> None:
    """No head of effrob learns from such a list, and captions leave some class without an image as a rule."""
    captions = read_captions(few_pictures / CAPTIONS, pocket())
    some = [record for record in captions.records if record.wnid in captions.table.ids[:3]]
    write_build(captions.kept(some), tmp_path / "build", "pocket-train", {})
    kept, manifest = read_build(tmp_path / "build")
    export_labels(kept, tmp_path / "list", manifest)
    tower = f"openclip:{write_config(tmp_path)}@{tmp_path / 'clip.pt'}"
    clip = create_model_from_file(tmp_path)
    torch.save({"epoch": 1, "state_dict": {f"module.{k}": v for k, v in clip.items()}}, tmp_path / "clip.pt")
    run(tmp_path / "list", few_pictures, tmp_path / "h", "--epochs", "2", "--rate", "0.5", "--tower", tower)
    state = torch.load(tmp_path / "h" / "final.pt", weights_only=True)
    frozen = {name.removeprefix("0."): tensor for name, tensor in state.items() if name.startswith("0.")}
    assert frozen and all(torch.equal(tensor, clip[f"visual.{name}"]) for name, tensor in frozen.items())
    assert state["1.weight"].shape[0] == 20 and (state["1.bias"][3:] == NEVER).all() and not state["1.weight"][3:].any()
    assert (state["1.bias"][:3] > -100).all() and state["1.weight"][:3].abs().sum() > 0


def create_model_from_file(folder: Path) -> dict[str, torch.Tensor]:
    """The weights, untrained, of the five causes' contrastive model; running means that are no longer zero."""
    (folder / "bare.json").write_text(json.dumps(clip_config()))
    open_clip.add_model_config(folder / "bare.json")
    state: dict[str, torch.Tensor] = open_clip.create_model("bare").state_dict()
    return {name: t + 0.25 if name.endswith("running_mean") else t for name, t in state.items()}


def test_the_printed_head_is_registered_and_read_back(tmp_path: Path) -> None:
    torch.manual_seed(1)
    made = rn50()
    torch.save(made.state_dict(), tmp_path / "final.pt")
    line = next(line for line in lines() if "register" in line.argv)
    given = dict(pairwise(line.argv))
    assert given["--loader"] == "recipes.frozen:rn50"
    loader = from_callable.find(given["--loader"], str(ROOT), WeightsFile(tmp_path / "final.pt"))
    module = from_callable.module_of(loader)
    assert isinstance(module, WithoutWords) and torch.equal(
        module.state_dict()["1.weight"], made.state_dict()["1.weight"]
    )


def test_two_views_of_a_picture_are_two_crops(listed: Path, few_pictures: Path) -> None:
    from recipes.five_causes.views import contrastive_view, training_crop

    rows = load(str(listed), root=few_pictures)
    assert len(rows) == 15
    both, label = Listed(rows, contrastive_view(), 2)[0]
    assert both.shape == (2, 3, 32, 32) and not torch.equal(both[0], both[1]) and 0 <= label < 20
    one, _ = Listed(rows, training_crop(1.0, 64), 1)[0]
    assert one.shape == (1, 3, 64, 64)


def test_wrong_use_of_the_trainer_ends_in_a_sentence(listed: Path, few_pictures: Path, tmp_path: Path) -> None:
    def said(*arguments: str) -> str:
        found = CliRunner().invoke(main, [*arguments, "--data", str(few_pictures), "--out", str(tmp_path / "x")])
        assert found.exit_code == 2, found.output
        return found.output

    assert "Unknown model" in said("--list", str(listed), "--model", "resnet5O")
    assert "holds no labels.csv" in said("--list", str(tmp_path))
