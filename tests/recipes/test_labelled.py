"""The trainers at full scale on lists that effrob wrote: a restart, weights to begin from, and weights effrob evaluates."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import open_clip
import pytest
import torch
import webdataset
from click.testing import CliRunner

import model_zoo
from model_zoo.checkpoints.parts import WeightsFile
from model_zoo.errors import ModelError
from model_zoo.pixels import PixelSpec
from model_zoo.sources import from_callable
from recipes.beginnings import begun, features, last_layer
from recipes.five_causes.full_scale.plan import lines
from recipes.five_causes.tower import clip_config
from recipes.five_causes.training import write_config
from recipes.frozen import NEVER, WithoutWords, rn50
from recipes.labelled import Listed, main
from recipes.processes import Place
from recipes.self_supervised import TEMPERATURE, Viewed, contrastive_loss, contrastive_view, images_of
from recipes.self_supervised import main as simclr
from recipes.subset import main as subset
from shifts.captions.export import export_labels, read_build, write_build
from shifts.captions.imagenet_captions import read_captions
from shifts.captions.sources import captioned
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


def self_supervised(source: Path, data: Path, out: Path, *more: str) -> str:
    arguments = ["--images", str(source), "--data", str(data), "--model", NETWORK, "--classes", "20", "--batch", "8"]
    arguments += ["--workers", "0", "--warmup", "1", "--epochs", "2", "--out", str(out), *more]
    found = CliRunner().invoke(simclr, arguments, catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return found.output


def test_a_tower_that_learned_by_views_goes_on_with_labels(listed: Path, few_pictures: Path, tmp_path: Path) -> None:
    """The paper's arm without language: SimCLR, then labels that texts were matched to."""
    said = self_supervised(listed, few_pictures, tmp_path / "s")
    assert "epoch 2: loss" in said
    final = tmp_path / "s" / "final.pt"
    first = torch.load(final, weights_only=True)
    last = torch.load(tmp_path / "s" / "last.pt", weights_only=True)
    assert any(name.startswith("projection") for name in last["trained"]) and not any("projection" in n for n in first)
    self_supervised(listed, few_pictures, tmp_path / "s")  # nothing is left to do
    assert all(torch.equal(first[name], again) for name, again in torch.load(final, weights_only=True).items())
    run(listed, few_pictures, tmp_path / "t", "--epochs", "1", "--rate", "0", "--seed", "5", "--init", str(final))
    tuned = torch.load(tmp_path / "t" / "final.pt", weights_only=True)
    learned = [name for name in tuned if "running" not in name and "tracked" not in name]
    assert all(torch.equal(tuned[name], first[name]) for name in learned if not name.startswith("fc."))
    assert not torch.equal(tuned["fc.weight"], first["fc.weight"])  # a layer of its own
    encoder = model_zoo.load(f"timm:{NETWORK}@{tmp_path / 't' / 'final.pt'}", "cpu")
    assert encoder.identity.n_classes == 20


def test_any_listed_images_will_do_once_each(listed: Path, few_pictures: Path, tmp_path: Path) -> None:
    rows = load(str(listed), root=few_pictures)
    _, paths = images_of(str(listed), few_pictures)
    assert paths == sorted(set(rows.ids)) and len(paths) == 15
    folder = few_pictures / "pocket" / "train"
    lines = [f"{folder / path}\ttext {number}" for number, path in enumerate([*paths[:4], paths[0]])]
    (tmp_path / "some.csv").write_text("\n".join(["filepath\ttitle", *lines]) + "\n")
    tree, some = images_of(str(tmp_path / "some.csv"), None)
    assert [tree.read(path) for path in some] == [(folder / path).read_bytes() for path in paths[:4]]
    shards(tmp_path / "web", folder, paths)
    tree, held = images_of(str(tmp_path / "web"), None)
    assert sorted(tree.read(path) for path in held) == sorted((folder / path).read_bytes() for path in paths)


def shards(out: Path, folder: Path, paths: list[str]) -> None:
    """Two WebDataset shards of image and text."""
    out.mkdir()
    with webdataset.ShardWriter(str(out / "%06d.tar"), maxcount=8, verbose=0) as writer:
        for number, path in enumerate(paths):
            writer.write({"__key__": f"{number:05d}", "jpg": (folder / path).read_bytes(), "txt": f"text {number}"})


def test_a_subset_of_the_web_has_the_size_of_a_build(listed: Path, few_pictures: Path, tmp_path: Path) -> None:
    _, paths = images_of(str(listed), few_pictures)
    folder = few_pictures / "pocket" / "train"
    shards(tmp_path / "web", folder, paths)

    def drawn(name: str, *how: str) -> dict[bytes, str]:
        found = CliRunner().invoke(subset, [str(tmp_path / "web"), "--out", str(tmp_path / name), *how])
        assert found.exit_code == 0, found.output
        made = captioned(str(tmp_path / name))
        sizes = json.loads((tmp_path / name / "sizes.json").read_text())
        rows = list(made.rows)
        assert sum(sizes.values()) == len(rows) and set(sizes) == {p.name for p in (tmp_path / name).glob("*.tar")}
        return {made.tree.read(path): text for path, text in rows}

    four, nine, again, other = (
        drawn(name, "--images", n, "--seed", seed, "--each", "4")
        for name, n, seed in (("a", "4", "0"), ("b", "9", "0"), ("c", "9", "0"), ("d", "9", "1"))
    )
    assert len(four) == 4 and len(nine) == 9 and four.items() < nine.items() and nine == again != other
    assert all(
        text == f"text {[(folder / p).read_bytes() for p in paths].index(image)}" for image, text in nine.items()
    )
    captions = read_captions(few_pictures / CAPTIONS, pocket())
    write_build(captions.kept(captions.records[:6]), tmp_path / "build", "pocket-train", {})
    assert len(drawn("like", "--like", str(tmp_path / "build"))) == 6

    def said(*how: str) -> str:
        found = CliRunner().invoke(subset, [str(tmp_path / "web"), *how])
        assert found.exit_code == 2
        return found.output

    assert "say how many" in said("--out", str(tmp_path / "x"))
    assert "is there already" in said("--images", "3", "--out", str(tmp_path / "a"))
    assert "holds 15 images, and 16 are to be drawn" in said("--images", "16", "--out", str(tmp_path / "y"))
    assert "give one of them" in said("--images", "4", "--each", "2", "--shards", "2", "--out", str(tmp_path / "y"))
    assert "4 images make no 5 shards" in said("--images", "4", "--shards", "5", "--out", str(tmp_path / "y"))
    assert not (tmp_path / "y").exists()
    assert drawn("even", "--images", "9", "--shards", "4") == nine
    assert sorted(json.loads((tmp_path / "even" / "sizes.json").read_text()).values()) == [2, 2, 2, 3]


def test_a_tower_of_open_clip_is_begun_from(tmp_path: Path) -> None:
    """CLIP's ResNet by open_clip's names becomes timm's network: the same features, whatever the last layer was."""
    clip = open_clip.create_model("RN50")
    torch.save({"epoch": 3, "state_dict": {f"module.{k}": v for k, v in clip.state_dict().items()}}, tmp_path / "c.pt")
    network, side, _, _ = begun("resnet50_clip", 7, tmp_path / "c.pt")
    pictures = torch.randn(1, 3, side, side)
    last = network.get_submodule(last_layer(network))
    with torch.inference_mode():
        width = clip.visual.eval().attnpool.c_proj
        seen = width(features(network.eval(), pictures))
        assert torch.allclose(seen, clip.visual(pictures), atol=1e-4)
    assert last.out_features == 7
    with pytest.raises(ModelError, match="holds other weights than test_resnet's"):
        begun(NETWORK, 7, tmp_path / "c.pt")
    (tmp_path / "torn.pt").write_bytes(b"PK")
    with pytest.raises(ModelError, match="cannot be read as weights"):
        begun(NETWORK, 7, tmp_path / "torn.pt")


def test_simclrs_loss_is_the_published_one() -> None:
    torch.manual_seed(0)
    z = torch.randn(6, 5)
    unit = z / z.norm(dim=1, keepdim=True)
    total = 0.0
    for i in range(6):
        j = (i + 3) % 6
        negatives = sum(float(torch.exp(unit[i] @ unit[k] / TEMPERATURE)) for k in range(6) if k != i)
        total -= float(torch.log(torch.exp(unit[i] @ unit[j] / TEMPERATURE) / negatives))
    found = contrastive_loss(Place(0, 1, torch.device("cpu")))(z, torch.arange(3).repeat(2))
    assert float(found) == pytest.approx(total / 6, rel=1e-4)


def test_several_processes_contrast_with_each_others_images(listed: Path, few_pictures: Path, tmp_path: Path) -> None:
    command = [
        "-m",
        "torch.distributed.run",
        "--nproc_per_node",
        "2",
        "--master_port",
        "29617",
        "-m",
        "recipes.self_supervised",
    ]
    command += [
        "--images",
        str(listed),
        "--data",
        str(few_pictures),
        "--model",
        NETWORK,
        "--batch",
        "8",
        "--workers",
        "0",
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    more = ["--classes", "20", "--epochs", "1", "--warmup", "0", "--out", str(tmp_path / "two")]
    done = subprocess.run(
        [sys.executable, *command, *more], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("epoch 1: loss") == 1
    loss = float(done.stdout.rpartition("loss ")[2])
    assert loss > 1.0  # of 8 images in two views, fifteen others to be told from: about log 15 at the start
    assert (tmp_path / "two" / "final.pt").is_file()


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
    module = from_callable.module_of(loader, PixelSpec((224, 224), (224, 224)), None)
    assert isinstance(module, WithoutWords) and torch.equal(
        module.state_dict()["1.weight"], made.state_dict()["1.weight"]
    )


def test_two_views_of_a_picture_are_two_crops(listed: Path, few_pictures: Path) -> None:
    mean = std = (0.5, 0.5, 0.5)
    both, number = Viewed(*images_of(str(listed), few_pictures), contrastive_view(32, mean, std))[3]
    assert both.shape == (2, 3, 32, 32) and not torch.equal(both[0], both[1]) and number == 3
    rows = load(str(listed), root=few_pictures)
    one, label = Listed(rows, 64, mean, std, 1.0)[0]
    assert len(rows) == 15 and one.shape == (3, 64, 64) and 0 <= label < 20


def test_wrong_use_of_the_trainer_ends_in_a_sentence(listed: Path, few_pictures: Path, tmp_path: Path) -> None:
    def said(*arguments: str) -> str:
        found = CliRunner().invoke(main, [*arguments, "--data", str(few_pictures), "--out", str(tmp_path / "x")])
        assert found.exit_code == 2, found.output
        return found.output

    assert "Unknown model" in said("--list", str(listed), "--model", "resnet5O")
    (tmp_path / "w.pt").write_bytes(b"")
    both = ("--tower", "openclip:RN50@w.pt", "--init", str(tmp_path / "w.pt"))
    assert "leave out --init, or --tower" in said("--list", str(listed), *both)
    assert "holds no labels.csv" in said("--list", str(tmp_path))
