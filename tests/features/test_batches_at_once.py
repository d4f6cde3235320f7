"""Several batches through a network at once: the same numbers, only where its layers bear it, and failures as ever."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import model_zoo
import shifts
from effrob.errors import ImageBroken
from effrob.evaluation.request import Request
from effrob.evaluation.worker import feature_key
from effrob.features import extract
from effrob.features.cache import FeatureCache
from effrob.features.extract import EncoderJob, Pass
from effrob.features.loader import Crops, Geometry
from effrob.features.runner import Network
from effrob.features.threads import Division, divide


@pytest.mark.parametrize(
    ("available", "most", "decode", "forward", "wanted"),
    [
        (2, 1, 1.7, 2.9, Division(2, 1, 2)),  # a network that one thread cannot keep up with
        (2, 2, 1.7, 2.9, Division(2, 1, 2)),
        (2, 1, 3.0, 1.0, Division(2, 1, 1)),  # decoding is what takes time
        (16, 16, 1.7, 2.9, Division(6, 10, 1)),  # torch's own threads, and a barrier to hold up
        (16, 1, 1.7, 2.9, Division(16, 1, 10)),
        (1, 1, 1.0, 1.0, Division(1, 1, 1)),
    ],
)
def test_what_one_thread_cannot_fill_takes_more_batches(
    available: int, most: int, decode: float, forward: float, wanted: Division
) -> None:
    assert divide(available, most, decode, forward) == wanted


def passed(
    models: list[str], batches: int, data: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Features by model and what failed, from one pass over 384 pictures with so many batches at once."""
    monkeypatch.setattr(extract, "divide", lambda *_: Division(2, 1, batches))
    monkeypatch.setattr(extract, "SHARD_ROWS", 128)
    monkeypatch.setattr("effrob.features.cache.SHARD_ROWS", 128)
    shift = shifts.load("pocket", root=data)
    request = Request(models=tuple(models), shifts=("pocket",), suite="pocket", data=data, cache=cache)
    kept, streams = FeatureCache(cache), []
    for spec in models:
        encoder = model_zoo.load(spec, "cpu")
        key = feature_key(request, encoder.identity, shift, "x" * 64)
        kept.open(key, {"kind": encoder.kind, "dim": encoder.dim, "model": spec})
        streams.append(EncoderJob(encoder, key, [range(a, a + 128) for a in (0, 128, 256)]))
    failed = extract.extract(shift.source, 0, streams, kept, Pass(batch_size=16, progress=False), "test")
    done = {s.key.model: [rows for _, rows in sorted(kept.shards(s.key), key=lambda part: part[0])] for s in streams}
    return {name: np.concatenate(parts) for name, parts in done.items() if parts}, failed


def test_features_are_the_same_to_the_bit(pocket_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models, seen, inside, most = ["pocket:clip", "pocket:lenet"], set(), [0], [0]
    lock, whole = threading.Lock(), Network.__call__

    def watched(self: Network, batch: torch.Tensor) -> torch.Tensor:
        with lock:
            seen.add(threading.current_thread().name.partition("_")[0])
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        time.sleep(0.005)
        try:
            return whole(self, batch)
        finally:
            with lock:
                inside[0] -= 1

    alone, _ = passed(models, 1, pocket_data, tmp_path / "alone", monkeypatch)
    monkeypatch.setattr(Network, "__call__", watched)
    beside, failed = passed(models, 3, pocket_data, tmp_path / "beside", monkeypatch)
    assert not failed and len(alone) == 2 and most[0] > 1 and seen == {"MainThread", "network"}
    for name, features in alone.items():
        assert len(features) >= 256 and np.array_equal(features, beside[name])


def test_no_more_threads_compute_than_there_are_cores(
    pocket_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decoders and batches take turns; the main thread, which asks images again, takes none."""
    monkeypatch.setattr(extract, "cores", lambda: 2)
    lock, inside, most, kinds = threading.Lock(), [0], [0], set()

    def watched(whole: Callable[..., object]) -> Callable[..., object]:
        def run(*given: object) -> object:
            kind = threading.current_thread().name.partition("_")[0]
            counted = kind != "MainThread"
            with lock:
                kinds.add(kind)
                inside[0] += counted
                most[0] = max(most[0], inside[0])
            time.sleep(0.001)
            try:
                return whole(*given)
            finally:
                with lock:
                    inside[0] -= counted

        return run

    monkeypatch.setattr(Crops, "_fill", watched(Crops._fill))
    monkeypatch.setattr(Network, "__call__", watched(Network.__call__))
    _, failed = passed(["pocket:clip"], 3, pocket_data, tmp_path, monkeypatch)
    assert not failed and most[0] == 2 and kinds == {"MainThread", "network", "decode"}


class Remembers(torch.nn.Linear):
    """A user's layer, which may keep anything between calls."""


@pytest.mark.parametrize("how", ["own layer", "hook", "library"])
def test_only_layers_that_keep_nothing_are_run_at_once(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model_zoo.registered._live", {})
    last = Remembers(48, 20) if how == "own layer" else torch.nn.Linear(48, 20)
    net = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(4), torch.nn.Flatten(), last)
    pixels = model_zoo.PixelSpec((32, 32), (36, 36))
    model_zoo.register("net", lambda: net, pixels=pixels, features="1" if how == "hook" else None)
    with Network(model_zoo.load("net", "cpu")) as network:
        # the network's own last layer is read apart from the rest, so a user's last layer is not among what runs
        assert network.reentrant == (how != "hook")
    middle = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(4), torch.nn.Flatten(), last, torch.nn.Linear(20, 20))
    model_zoo.register("deep", lambda: middle, pixels=pixels)
    with Network(model_zoo.load("deep", "cpu")) as network:
        assert network.reentrant == (how != "own layer")


def test_a_network_that_fails_at_once_leaves_and_the_others_go_on(
    pocket_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, calls = Network.__call__, []

    def fails(self: Network, batch: torch.Tensor) -> torch.Tensor:
        if "lenet" in str(self.encoder.identity.spec):
            calls.append(1)
            if len(calls) > 9:
                raise RuntimeError("out of sorts")
        return whole(self, batch)

    monkeypatch.setattr(Network, "__call__", fails)
    features, failed = passed(["pocket:clip", "pocket:lenet"], 2, pocket_data, tmp_path, monkeypatch)
    (told,) = failed.values()
    assert "failed on images" in told and "out of sorts" in told
    whole_model = max(features.values(), key=len)
    assert len(whole_model) >= 256


@pytest.mark.parametrize("how", ["forward", "traced", "compiled"])
def test_layers_that_run_code_of_a_user_are_not_run_at_once(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model_zoo.registered._live", {})
    net = torch.nn.Sequential(
        torch.nn.AdaptiveAvgPool2d(4), torch.nn.Flatten(), torch.nn.Linear(48, 20), torch.nn.Linear(20, 20)
    )
    pixels = model_zoo.PixelSpec((32, 32), (36, 36))
    model_zoo.register("plain", lambda: net, pixels=pixels)
    encoder = model_zoo.load("plain", "cpu")
    assert Network(encoder).reentrant
    if how == "forward":
        assert isinstance(encoder.module, torch.nn.Sequential)
        encoder.module[2].forward = encoder.module[2].forward
    elif how == "traced":
        encoder.module = torch.fx.symbolic_trace(net)
    else:
        compiled = torch.compile(net)
        assert isinstance(compiled, torch.nn.Module)
        encoder.module = compiled
    assert not Network(encoder).reentrant


@pytest.mark.parametrize("error", [ImageBroken("a picture is broken"), KeyboardInterrupt()])
def test_a_shard_under_way_when_a_pass_breaks_off_is_kept(
    error: BaseException, pocket_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, fill = Network.__call__, Crops.fill

    def slow(self: Network, batch: torch.Tensor) -> torch.Tensor:
        time.sleep(0.05)
        return whole(self, batch)

    def breaks(self: Crops, row: int, slots: dict[Geometry, torch.Tensor]) -> None:
        if row >= 128:
            raise error
        fill(self, row, slots)

    monkeypatch.setattr(Network, "__call__", slow)
    monkeypatch.setattr(Crops, "fill", breaks)
    with pytest.raises(type(error)):
        passed(["pocket:clip"], 2, pocket_data, tmp_path, monkeypatch)
    shards = list(tmp_path.rglob("*.npy"))  # what was not begun when the user interrupts is left
    assert len(shards) == 1 or isinstance(error, KeyboardInterrupt)
    assert not [t for t in threading.enumerate() if t.name.startswith("network")]
