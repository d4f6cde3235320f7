"""How fast this processor multiplies in fewer bits than float32's, by trial: what it supports does not tell.

Without an instruction for bfloat16 torch takes tens of times as long; AMD's processors with one take half as long as in
float32, and Intel's with one but no tiles twice as long.
"""

from __future__ import annotations

import functools
import time

import torch

SHAPE = (256, 512, 128)  # rows, features and outputs: 0.1 ms in float32
TRIALS = 5


@functools.cache
def slowdown(dtype: torch.dtype) -> float:
    """How many times as long as in float32 a product of matrices takes in `dtype` on the processor; tried once a process."""
    rows, features, outputs = SHAPE

    def seconds(kind: torch.dtype) -> float:
        left, right = torch.ones(rows, features, dtype=kind), torch.ones(features, outputs, dtype=kind)
        spent = []
        for _ in range(TRIALS):
            begun = time.perf_counter()
            torch.mm(left, right)
            spent.append(time.perf_counter() - begun)
        return min(spent[1:])  # the first call prepares

    with torch.inference_mode():
        return seconds(dtype) / seconds(torch.float32)
