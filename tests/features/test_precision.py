"""Compiled networks and lower precisions: filed under their own names, compiled once, and compared with float32 on a sample."""

from __future__ import annotations

import dataclasses
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn

import model_zoo
from effrob.cli import main
from effrob.errors import UsageProblem
from effrob.evaluation.evaluator import Evaluation
from effrob.evaluation.precision_effect import sample_key, sampled_rows
from effrob.evaluation.request import Request
from effrob.evaluation.worker import DetachedWorker, Worker
from effrob.features.cache import FeatureCache, FeatureKey
from effrob.features.precision import PRECISIONS, compiled, split
from effrob.features.runner import Network
from effrob.features.transforms import normalise
from effrob.results.predictions import load_predictions
from model_zoo.encoder import Encoder

PIXELS = model_zoo.PixelSpec((32, 32), (36, 36))
pytestmark = pytest.mark.usefixtures("fresh_models")
needs_a_compiler = pytest.mark.skipif(
    shutil.which("g++") is None and shutil.which("clang++") is None, reason="torch.compile finds no C++ compiler"
)


def small(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 8, 8, 8), nn.ReLU(), nn.Flatten(), nn.Linear(128, 16), nn.Linear(16, 10)).eval()


@pytest.fixture
def encoder() -> Encoder:
    model_zoo.register("small", small, pixels=PIXELS)
    return model_zoo.load("small", "cpu")


def test_every_precision_is_an_arithmetic_and_perhaps_compiled() -> None:
    assert [split(name) for name in PRECISIONS] == [(a, c) for c in (False, True) for a in ("fp32", "bf16", "fp16")]
    assert compiled("bf16") == compiled("bf16-compiled") == "bf16-compiled"
    with pytest.raises(UsageProblem, match=r"'bf16-compiles'.*bf16-compiled"):
        Request(models=("pocket:lenet",), precision="bf16-compiles")


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_network_is_given_the_floats_of_its_transform_rounded_once(encoder: Encoder, precision: str) -> None:
    pixels, seen = torch.randint(0, 256, (5, 32, 32, 3), dtype=torch.uint8), []
    with Network(encoder, precision) as network:
        network._embed = lambda given: seen.append(given) or encoder.embed(given)
        network(pixels)
        assert torch.equal(torch.cat(seen), normalise(pixels, encoder.pixels).to(network.dtype))
        seen.clear()
        network(normalise(pixels, encoder.pixels))  # what a transform of one's own gives
        assert torch.equal(torch.cat(seen), normalise(pixels, encoder.pixels).to(network.dtype))


@needs_a_compiler
def test_a_network_is_compiled_once_whatever_the_batch(encoder: Encoder) -> None:
    from torch._dynamo.utils import counters

    pixels = torch.randint(0, 256, (37, 32, 32, 3), dtype=torch.uint8)
    with Network(encoder) as network:
        wanted = network(pixels)
    counters.clear()
    with Network(encoder, "fp32-compiled") as network:
        network._piece = 16
        found, few, alone = network(pixels), network(pixels[:5]), network(pixels[:1])
        assert counters["stats"]["unique_graphs"] == 1, "three sizes of batch, one compilation"
        assert network.precision_path == "fp32, compiled" and not network.reentrant
    assert torch.allclose(found, wanted, atol=1e-5)
    assert torch.equal(few, found[:5]) and torch.equal(alone, found[:1])


@needs_a_compiler
def test_many_compiled_networks_share_their_code_and_none_is_left_as_it_was() -> None:
    """torch runs what it compiled eight times from one piece of code as it stands from then on."""
    from torch._dynamo.utils import counters

    counters.clear()
    networks = []
    for width in range(1, 10):
        net = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, width), nn.Linear(width, 10)).eval()
        model_zoo.register(f"width{width}", lambda net=net: net, pixels=PIXELS)
        networks.append(Network(model_zoo.load(f"width{width}", "cpu"), "fp32-compiled").__enter__())
    try:
        for network in networks:
            network(torch.zeros(4, 32, 32, 3, dtype=torch.uint8))
        assert counters["stats"]["unique_graphs"] == 9
    finally:
        for network in reversed(networks):
            network.__exit__(None, None, None)


def test_what_cannot_be_compiled_says_why(encoder: Encoder) -> None:
    from torch._inductor import config

    broken = config.patch({"cpp.cxx": ("/no/such/compiler",), "force_disable_caches": True})
    fails = pytest.raises(RuntimeError, match=r"torch.compile.*compiler")
    with broken, Network(encoder, "fp32-compiled") as network, fails as said:
        network(torch.rand(4, 3, 32, 32))
    assert "leave --compile out" in str(said.value) and "\n" not in str(said.value)


def test_a_network_that_fails_uncompiled_as_well_says_its_own_reason(encoder: Encoder) -> None:
    def broken(pixels: torch.Tensor) -> torch.Tensor:
        raise ValueError("no such layer")

    fails = pytest.raises(ValueError, match="no such layer")
    with Network(replace(encoder, embed=broken, module=None), "fp32-compiled") as network, fails:
        network(torch.rand(4, 3, 32, 32))


@pytest.mark.parametrize(("n", "wanted"), [(1, 1), (20, 20), (100, 32), (3_200, 100), (50_000, 256)])
def test_the_sample_is_spread_over_the_set(n: int, wanted: int) -> None:
    rows = sampled_rows(n)
    assert len(rows) == wanted and rows[0] == 0 and rows[-1] == n - 1 and (np.diff(rows) > 0).all()
    assert wanted < 3 or np.diff(rows).max() - np.diff(rows).min() <= 1


def test_only_what_changes_answers_has_a_sample() -> None:
    key = FeatureKey("m", "default", "p", "exact", 0, "s", 3_200, "fp32")
    assert sample_key(key) is None and sample_key(replace(key, path="fast")) is None
    for changed in (
        replace(key, precision="bf16"),
        replace(key, precision="fp32-compiled"),
        replace(key, path="nvjpeg"),
    ):
        kept = sample_key(changed)
        assert kept is not None and (kept.precision, kept.path, kept.n) == ("fp32", "exact", 100)


def asked(data: Path, folder: Path, precision: str, cache: str = "", model: str = "coarse") -> Request:
    return Request(
        models=(model,),
        shifts=("pocket-v2",),
        suite="pocket",
        heads=("native",),
        data=data,
        results=folder / f"results-{precision}",
        cache=folder / f"cache-{cache or precision}",
        precision=precision,
        device="cpu",
        progress=False,
    )


class Coarse(nn.Module):
    """Answers by differences that bfloat16 rounds away, so that many answers change."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.net = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, 48), nn.Linear(48, 20))
        with torch.no_grad():
            self.net[2].bias += 40.0
            self.net[3].weight -= self.net[3].weight.mean(dim=1, keepdim=True)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.net(pixels)
        return out


def predictions(request: Request) -> tuple[np.ndarray, np.ndarray, dict[str, object]]:
    """(N,) answers and whether each is right, and what the record says was resolved."""
    report = Evaluation(request).run()
    assert report.failures == ()
    rows = load_predictions(report.stored[0].folder / "predictions.npz")
    record = json.loads((report.stored[0].folder / "record.json").read_text())
    assert record["asked"]["precision"] == request.precision
    return rows.predicted, rows.correct, {**record["resolved"], "said": " ".join(report.notices)}


def test_a_record_holds_how_many_answers_the_precision_changed(pocket_data: Path, tmp_path: Path) -> None:
    model_zoo.register("coarse", Coarse, pixels=PIXELS)
    whole, right, about = predictions(asked(pocket_data, tmp_path, "fp32"))
    assert "precision_effect" not in about
    answers, right_too, said = predictions(asked(pocket_data, tmp_path, "bf16"))
    rows = sampled_rows(len(whole))
    effect = said["precision_effect"]
    changed = int((whole[rows] != answers[rows]).sum())
    assert changed > 0
    assert isinstance(effect, dict) and 0 < effect["spread"] < 1
    assert (effect["images"], effect["answers_changed"]) == (len(rows), changed)
    assert (effect["correct"], effect["correct_fp32"]) == (int(right_too[rows].sum()), int(right[rows].sum()))
    assert f"in bf16: {changed} of {len(rows)} sampled images were answered otherwise" in str(said["said"])


def test_features_of_float32_at_hand_are_the_sample(
    pocket_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model_zoo.register("coarse", Coarse, pixels=PIXELS)
    predictions(asked(pocket_data, tmp_path, "fp32", "shared"))
    *_, said = predictions(asked(pocket_data, tmp_path, "bf16", "shared"))
    *_, own = predictions(asked(pocket_data, tmp_path / "other", "bf16"))
    assert said["precision_effect"] == own["precision_effect"]
    sampled = {
        folder: [k for k, _ in FeatureCache(folder).filed() if k.source.endswith(":sample")]
        for folder in (tmp_path / "cache-shared", tmp_path / "other" / "cache-bf16")
    }
    assert [len(keys) for keys in sampled.values()] == [0, 2]  # the shift's, and its clean set's


def test_a_worker_without_the_disk_brings_the_sample_home(pocket_data: Path, tmp_path: Path) -> None:
    model_zoo.register("coarse", Coarse, pixels=PIXELS)
    request = asked(pocket_data, tmp_path, "bf16")
    (job, *_) = [job for job in Evaluation(request).plan().jobs if job.source == "pocket-v2"]
    outcome = DetachedWorker(request)(job)
    assert outcome.error is None
    sizes = {key.n for key, *_ in outcome.cargo if key.precision == "fp32"}
    assert sizes == {len(sampled_rows(job.stop))}
    later = dataclasses.replace(job, start=512)
    assert not [key for key, *_ in DetachedWorker(request)(later).cargo if key.precision == "fp32"], (
        "the first job does it"
    )
    Worker(request).absorb(outcome)
    effect = predictions(request)[2]["precision_effect"]
    assert isinstance(effect, dict) and effect["images"] == sizes.pop()


@needs_a_compiler
def test_eval_compiles_by_option(pocket_data: Path, tmp_path: Path) -> None:
    model_zoo.register("coarse", Coarse, pixels=PIXELS)
    command = [
        "eval",
        "--model",
        "coarse",
        "--suite",
        "pocket",
        "--shift",
        "pocket",
        "--data",
        str(pocket_data),
        "--compile",
    ]
    command += ["--results", str(tmp_path / "r"), "--cache", str(tmp_path / "c"), "--device", "cpu", "--json"]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.stderr
    assert [row["precision"] for row in json.loads(done.stdout)] == ["fp32-compiled"]
    assert "in fp32-compiled: " in done.stderr and "answered otherwise than in float32" in done.stderr


@pytest.mark.parametrize(("times", "said"), [(40.0, "takes 40 times"), (1.9, "takes 1.9 times"), (1.1, ""), (0.5, "")])
def test_a_processor_that_is_slower_in_a_precision_is_told_of(
    times: float, said: str, pocket_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    model_zoo.register("coarse", Coarse, pixels=PIXELS)
    monkeypatch.setattr("effrob.features.runner.slowdown", lambda dtype: times)
    Evaluation(asked(pocket_data, tmp_path, "bf16")).run()
    told = capsys.readouterr().err
    assert ("--precision fp32 is the quicker one" in told) == bool(said) and said in told
    monkeypatch.setattr("effrob.features.runner.slowdown", lambda dtype: pytest.fail("float32 needs no trial"))
    Evaluation(asked(pocket_data, tmp_path / "whole", "fp32")).run()
