"""What a pass does with a GPU, proved where there is none: no wait for the device in the loop, pinned copies on a stream of
their own, and half a batch where memory runs out.

The device is torch's `meta`, whose tensors have no values: whatever would wait for a GPU's cannot be done at all.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

import shifts
from effrob.features import extract as extracting
from effrob.features import transfer
from effrob.features.cache import FeatureCache, FeatureKey
from effrob.features.extract import EncoderJob, Pass, extract
from effrob.features.runner import Network
from effrob.features.transfer import DeviceTransfer, PendingTransfer
from model_zoo.encoder import Encoder, Identity
from model_zoo.pixels import PixelSpec
from model_zoo.spec import parse

SPEC = PixelSpec(size=(32, 32), resize=(32, 32))
IMAGES, DIM = 64, 8


class NoValues(DeviceTransfer):
    """A device that is always behind: batches go there for good, and what arrives is zeros."""

    def __init__(self, device: torch.device) -> None:
        super().__init__(device)
        self.is_gpu, self.depth = True, 4

    def empty(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        return torch.empty(shape, dtype=dtype)

    def send(self, batch: torch.Tensor) -> torch.Tensor:
        return batch.to("meta", non_blocking=True)

    def fetch(self, features: torch.Tensor) -> PendingTransfer:
        assert features.device.type == "meta"
        return PendingTransfer(torch.zeros(features.shape), None)


def encoder(device: str, after: Callable[[torch.Tensor], object] = lambda features: None) -> Encoder:
    """A network on the device; `after` is called with its features inside the loop."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 8, 8), nn.ReLU(), nn.Flatten(), nn.Linear(64, DIM)).to(device).eval()

    def embed(pixels: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = module(pixels)
        after(features)
        return features

    identity = Identity(parse("pocket:lenet"), "lenet", "lenet", SPEC)
    return Encoder(identity, torch.device(device), embed, "image-embedding", DIM, module=module)


def run(
    one: Encoder,
    data: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    device: type[NoValues] = NoValues,
    batch_size: int = 16,
) -> dict[str, str]:
    monkeypatch.setattr(extracting, "DeviceTransfer", device)
    source = shifts.load("pocket", root=data).source
    kept = FeatureCache(cache)
    key = FeatureKey("m" * 8, "default", SPEC.digest(), "exact", 0, "s" * 8, len(source.ids), "fp32")
    kept.open(key, {})
    jobs = [EncoderJob(one, key, [range(IMAGES)])]
    return extract(source, 0, jobs, kept, Pass(batch_size=batch_size, progress=False), "test")


def test_the_loop_never_waits_for_the_device(
    pocket_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for the few batches of a pass that are asked again (`features.stability`): counted here, and left out."""
    sample = extracting.PassSample(50_000)
    assert sum(sample.takes(16) for _ in range(50_000 // 16)) <= 9
    monkeypatch.setattr(extracting.PassSample, "takes", lambda self, images: False)
    seen: list[int] = []
    assert run(encoder("meta", lambda f: seen.append(len(f))), pocket_data, tmp_path, monkeypatch) == {}
    assert seen == [16] * 4


class Copies(TorchFunctionMode):
    """Counts copies from the host that wait for the device: of values, and of tensors without `non_blocking`."""

    def __init__(self) -> None:
        super().__init__()
        self.waited = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = args[1] if func is torch.Tensor.copy_ else args[0] if args else None
        made = func(*args, **kwargs)
        values = func in (torch.tensor, torch.as_tensor)
        copied = func in (torch.Tensor.to, torch.Tensor.copy_, torch.Tensor.cuda) and given.device.type == "cpu"
        if (values or (copied and not kwargs.get("non_blocking"))) and made.device.type == "meta":
            self.waited += 1
        return made


def test_no_batch_but_the_first_copies_values_from_the_host(
    pocket_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Means and deviations of the pixels, above all: each copy of them would wait for the batches before."""
    monkeypatch.setattr(extracting.PassSample, "takes", lambda self, images: False)
    seen: list[int] = []
    with Copies() as copies:
        assert run(encoder("meta", lambda f: seen.append(copies.waited)), pocket_data, tmp_path, monkeypatch) == {}
    assert len(seen) == 4 and copies.waited == seen[0]
    with Copies() as copies:
        assert (
            run(
                encoder("meta", lambda f: torch.tensor([1.0], device=f.device)),
                pocket_data,
                tmp_path / "b",
                monkeypatch,
            )
            == {}
        )
    assert copies.waited >= 4, "the test would see them"


def test_a_batch_is_waited_for_when_four_more_have_started(
    pocket_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extracting.PassSample, "takes", lambda self, images: False)
    order: list[str] = []

    class Behind(NoValues):
        def fetch(self, features: torch.Tensor) -> PendingTransfer:
            rows = torch.zeros(features.shape)
            event = SimpleNamespace(query=lambda: False, synchronize=lambda: order.append("waited"))
            return PendingTransfer(rows, event)  # type: ignore[arg-type]

    started = encoder("meta", lambda f: order.append("started"))
    assert run(started, pocket_data, tmp_path, monkeypatch, Behind, batch_size=8) == {}
    assert order == ["started"] * 4 + ["started", "waited"] * 4 + ["waited"] * 4


WAITS: dict[str, Callable[[torch.Tensor], object]] = {
    "item": lambda f: f[0, 0].item(),
    "cpu": lambda f: f.cpu().sum(),
    "numpy": lambda f: f.numpy(),
    "tolist": lambda f: f.tolist(),
    "bool": lambda f: bool((f > 0).all()),
    "float": lambda f: float(f.sum()),
    "nonzero": lambda f: f.nonzero(),
}


@pytest.mark.parametrize("wait", WAITS)
def test_the_test_would_see_a_wait(
    wait: str, pocket_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = run(encoder("meta", WAITS[wait]), pocket_data, tmp_path, monkeypatch)
    assert len(failed) == 1 and "the network failed on images 0 to 15" in next(iter(failed.values()))


class Calls:
    """Stands in for `torch.cuda` and notes what is asked of it, in order."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.on = "network"

    def Stream(self, device: torch.device) -> str:
        return "copies"

    @contextlib.contextmanager
    def stream(self, name: str) -> Iterator[None]:
        before, self.on = self.on, name
        yield
        self.on = before

    def current_stream(self, device: torch.device) -> SimpleNamespace:
        return SimpleNamespace(name=self.on, wait_stream=lambda other: self.told.append(("waits for", self.on, other)))

    def Event(self) -> SimpleNamespace:
        return SimpleNamespace(
            record=lambda stream: self.told.append(("event on", stream.name)),
            query=lambda: False,
            synchronize=lambda: self.told.append("synchronize"),
        )


class Tensor:
    """A tensor of which only copies are asked."""

    def __init__(self, calls: Calls, where: str, pinned: bool = False) -> None:
        self.calls, self.where, self.pinned = calls, where, pinned
        self.shape, self.dtype = (2, 3), torch.float32
        self.device = SimpleNamespace(type="cpu" if where == "host" else "cuda")

    def is_pinned(self) -> bool:
        return self.pinned

    def pin_memory(self) -> Tensor:
        return Tensor(self.calls, "host", True)

    def to(self, device: torch.device, non_blocking: bool) -> Tensor:
        self.calls.told.append(("to device", self.calls.on, self.pinned, non_blocking))
        return Tensor(self.calls, "device")

    def record_stream(self, stream: SimpleNamespace) -> None:
        self.calls.told.append(("kept for", stream.name))

    def copy_(self, other: Tensor, non_blocking: bool) -> None:
        self.calls.told.append(("to host", self.calls.on, self.pinned, non_blocking))

    def numpy(self) -> np.ndarray:
        return np.zeros(self.shape, np.float32)


def test_copies_are_pinned_and_on_a_stream_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = Calls()
    empty = lambda shape, dtype, pin_memory: Tensor(calls, "host", pin_memory)  # noqa: E731
    fake = SimpleNamespace(cuda=calls, empty=empty, Tensor=torch.Tensor)
    monkeypatch.setattr(transfer, "torch", fake)
    copies = DeviceTransfer(torch.device("cuda"))
    assert copies.depth > 1  # batches in flight
    for batch in (copies.empty((2, 3), torch.uint8), Tensor(calls, "host")):
        calls.told.clear()
        copies.send(batch)
        assert calls.told == [
            ("to device", "copies", True, True),
            ("waits for", "network", "copies"),
            ("kept for", "network"),
        ]
    calls.told.clear()
    with copies.copying():
        assert calls.on == "copies", "what decodes on the device is on the stream that `send` waits for"
    there = Tensor(calls, "device")
    assert copies.send(there) is there
    assert calls.told == [("waits for", "network", "copies"), ("kept for", "network")]
    calls.told.clear()
    pending = copies.fetch(Tensor(calls, "device"))
    assert calls.told == [("to host", "network", True, True), ("event on", "network")]
    assert not pending.done()
    pending.result()
    assert calls.told[-1] == "synchronize"


def test_a_batch_that_does_not_fit_is_halved_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    room, sizes = 5, []

    def fits(features: torch.Tensor) -> None:
        sizes.append(len(features))
        if len(features) > room:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    pixels = torch.rand(16, 3, 32, 32)
    with Network(replace(encoder("cpu"), module=None)) as whole:
        wanted = whole(pixels)
    with Network(replace(encoder("cpu", fits), module=None)) as network:
        network._piece = 16
        first, second = network(pixels), network(pixels)
    said = capsys.readouterr().err
    assert said.count("\n") == 2 and "no memory for 8 images at once; from here on 4 (--batch-size 4" in said
    assert torch.equal(first, second) and torch.allclose(first, wanted, atol=1e-6)
    assert sizes == [16, 8, 4, 4, 4, 4, 4, 4, 4, 4], "the second batch starts where the first ended"


def test_one_image_that_does_not_fit_is_a_failure() -> None:
    def never(features: torch.Tensor) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    with Network(replace(encoder("cpu", never), module=None)) as network, pytest.raises(torch.cuda.OutOfMemoryError):
        network(torch.rand(3, 3, 32, 32))
