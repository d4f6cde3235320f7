"""Answers that depend on batch, order, calls or chance are refused, or recorded with their spread; honest networks are not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import model_zoo
from effrob.cli import main
from effrob.evaluation.evaluator import Evaluation
from effrob.evaluation.request import Request
from effrob.evaluation.worker import ENCODERS
from effrob.features import stability
from effrob.features.runner import Network
from effrob.features.stability import Asked, PassSample, ask_again

PIXELS = model_zoo.PixelSpec((32, 32), (32, 32))


class Sound(nn.Module):
    """A small network; `disturbed` is what makes an accident of its answers."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.linear = nn.Conv2d(3, 16, 5, 4), nn.Linear(16, 20)
        self.calls = 0

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return self.linear(self.disturbed(self.conv(pixels).relu().mean((2, 3))))

    def disturbed(self, features: torch.Tensor) -> torch.Tensor:
        return features


class Dropping(Sound):
    def disturbed(self, features: torch.Tensor) -> torch.Tensor:
        return functional.dropout(features, 0.1, training=True)


class BatchNormed(Sound):
    def disturbed(self, features: torch.Tensor) -> torch.Tensor:
        return functional.batch_norm(features, None, None, training=True) if len(features) > 1 else features


class Counting(Sound):
    """As it was for its first 25 calls, which is more than a proof makes."""

    def disturbed(self, features: torch.Tensor) -> torch.Tensor:
        return features + max(0, self.calls - 25)


class LargeBatches(Sound):
    """Looks over its batch from six pictures on, which a proof never has."""

    def disturbed(self, features: torch.Tensor) -> torch.Tensor:
        return features - features.mean(0) if len(features) > 5 else features


class Ordered(Sound):
    """Each answer has something of the picture's before it, from six pictures on."""

    def disturbed(self, features: torch.Tensor) -> torch.Tensor:
        return features + 0.1 * features.roll(1, 0) if len(features) > 5 else features


class Remembering(Sound):
    """Keeps a running mean of what it saw."""

    def disturbed(self, features: torch.Tensor) -> torch.Tensor:
        self.kept = 0.9 * getattr(self, "kept", features.mean(0)) + 0.1 * features.mean(0)
        return features - self.kept


ACCIDENTS = (Dropping, BatchNormed, Counting, LargeBatches, Ordered, Remembering)


pytestmark = pytest.mark.usefixtures("fresh_models")


@pytest.fixture
def asked(tmp_path: Path, pocket_data: Path) -> Callable[..., Request]:
    def made(kind: type[nn.Module], **changes: object) -> Request:
        model_zoo.register("net", kind, pixels=PIXELS, replace=True)
        given = {"shifts": ("pocket",), "limit": 600, "heads": ("native",), "batch_size": 24} | changes
        return Request(("net",), suite="pocket", data=pocket_data, progress=False, device="cpu",
                       results=tmp_path / "results", cache=tmp_path / "cache", **given)  # type: ignore[arg-type]  # fmt: skip

    return made


@pytest.mark.parametrize("kind", ACCIDENTS)
def test_accidents_are_refused_and_recorded_only_where_that_was_said(
    kind: type[nn.Module], asked: Callable[..., Request]
) -> None:
    report = Evaluation(asked(kind)).run()
    said = " ".join(report.failures)
    assert not report.stored and ("facts about" in said or "second time" in said), report
    assert "--allow-nondeterminism" in said or "switch it off" in said
    ENCODERS.clear()
    report = Evaluation(asked(kind, allow_nondeterminism=True)).run()
    assert not report.failures, report.failures
    varies = report.stored[0].record.resolved["nondeterminism"]
    assert varies["what"] and varies["spread"] > 1e-3 and varies["images"] >= 3
    json.dumps(varies, allow_nan=False)


def test_features_of_accidents_are_not_taken_from_the_cache_unsaid(asked: Callable[..., Request]) -> None:
    assert Evaluation(asked(LargeBatches, allow_nondeterminism=True, limit=60)).run().stored
    ENCODERS.clear()
    another = asked(LargeBatches, limit=60)
    shutil.rmtree(another.results)
    report = Evaluation(another).run()
    assert not report.stored and "--allow-nondeterminism" in report.failures[0]


@pytest.mark.parametrize("spec", [Sound, "pocket:clip", "pocket:cnn-small", "pocket:mlp"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_honest_networks_are_never_refused(
    spec: type[nn.Module] | str, precision: str, asked: Callable[..., Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[object] = []

    def asking(*given: object) -> object:
        seen.append(ask_again(*given))  # type: ignore[arg-type]
        return seen[-1]

    monkeypatch.setattr("effrob.features.extract.ask_again", asking)
    request = asked(
        Sound, precision=precision, heads=("native",) if spec is Sound or spec != "pocket:clip" else (), limit=300
    )
    if isinstance(spec, str):
        from dataclasses import replace

        request = replace(request, models=(spec,))
    report = Evaluation(request).run()
    assert report.stored and not report.failures, report.failures
    assert len(seen) >= 2 and not any(seen)


def test_a_sample_begins_with_the_first_batch_and_is_small() -> None:
    sample = PassSample(50_000)
    taken = [sample.takes(64) for _ in range(50_000 // 64)]
    assert taken[0] and 7 <= sum(taken) <= 9 and taken.index(True, 1) > 50


def test_rounding_is_far_below_the_tolerance() -> None:
    encoder = model_zoo.load("pocket:clip")
    pixels = torch.randint(0, 256, (16, *encoder.pixels.size, 3), dtype=torch.uint8)
    monkey, stability_tolerance = {}, dict(stability.TOLERANCE)
    for precision, most in (("fp32", 2e-5), ("bf16", 0.05)):
        with Network(encoder, precision) as network:
            batch = network(pixels).numpy()
            stability.TOLERANCE[precision] = most
            try:
                monkey[precision] = ask_again(network, Asked.of(pixels), batch, precision)
            finally:
                stability.TOLERANCE.update(stability_tolerance)
    assert monkey == {"fp32": None, "bf16": None}


def test_networks_whose_answers_are_far_from_zero_and_near_to_each_other() -> None:
    """An offset of a thousand hides no dependence, and makes none of rounding."""
    torch.manual_seed(0)
    weights = torch.randn(3, 8)

    def sound(pixels: torch.Tensor) -> torch.Tensor:
        return 100 + pixels.float().mean((1, 2)) / 255 @ weights

    def drifting(pixels: torch.Tensor) -> torch.Tensor:
        answers = sound(pixels)
        return answers - 0.5 * (answers.mean(0) - 100)

    pixels = torch.randint(0, 256, (64, 8, 8, 3), dtype=torch.uint8)
    pixels[32:] //= 2
    for network, steady in ((sound, True), (drifting, False)):
        found = ask_again(network, Asked.of(pixels), network(pixels).numpy(), "fp32")
        assert (found is None) == steady, found


def test_one_number_of_a_thousand_is_seen_and_rounding_of_a_large_one_is_not() -> None:
    """Over a thousand numbers a root mean square has room for one that decides the answer."""
    torch.manual_seed(0)
    weights = 2 * torch.randn(3, 1000)

    def sound(pixels: torch.Tensor) -> torch.Tensor:
        answers = pixels.float().mean((1, 2)) / 255 @ weights
        answers[:, 7] = 200 + answers[:, 7]  # as a vision transformer's features have some
        return answers.bfloat16().float()

    def leaking(pixels: torch.Tensor) -> torch.Tensor:
        answers = sound(pixels)
        before = answers[:, 8:].argmax(1).roll(1) + 8
        answers[torch.arange(len(answers)), before] += 1.2
        return answers

    def rounding(pixels: torch.Tensor) -> torch.Tensor:
        answers = sound(pixels)
        answers[:, 7] += 1.0 if len(pixels) > 4 else 0.0  # bfloat16 holds 200 to the next whole number
        return answers

    pixels = torch.randint(0, 256, (64, 8, 8, 3), dtype=torch.uint8)
    for shade in range(64):
        pixels[shade, ..., shade % 3] //= 1 + shade % 4
    for network, steady in ((sound, True), (leaking, False), (rounding, True)):
        found = ask_again(network, Asked.of(pixels), network(pixels).numpy(), "bf16")
        assert (found is None) == steady, (network, found)


def test_chance_within_a_precisions_tolerance_is_seen_when_the_same_batch_is_asked_later() -> None:
    torch.manual_seed(0)
    weights = torch.randn(3, 50)

    def sound(pixels: torch.Tensor) -> torch.Tensor:
        return pixels.float().mean((1, 2)) / 255 @ weights

    def noisy(pixels: torch.Tensor) -> torch.Tensor:
        answers = sound(pixels)
        return answers + 0.045 * scale * torch.randn(answers.shape)

    pixels = torch.randint(0, 256, (64, 8, 8, 3), dtype=torch.uint8)
    pixels[32:] //= 2
    scale = float((sound(pixels) - sound(pixels).mean(0)).square().mean().sqrt())
    for network, steady in ((sound, True), (noisy, False)):
        asked, answers = Asked.of(pixels), network(pixels).numpy()
        assert ask_again(network, asked, answers, "bf16") is None
        found = ask_again(network, asked, answers, "bf16")
        assert (found is None) == steady
        assert steady or (found is not None and found.what[0].endswith("asked twice") and 0.05 < found.spread < 0.3)


def test_the_command_says_it_and_the_boards_mark_it(
    asked: Callable[..., Request], pocket_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked(LargeBatches)
    args = ["eval", "--model", "net", "--suite", "pocket", "--shift", "pocket-r", "--data", str(pocket_data), "--limit",
            "60", "--results", str(tmp_path / "r"), "--device", "cpu", "--head", "native"]  # fmt: skip
    from click.testing import CliRunner

    refused = CliRunner().invoke(main, args)
    assert refused.exit_code == 1 and "--allow-nondeterminism" in refused.output
    ENCODERS.clear()
    shown = CliRunner().invoke(main, [*args, "--allow-nondeterminism"])
    assert shown.exit_code == 0, shown.output
    assert "≈: nondeterministic" in shown.output
    rows = json.loads(CliRunner().invoke(main, [*args, "--allow-nondeterminism", "--json"]).stdout)
    assert "nondeterministic" in rows[0]["flags"]
    board = CliRunner().invoke(main, ["leaderboard", "--results", str(tmp_path / "r"), "--format", "md"])
    assert "≈" in board.output, board.output


def test_a_note_survives_and_the_larger_one_stays(tmp_path: Path) -> None:
    from effrob.features.cache import FeatureCache, FeatureKey

    key, cache = FeatureKey("m", "default", "p", "exact", 0, "s", 4, "fp32"), FeatureCache(tmp_path)
    cache.open(key, {"kind": "logits"})
    for spread in (0.5, 0.2):
        cache.note(key, {"nondeterminism": {"what": ["x"], "spread": spread, "images": 4}})
    cache.open(key, {"kind": "logits", "nondeterminism": {"what": ["y"], "spread": 0.1, "images": 4}})
    cache.write(key, 0, np.ones((4, 3), np.float32))
    assert cache.merge(key).meta["nondeterminism"]["spread"] == 0.5


class Late(Sound):
    """As it was until its answers were written; of a pass, the first images are asked once more at its end."""

    def disturbed(self, features: torch.Tensor) -> torch.Tensor:
        return features.flip(1) if self.calls > 30 else features


def test_nothing_is_kept_of_a_network_that_changed_during_its_pass(
    asked: Callable[..., Request], tmp_path: Path
) -> None:
    report = Evaluation(asked(Late)).run()
    assert not report.stored and "facts about them" in report.failures[0], report
    assert not list((tmp_path / "cache" / "features").rglob("*.npy"))
