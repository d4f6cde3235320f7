"""The labelled trainer on a list that effrob wrote: both losses, a restart, and weights that effrob evaluates."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from click.testing import CliRunner

import model_zoo
from recipes.labelled import Listed, main
from shifts.caption_export import export_labels, read_build, write_build
from shifts.captions import read_captions
from shifts.catalogue import load
from shifts.classes import pocket
from shifts.pocket_draw import CAPTIONS

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
