"""How a machine's cores are shared between decoding and torch: decided once a pass, from what each was seen to cost.

Decoding runs in threads of its own; torch's threads meet at a barrier after every operation, so a core they share with a
decoder holds all of them up. Where several batches go through at once, each on one thread, they and the decoders take turns:
no more of them compute at once than there are cores (or decoding threads, where the user wants more), or each would find its
data gone from the core's cache.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

SPARE = 0.1  # of a core: what a second batch at once must fill to be worth its memory
_QUOTA = Path("/sys/fs/cgroup/cpu.max")


@dataclass(frozen=True)
class Division:
    """Threads that decode, threads torch computes with, and batches that go through the networks at once."""

    decode: int
    torch: int
    batches: int = 1


def cores() -> int:
    """Cores this process may use: its affinity and its container's quota, shared among the ranks of one machine."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):
        quota, period = _QUOTA.read_text(encoding="utf-8").split()
        available = min(available, math.ceil(int(quota) / int(period)))
    ranks = os.environ.get("LOCAL_WORLD_SIZE", "")
    return max(1, available // max(1, int(ranks) if ranks.isdecimal() else 1))


def divide(available: int, most: int, decode: float, forward: float) -> Division:
    """Cores in proportion to the seconds an image costs in decoding and in the network, on one thread each.

    `most` caps torch's threads (the user's OMP_NUM_THREADS). A single torch thread has no barrier, so decoders may use every
    core and wait whenever they are far enough ahead; the network's share of the cores beyond one thread runs more batches at
    once.
    """
    share = forward / (forward + decode) if forward + decode > 0 else 0.0
    torch_threads = min(most, max(1, round(available * share)))
    if torch_threads > 1:
        return Division(max(1, available - torch_threads), torch_threads)
    return Division(available, 1, max(1, math.ceil(available * share - SPARE)))


@contextlib.contextmanager
def torch_threads_restored() -> Iterator[int]:
    """Yields torch's number of threads as the user set it, and restores it at the end."""
    before = torch.get_num_threads()
    try:
        yield before
    finally:
        torch.set_num_threads(before)


def use_one_thread() -> None:
    """Initialise a thread so that torch operations in it use no other; torch keeps this number for each thread."""
    torch.set_num_threads(1)
