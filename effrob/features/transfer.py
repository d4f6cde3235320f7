"""The way to a device and back: batches out, features home, without the host waiting for either.

On a GPU copies run on a stream of their own beside the network's, and features arrive in pinned memory behind an event; on
a CPU the same calls hand the tensors through. Knows no encoders and no files.
"""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

DEPTH = 4  # batches a GPU may be behind the host before the host waits for the oldest


class Arrival(Protocol):
    """Features on their way to the host."""

    @property
    def here(self) -> bool: ...

    def wait(self) -> NDArray[np.float32]:
        """(B, D) float32 on the host. Raises what the device, or the network, raised meanwhile."""


@dataclass(frozen=True)
class Promised:
    """Features that another thread computes."""

    features: Future[torch.Tensor]

    @property
    def here(self) -> bool:
        """See `Arrival`."""
        return self.features.done()

    def wait(self) -> NDArray[np.float32]:
        """See `Arrival`."""
        array: NDArray[np.float32] = self.features.result().numpy()
        return array


@dataclass(frozen=True)
class PendingTransfer:
    """Features a device has sent, behind an event; or that are here, where there is none."""

    features: torch.Tensor
    landed: torch.cuda.Event | None

    @property
    def here(self) -> bool:
        """See `Arrival`."""
        return self.landed is None or bool(self.landed.query())  # type: ignore[no-untyped-call]

    def wait(self) -> NDArray[np.float32]:
        """See `Arrival`."""
        if self.landed is not None:
            self.landed.synchronize()
        array: NDArray[np.float32] = self.features.numpy()
        return array


class DeviceTransfer:
    """One device's copies."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.is_gpu = device.type == "cuda"
        self.depth = DEPTH if self.is_gpu else 0
        self._copies = torch.cuda.Stream(device) if self.is_gpu else None  # type: ignore[no-untyped-call]

    def empty(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        """Host memory the device can copy from by itself. torch keeps freed pinned blocks, and waits for copies from them."""
        return torch.empty(shape, dtype=dtype, pin_memory=self.is_gpu)

    def send(self, batch: torch.Tensor) -> torch.Tensor:
        """The batch on the device. The copy overlaps with the networks of the batches before."""
        if self._copies is None:
            return batch
        if not batch.is_pinned():
            batch = batch.pin_memory()
        with torch.cuda.stream(self._copies):
            there = batch.to(self.device, non_blocking=True)
        current = torch.cuda.current_stream(self.device)
        current.wait_stream(self._copies)
        there.record_stream(current)
        return there

    def fetch(self, features: torch.Tensor) -> PendingTransfer:
        """Start the way home of (B, D) features."""
        if not self.is_gpu:
            return PendingTransfer(features, None)
        home = torch.empty(features.shape, dtype=features.dtype, pin_memory=True)
        home.copy_(features, non_blocking=True)
        landed = torch.cuda.Event()  # type: ignore[no-untyped-call]
        landed.record(torch.cuda.current_stream(self.device))
        return PendingTransfer(home, landed)
