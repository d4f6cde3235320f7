"""A results folder as the evaluator leaves one: seven native models on a line, a zero-shot model above it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.special import expit
from worlds import World

from tests.honest import ASKED, keep, official

IMAGES = 600  # of each of the two shifts
MODELS = tuple(f"timm:resnet{18 + i}.a1_in1k" for i in range(7))
ROBUST = "openclip:tiny@x"
SHIFTS = ("pocket-v2", "pocket-r")


def fill(root: Path) -> Path:
    """Write the store; the answers depend on nothing but this file."""
    world, rng = World(shared=0.6), np.random.default_rng(11)
    x = np.append(np.linspace(-0.5, 2.2, len(MODELS)), 0.8)
    clean = world.answer(rng, expit(x), np.zeros(len(official("pocket")), dtype=int))
    heights = {"pocket-v2": (0.95, -0.3, 0.0), "pocket-r": (0.8, -0.8, 1.2)}
    asked = replace(ASKED, pixels={"size": [32, 32]})
    for shift, (slope, intercept, gain) in heights.items():
        y = slope * x + intercept
        y[-1] += gain
        answers = world.answer(rng, expit(y), np.zeros(IMAGES, dtype=int))
        for i, model in enumerate((*MODELS, ROBUST)):
            head = "zero-shot" if model == ROBUST else "native"
            keep(root, model, shift, answers[i], clean[i], seed=1, asked=replace(asked, head=head, head_digest=head))
    for i, model in enumerate((*MODELS, ROBUST)):
        head = "zero-shot" if model == ROBUST else "native"
        keep(root, model, "pocket", clean[i], seed=1, asked=replace(asked, head=head, head_digest=head))
    return root
