"""Caches made when flat validation images were called by their file names alone still serve."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import model_zoo
from effrob.evaluation import data
from effrob.evaluation.evaluator import Evaluation
from effrob.evaluation.request import Request
from effrob.results.store import Stored

sys.path.append(str(Path(__file__).parents[1] / "shifts"))
from form_writers import SETS, put

PIXELS = model_zoo.PixelSpec((48, 48), (48, 48), mean=(0, 0, 0), std=(1, 1, 1))
passed: list[int] = []


class Oracle(torch.nn.Module):
    """Answers with the class that a flat picture encodes, and counts the pictures it was asked about."""

    def __init__(self) -> None:
        super().__init__()
        self.none = torch.nn.Parameter(torch.zeros(1))

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        passed.append(len(pictures))
        digits = ((pictures.mean((2, 3)) * 255 - 12) / 25).round().clamp(0, 9).long()
        return torch.nn.functional.one_hot(digits @ torch.tensor([100, 10, 1]), 1000) * 5.0 + self.none


def evaluated(root: Path) -> Stored:
    data.load_shift.cache_clear()
    request = Request(
        ("oracle",), shifts=("imagenet",), data=root / "data", partial=True, progress=False, device="cpu",
        results=root / "results", cache=root / "cache",
    )  # fmt: skip
    report = Evaluation(request).run()
    assert not report.failures
    return report.stored[0]


def test_features_of_flat_images_are_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EFFROB_CACHE", str(tmp_path / "indexes"))
    monkeypatch.setattr("model_zoo.registered._live", {})
    model_zoo.register("oracle", Oracle, pixels=PIXELS)
    for sample in SETS["imagenet"]:
        put(tmp_path / "data/imagenet/val" / sample.path.rpartition("/")[2], sample.content)
    with monkeypatch.context() as former:
        former.setattr("shifts.storage.class_folders._official_paths", lambda name, k, paths: paths)
        before = evaluated(tmp_path)
    passed.clear()
    after = evaluated(tmp_path)
    data.load_shift.cache_clear()
    assert 6 not in passed and before.record.asked.source != after.record.asked.source
    assert after.record.counts.n_correct == after.record.counts.n == 6
    old, new = (np.load(each.folder / "predictions.npz") for each in (before, after))
    assert old["id"][0] == "ILSVRC2012_val_00000001.JPEG" and sorted(new["id"]) == new["id"].tolist()
    by_file = {id.rpartition("/")[2]: predicted for id, predicted in zip(new["id"], new["predicted"], strict=True)}
    assert by_file == dict(zip(old["id"], old["predicted"], strict=True))
