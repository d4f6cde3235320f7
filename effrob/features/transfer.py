"""Copies between the host and a device that neither waits for: batches out, features back.

On a GPU copies run on a CUDA stream of their own beside the network's, and features arrive in pinned memory behind an event;
on a CPU the same calls pass the tensors through.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

DEPTH = 4  # batches a GPU may be behind the host before the host waits for the oldest


class PendingFeatures(Protocol):
    """Features that are still being computed or copied: a `Future` of them, or a `PendingTransfer`."""

    def done(self) -> bool:
        """Whether `result` returns at once."""

    def result(self) -> NDArray[np.float32]:
        """(B, D) float32 on the host. Raises what the device, or the network, raised meanwhile."""


@dataclass(frozen=True)
class PendingTransfer:
    """Features on their way from a device; complete once `event` has happened, or already where it is None."""

    features: torch.Tensor
    event: torch.cuda.Event | None

    def done(self) -> bool:
        """See `PendingFeatures`."""
        return self.event is None or bool(self.event.query())  # type: ignore[no-untyped-call]

    def result(self) -> NDArray[np.float32]:
        """See `PendingFeatures`."""
        if self.event is not None:
            self.event.synchronize()
        array: NDArray[np.float32] = self.features.numpy()
        return array


class DeviceTransfer:
    """The copies to and from one device; `depth` is how many batches it may be behind."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.is_gpu = device.type == "cuda"
        self.depth = DEPTH if self.is_gpu else 0
        self._copies = torch.cuda.Stream(device) if self.is_gpu else None  # type: ignore[no-untyped-call]

    def empty(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        """Host memory that the device can copy from; torch reuses pinned blocks once copies from them have ended."""
        return torch.empty(shape, dtype=dtype, pin_memory=self.is_gpu)

    def empty_there(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        """The device's memory, to be filled inside `copying`."""
        with self.copying():
            return torch.empty(shape, dtype=dtype, device=self.device)

    @contextlib.contextmanager
    def copying(self) -> Iterator[None]:
        """What a thread starts on the device inside goes to the stream of copies, which the network's waits for in `send`."""
        if self._copies is None:
            yield
            return
        with torch.cuda.stream(self._copies):
            yield

    def send(self, batch: torch.Tensor) -> torch.Tensor:
        """The batch on the device, where it may be already. The copy overlaps with the networks of the batches before."""
        if self._copies is None:
            return batch
        copied = batch
        if batch.device.type == "cpu":
            if not batch.is_pinned():
                batch = batch.pin_memory()
            with torch.cuda.stream(self._copies):
                copied = batch.to(self.device, non_blocking=True)
        current = torch.cuda.current_stream(self.device)
        current.wait_stream(self._copies)
        copied.record_stream(current)
        return copied

    def fetch(self, features: torch.Tensor) -> PendingTransfer:
        """Start copying (B, D) features to the host."""
        if not self.is_gpu:
            return PendingTransfer(features, None)
        received = torch.empty(features.shape, dtype=features.dtype, pin_memory=True)
        received.copy_(features, non_blocking=True)
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(self.device))
        return PendingTransfer(received, event)
