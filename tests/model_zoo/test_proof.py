"""The proof before a run: refused where one key is altered, kept, and made before the first image."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_data_config
from torchvision.models import ResNet18_Weights, resnet18

import effrob
import model_zoo
from effrob.cli import main
from effrob.evaluation.trials import pixels, prove_encoder
from model_zoo import ModelError, PixelSpec
from model_zoo.proof import Proof, prove
from tests.model_zoo import tiny_hf

transformers = pytest.importorskip("transformers")

ALTERED = {
    "mean": (0.46, 0.456, 0.406),
    "std": (0.229, 0.231, 0.225),
    "interpolation": "lanczos",
    "resize": None,
    "mode": "squash",
    "offset": None,
}


Case = tuple[str, Callable[[Image.Image], torch.Tensor], Callable[[torch.Tensor], torch.Tensor]]


def of_timm(folder: Path) -> Case:
    torch.manual_seed(0)
    network = timm.create_model("test_vit2", num_classes=10).eval()
    torch.save(network.state_dict(), folder / "w.pt")
    return f"timm:test_vit2@{folder / 'w.pt'}", create_transform(**resolve_data_config({}, model=network)), network


def of_torchvision(folder: Path) -> Case:
    torch.manual_seed(0)
    network = resnet18().eval()
    torch.save(network.state_dict(), folder / "w.pt")
    return f"torchvision:resnet18@{folder / 'w.pt'}", ResNet18_Weights.DEFAULT.transforms(), network


def of_transformers(kind: str) -> Callable[[Path], Case]:
    def make(folder: Path) -> Case:
        torch.manual_seed(0)
        config = transformers.ViTConfig(**tiny_hf.TOWER, image_size=32, patch_size=8, num_labels=9)
        network = transformers.ViTForImageClassification(config).eval()
        crop = {"size": {"shortest_edge": 37}, "crop_size": {"height": 32, "width": 32}}
        processor = getattr(transformers, kind)(**crop)
        place = tiny_hf.save(folder / "hf", network, processor)
        prepare = lambda picture: processor(images=[picture], return_tensors="pt")["pixel_values"][0]  # noqa: E731
        return f"transformers:{place}", prepare, lambda batch: network(batch).logits

    return make


SOURCES: dict[str, Callable[[Path], Case]] = {
    "timm": of_timm,
    "torchvision": of_torchvision,
    "transformers, generic": of_transformers("CLIPImageProcessor"),
}


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Any, Case]]:
    """`case(source)` -> (encoder, what it was made of), each made once."""
    made: dict[str, tuple[Any, Case]] = {}

    def make(source: str) -> tuple[Any, Case]:
        if source not in made:
            parts = SOURCES[source](tmp_path_factory.mktemp("case"))
            made[source] = model_zoo.load(parts[0]), parts
        encoder, parts = made[source]
        return replace(encoder), parts

    return make


@pytest.mark.parametrize("source", ["timm", "torchvision", "transformers, generic"])
@pytest.mark.parametrize("key", ALTERED)
def test_one_altered_key_is_refused_and_both_numbers_shown(source: str, key: str, case: Any) -> None:
    encoder, _ = case(source)
    spec = encoder.pixels
    value: Any = ALTERED[key]
    if key == "resize":
        value = (spec.resize[0] + 1, spec.resize[1] + 1)
    if key == "offset":
        value = "round" if spec.offset == "floor" else "floor"
    if getattr(spec, key) == value:
        pytest.skip("that is its own")
    encoder.identity = replace(encoder.identity, pixels=replace(spec, **{key: value}))
    with pytest.raises(ModelError, match=r"pixels of a \d+x\d+ picture: effrob makes .* grey levels apart"):
        prove_encoder(encoder)


def test_a_proof_comes_back_from_json(case: Any) -> None:
    proof = prove(case("timm")[0], pixels)
    assert Proof.from_json(json.loads(json.dumps(proof.as_json()))) == proof
    with pytest.raises((TypeError, KeyError)):
        Proof.from_json({"wrong": [], "other": 1})


class OnlyLogits(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(dim=(2, 3)).repeat(1, 7)[:, :20].sin()


SMALL = PixelSpec((32, 32), (32, 32))


def test_a_probe_on_logits_is_refused_before_the_first_image(
    pocket_data: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    model_zoo.register("logits", OnlyLogits, pixels=SMALL, replace=True)
    options = {
        "suite": "pocket",
        "limit": 20,
        "progress": False,
        "data": pocket_data,
        "train": "pocket",
        "train_limit": 2,
    }
    where = {"results": tmp_path / "r", "cache": tmp_path / "c"}
    from effrob.features.loader import Crops

    decoded: list[int] = []
    fill = Crops.fill
    monkeypatch.setattr(Crops, "fill", lambda self, row, slots: decoded.append(row) or fill(self, row, slots))
    with pytest.raises(effrob.errors.RunFailed, match="gives logits and no features") as raised:
        effrob.evaluate("logits", "pocket", head="linear-probe@1", **options, **where)
    assert decoded == [] and list(raised.value.rows) == []
    with pytest.raises(effrob.errors.RunFailed) as raised:
        effrob.evaluate(["logits", "pocket:cnn-small"], "pocket", head=("native", "ridge"), **options, **where)
    assert [(row.model, row.head) for row in raised.value.rows] == [
        ("logits", "native"),
        ("pocket:cnn-small", "native"),
        ("pocket:cnn-small", "ridge"),
    ]


def test_a_dry_run_refuses_what_a_run_would(pocket_data: Path, tmp_path: Path) -> None:
    from click.testing import CliRunner

    (tmp_path / "nets.py").write_text("from tests.model_zoo.test_proof import OnlyLogits\nbuild = OnlyLogits\n")
    given = ["--loader", f"{tmp_path}/nets.py:build", "--pixels", "crop=32,interpolation=bilinear,mean=0.5,std=0.5"]
    registered = CliRunner().invoke(main, ["register", "net", *given])
    assert registered.exit_code == 0 and "heads: native\n" in registered.output, registered.output
    command = ["eval", "--model", "net", "--suite", "pocket", "--shift", "pocket", "--data", str(pocket_data)]
    command += ["--results", str(tmp_path / "r"), "--cache", str(tmp_path / "c"), "--limit", "20", "--dry-run"]
    learning = CliRunner().invoke(main, [*command, "--head", "ridge", "--train", "pocket", "--train-limit", "2"])
    assert learning.exit_code == 1 and "gives logits and no features" in learning.output
    assert "0 jobs, 0 images to decode" in learning.output
    lacking = [*command, "--head", "knn", "--train", "pocket", "--train-limit", "2", "--model", "pocket:linear"]
    own = CliRunner().invoke(main, [*lacking, "--json"])
    assert own.exit_code == 1 and len(json.loads(own.stdout)["refused"]) == 1
    assert CliRunner().invoke(main, [*command, "--head", "native"]).exit_code == 0


def test_weights_that_are_not_here_are_not_tried_in_a_dry_run(
    pocket_data: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    from click.testing import CliRunner

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    command = ["eval", "--model", "torchvision:resnet18", "--suite", "pocket", "--shift", "pocket", "--head", "ridge"]
    command += ["--data", str(pocket_data), "--train", "pocket", "--train-limit", "2", "--limit", "20", "--dry-run"]
    command += ["--results", str(tmp_path / "r"), "--cache", str(tmp_path / "c")]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0 and "is not tried: its weights are not on this machine yet" in result.output


def test_scores_are_compared_too(case: Any) -> None:
    encoder, _ = case("torchvision")
    assert encoder.classifier is not None and encoder.classifier.weight is not None
    encoder.classifier = replace(encoder.classifier, weight=encoder.classifier.weight * 1.01)
    with pytest.raises(ModelError, match=r"scores of a photograph: effrob computes .* and torchvision"):
        prove_encoder(encoder)
