"""Whether a Ray cluster still lives and can still run a job: asked while jobs are waited for, so that none is without end.

Ray itself ends the whole process, without a chance to keep anything, when its head has not answered for 60 seconds; and it
waits without end for a node that could take a job. So the head is given up a little before, and a lacking node in the end.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

BEAT = 2.0  # seconds between two looks
SILENCE = 25.0  # seconds that the head may not answer: below Ray's own 60, at which it ends this process
PLACELESS = 600.0  # seconds that jobs wait for a node that can hold one
LEAVE = 10.0  # seconds to take leave of a cluster


class RayWatch:
    """Looks at one cluster. `cpus` and `gpus` are what one job claims; `address` is the head's `host:port`."""

    def __init__(self, ray: Any, address: str, cpus: float, gpus: float) -> None:
        self.ray, self.address, self.cpus, self.gpus = ray, address, cpus, gpus
        self._heard = self._placed = time.monotonic()

    def ended(self) -> None:
        """A job has ended, so there was a place for it, and silence is counted from now."""
        self._heard = self._placed = time.monotonic()

    def verdict(self) -> str | None:
        """None while there is hope; else why no job can end any more."""
        now = time.monotonic()
        if answers(self.address):
            self._heard = now
        elif now - self._heard >= SILENCE:
            return f"the head of the Ray cluster at {self.address} has not answered for {SILENCE:.0f} s and may be dead"
        else:
            return None  # a question to a head that is away would wait for it
        if self._has_place():
            self._placed = now
        elif now - self._placed >= PLACELESS:
            wanted = f"{self.cpus:g} CPUs" + (f" and {self.gpus:g} GPUs" if self.gpus else "")
            return (
                f"for {PLACELESS / 60:.3g} minutes no node of the Ray cluster at {self.address} has had the {wanted} of a job: "
                "start a node with `ray start --address`"
            )
        return None

    def _has_place(self) -> bool:
        nodes = within(LEAVE, self.ray.nodes)
        if nodes is None:
            return True  # not told: the next look at the head decides
        have = [node.get("Resources", {}) for node in nodes if node.get("Alive")]
        return any(each.get("CPU", 0.0) >= self.cpus and each.get("GPU", 0.0) >= self.gpus for each in have)


def answers(address: str) -> bool:
    """Whether a connection to `host:port` is taken."""
    host, _, port = address.rpartition(":")
    try:
        with contextlib.closing(socket.create_connection((host.strip("[]"), int(port)), timeout=BEAT)):
            return True
    except (OSError, ValueError):
        return False


def within(seconds: float, asked: Callable[[], T]) -> T | None:
    """What `asked` returns, or None where it fails or takes longer; it then goes on in a thread that ends with the process."""
    found: list[T] = []

    def ask() -> None:
        with contextlib.suppress(Exception):
            found.append(asked())

    thread = threading.Thread(target=ask, name="effrob-ray", daemon=True)
    thread.start()
    thread.join(seconds)
    return found[0] if found else None
