"""Real photographs and real networks against answers computed independently. Skipped where EFFROB_REAL is not set."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from effrob.results.store import ResultStore

NETWORKS = {  # name -> (answers, right of 1,300)
    "squeezenet": ("squeezenet1_0", 892),
    "mobilenet-025": ("mobilenet_v1_0.25_128", 700),
    "mobilenet-05": ("mobilenet_v1_0.5_160", 942),
    "mobilenet-075": ("mobilenet_v1_0.75_192", 995),
}


def effrob(*args: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([sys.executable, "-m", "effrob", *args], capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    return done


def registrations(real: Path) -> list[list[str]]:
    """One command a network."""
    weights = real / "weights" / "squeezenet1_0.pth"
    commands = [["register", "squeezenet", "--checkpoint", str(weights), "--like", "torchvision:squeezenet1_0"]]
    for name, function, size in (("025", "025_128", 128), ("05", "05_160", 160), ("075", "075_192", 192)):
        loader = f"{real / 'networks.py'}:mobilenet_v1_{function}"
        pixels = f"resize={int(size / 0.875)},crop={size},interpolation=bilinear,mean=0.5,std=0.5"
        commands.append(["register", f"mobilenet-{name}", "--loader", loader, "--pixels", pixels])
    return commands


def test_four_real_networks_answer_as_an_independent_script_did(real: Path, tmp_path: Path) -> None:
    for command in registrations(real):
        effrob(*command)
    models = [word for name in NETWORKS for word in ("--model", name)]
    folders = ["--data", str(real), "--results", str(tmp_path / "r"), "--cache", str(tmp_path / "c")]
    done = effrob(
        "eval",
        *models,
        "--shift",
        "imagenet",
        "--partial",
        "--batch-size",
        "8",
        "--pixels",
        "exact",
        *folders,
        "--json",
    )
    rows = {row["model"]: row for row in json.loads(done.stdout)}
    for stored in ResultStore(tmp_path / "r"):
        name = stored.record.asked.model
        answers, right = NETWORKS[name]
        expected = np.load(real / "expected" / f"{answers}.npz")
        place = {Path(str(file)).name: i for i, file in enumerate(expected["files"])}
        got = stored.predictions()
        order = np.array([place[Path(str(each)).name] for each in got.id])
        differ = got.predicted != expected["pred"][order]
        assert (expected["margin"][order][differ] < 1e-3).all(), f"{name}: {differ.sum()} differ beyond a near-tie"
        assert np.array_equal(got.target, expected["label"][order])
        assert rows[name]["n_correct"] == right and rows[name]["n"] == 1300 and rows[name]["n_expected"] == 50_000
        assert rows[name]["partial"] is True
        again = json.loads(
            effrob("verify", str(stored.folder), "--model", name, *folders[:2], *folders[4:], "--json").stdout
        )
        assert again["reproduced"] and again["notices"] == [], name
        assert [(view["n"], view["n_record"]) for view in again["views"]] == [(200, 1300)]
        assert 0.87 < again["views"][0]["chance_of_catching_one_percent"] < 0.9
    _alter_one_percent(stored.folder)
    asked = ["verify", str(stored.folder), "--model", name, *folders[:2], *folders[4:]]
    done = subprocess.run(
        [sys.executable, "-m", "effrob", *asked, "--images", "1300", "--json"],
        capture_output=True,
        text=True,
        env=dict(os.environ),
    )
    assert done.returncode == 1 and json.loads(done.stdout)["views"][0]["n_differing"] == 13


def _alter_one_percent(folder: Path) -> None:
    """Make 13 of 1,300 answers another class, with everything that follows from it: a record that reads as any."""
    from dataclasses import replace

    from effrob.results.recount.rows import count
    from effrob.results.store import read
    from tests.honest import told

    rows = read(folder).predictions()
    which = np.flatnonzero(rows.correct)[:: int(rows.correct.sum()) // 13][:13]
    predicted = rows.predicted.copy()
    predicted[which] = (predicted[which] + 500) % 1000
    forged, columns = told("imagenet", rows.id, predicted), {}
    for name in ("predicted", "top5", "predicted_1000", "correct", "correct_1000", "correct_top5"):
        columns[name] = getattr(rows, name).copy()
        columns[name][which] = getattr(forged, name)[which]
    made = replace(rows, **columns)
    facts = json.loads((folder / "record.json").read_text())
    facts["files"]["predictions.npz"], facts["counts"] = made.save(folder / "predictions.npz"), vars(count(made))
    (folder / "record.json").write_text(json.dumps(facts))
    read(folder)


def test_a_clip_on_real_photographs_scores_as_open_clip_does(real: Path, tiny_clip: str, tmp_path: Path) -> None:
    import open_clip
    import torch

    from effrob.evaluation.evaluator import Evaluation
    from effrob.evaluation.request import Request
    from effrob.heads.prompts import prompt_set

    paths = {"results": tmp_path / "r", "cache": tmp_path / "c"}
    options = {
        "shifts": ("imagenet",),
        "data": real,
        "partial": True,
        "limit": 100,
        "prompts": ("simple",),
        "pixels": "exact",
    }
    evaluation = Evaluation(Request(models=(tiny_clip,), **options, **paths, progress=False))
    assert not evaluation.run().failures
    cell = evaluation.tasks[0]
    features = torch.from_numpy(np.array(evaluation._features(cell, cell.shift).array))
    ours = evaluation.classifier(cell).scores(features)
    wanted = open_clips_scores(tiny_clip, cell.shift, prompt_set("simple").templates)
    assert torch.allclose(ours, wanted, atol=1e-5)
    assert open_clip.__version__


def open_clips_scores(spec: str, shift, templates):
    """(N, 1000) cosine scores of open_clip's own transform, towers and classifier."""
    import open_clip
    import torch

    config, _, checkpoint = spec.removeprefix("openclip:").partition("@")
    name = Path(config).stem
    model, _, transform = open_clip.create_model_and_transforms(name)
    state = torch.load(checkpoint, weights_only=True)["state_dict"]
    model.load_state_dict({key.removeprefix("module."): value for key, value in state.items()})
    model.eval()
    with torch.inference_mode():
        images = torch.cat(
            [model.encode_image(transform(shift[i].image)[None], normalize=True) for i in range(len(shift))]
        )
        tokenizer = open_clip.get_tokenizer(name)
        return images @ open_clip.build_zero_shot_classifier(model, tokenizer, shift.labels.parent_names, templates)


@pytest.mark.slow
def test_vit_b_32_scores_as_open_clip_does(real: Path, tmp_path: Path) -> None:
    """The full-size architecture with random weights in the trainer's format, 1,000 classes, the seven simple prompts."""
    import open_clip
    import torch

    from effrob.evaluation.evaluator import Evaluation
    from effrob.evaluation.request import Request
    from effrob.heads.prompts import prompt_set

    torch.manual_seed(0)
    state = open_clip.create_model("ViT-B-32").state_dict()
    torch.save({"epoch": 1, "state_dict": {f"module.{k}": v for k, v in state.items()}}, tmp_path / "epoch_1.pt")
    spec = f"openclip:ViT-B-32@{tmp_path / 'epoch_1.pt'}"
    paths = {"results": tmp_path / "r", "cache": tmp_path / "c"}
    options = {
        "shifts": ("imagenet",),
        "data": real,
        "partial": True,
        "limit": 50,
        "prompts": ("simple",),
        "pixels": "exact",
    }
    evaluation = Evaluation(Request(models=(spec,), **options, **paths, progress=False))
    assert not evaluation.run().failures
    cell = evaluation.tasks[0]
    features = torch.from_numpy(np.array(evaluation._features(cell, cell.shift).array))
    wanted = open_clips_scores(spec, cell.shift, prompt_set("simple").templates)
    assert torch.allclose(evaluation.classifier(cell).scores(features), wanted, atol=1e-5)
