"""The process's random states and default dtype, kept while a network runs: training goes on as if nothing had run."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

States = tuple[Any, Any, torch.Tensor, list[torch.Tensor], torch.dtype]
_counting = threading.Lock()
_before: list[States] = []  # of the first of those at once; as often as there are some


@contextmanager
def kept_random_states() -> Iterator[None]:
    """Restore the states of Python, NumPy and torch at the end; of several at once, in threads, the last does.

    Inside, tensors are float32 by default, as pictures are.
    """
    with _counting:
        _before.append(_before[0] if _before else _states())
        torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        with _counting:
            states = _before.pop()
            if not _before:
                _restore(states)


def _states() -> States:
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    return random.getstate(), np.random.get_state(), torch.random.get_rng_state(), devices, torch.get_default_dtype()


def _restore(states: States) -> None:
    random.setstate(states[0])
    np.random.set_state(states[1])
    torch.random.set_rng_state(states[2])
    torch.set_default_dtype(states[4])
    if states[3]:
        torch.cuda.set_rng_state_all(states[3])
