"""What is kept is never decoded again: features for another head or class subset, crops for another model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import model_zoo
from effrob.evaluation.data import load_shift
from effrob.evaluation.evaluator import Evaluation
from effrob.evaluation.request import Request
from effrob.features import loader as batches
from effrob.features import pixel_cache
from model_zoo import PixelSpec
from shifts.storage.tree import TreeSource

PIXELS = PixelSpec((32, 32), (36, 36))


pytestmark = pytest.mark.usefixtures("fresh_models")


@pytest.fixture
def request_of(tmp_path: Path, pocket_data: Path):
    def make(**changes: object) -> Request:
        request = Request(
            models=("one",),
            shifts=("pocket",),
            suite="pocket",
            data=pocket_data,
            results=tmp_path / "results",
            cache=tmp_path / "cache",
            limit=60,
            progress=False,
        )
        return replace(request, **changes)

    return make


def network(seed: int, side: int = 32) -> torch.nn.Module:
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 8, 8), torch.nn.Flatten(), torch.nn.Linear(side**2 // 16, 20))


def blind(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on reading a picture's bytes fails, and so does decoding them on either path."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("an image was opened")

    monkeypatch.setattr(TreeSource, "read", refuse)
    monkeypatch.setattr(batches, "decode", refuse)
    monkeypatch.setattr(batches, "decode_fast", refuse)


@pytest.mark.parametrize("path", ["exact", "fast"])
def test_a_second_head_and_a_class_subset_open_no_image(request_of, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model_zoo.register("one", lambda: network(0), pixels=PIXELS)
    first = request_of(heads=("ridge",), shifts=("pocket-r",), limit=None, train="pocket", pixels=path)
    assert not Evaluation(first).run().failures
    blind(monkeypatch)
    again = Evaluation(replace(first, heads=("ridge", "knn", "native"), shifts=("pocket", "pocket-r")))
    assert again.plan().decodes == 0
    report = again.run()
    assert not report.failures
    asked = {(s.record.asked.shift, s.record.asked.head, len(np.unique(s.predictions().target))) for s in report.stored}
    subset = len(again.tasks[-1].shift.labels)
    assert subset < 20
    for head in ("ridge", "knn", "native"):  # the full classes, and the subset of them, from one pass over `pocket`
        assert ("pocket", head, 20) in asked and ("pocket-r", head, subset) in asked


def test_that_a_missing_feature_would_open_an_image(request_of, monkeypatch: pytest.MonkeyPatch) -> None:
    model_zoo.register("one", lambda: network(0), pixels=PIXELS)
    blind(monkeypatch)
    load_shift.cache_clear()
    failures = Evaluation(request_of()).run().failures
    assert failures and all("an image was opened" in failure for failure in failures)


@pytest.mark.parametrize("path", ["exact", "fast"])
def test_the_next_model_of_a_geometry_decodes_nothing(
    request_of, tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, name in enumerate(("one", "two")):
        model_zoo.register(name, lambda number=number: network(number), pixels=PIXELS)
    model_zoo.register("small", lambda: network(2, 16), pixels=PixelSpec((16, 16), (18, 18)))
    plain = Evaluation(request_of(models=("two",), pixels=path)).run().stored[0].predictions()
    kept = request_of(pixels=path, pixel_cache=tmp_path / "pixels", cache=tmp_path / "c", results=tmp_path / "r")
    assert not Evaluation(kept).run().failures
    told = capsys.readouterr().err
    assert "1,000 crops are 0.00 GB" in told or "60 crops" in told, told
    blind(monkeypatch)
    report = Evaluation(replace(kept, models=("two",))).run()
    assert not report.failures
    mapped = report.stored[0].predictions()
    assert np.array_equal(mapped.predicted, plain.predicted) and np.array_equal(mapped.margin, plain.margin)
    failures = Evaluation(replace(kept, models=("small",))).run().failures  # another geometry cannot use these crops
    assert failures and all("an image was opened" in failure for failure in failures)


def test_one_pass_decodes_an_image_once_for_every_model(request_of, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, name in enumerate(("one", "two")):
        model_zoo.register(name, lambda number=number: network(number), pixels=PIXELS)
    model_zoo.register("small", lambda: network(2, 16), pixels=PixelSpec((16, 16), (18, 18)))
    read, opened = TreeSource.read, []

    def counted(source: TreeSource, row: int) -> bytes:
        opened.append(row)
        return read(source, row)

    evaluation = Evaluation(request_of(models=("one", "two", "small"), pixels="exact"))
    monkeypatch.setattr(TreeSource, "read", counted)
    assert not evaluation.run().failures
    assert sorted(opened) == sorted(set(opened)) and len(opened) >= 60
    alone = Evaluation(request_of(models=("small",), cache=evaluation.request.cache / "own")).run()
    together = [s for s in evaluation.run().stored if s.record.asked.model == "small"]
    assert np.array_equal(alone.stored[0].predictions().margin, together[0].predictions().margin)


def test_a_torn_shard_of_crops_is_made_again(request_of, tmp_path: Path) -> None:
    for number, name in enumerate(("one", "two")):
        model_zoo.register(name, lambda number=number: network(number), pixels=PIXELS)
    kept = request_of(pixel_cache=tmp_path / "pixels")
    assert not Evaluation(kept).run().failures
    shards = sorted((tmp_path / "pixels").rglob("rows-*.npy"))
    assert shards
    for shard in shards:
        shard.write_bytes(shard.read_bytes()[:1000])
    plain = Evaluation(request_of(models=("two",), cache=tmp_path / "c", results=tmp_path / "r")).run()
    again = Evaluation(replace(kept, models=("two",))).run()
    assert not again.failures
    assert np.array_equal(again.stored[0].predictions().margin, plain.stored[0].predictions().margin)
    assert pixel_cache.SHARD_ROWS > 0 and not list((tmp_path / "pixels").rglob("*.tmp"))
