"""Which pictures a run is trained on, with captions and labels: nested draws by seed, the same numbers in every arm.

Labels of captioned pictures are matched from their texts by the reader that `effrob captions match` uses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from recipes.drawn.pool import IMAGES, Kind, Pool, is_styled, pool, threshold
from recipes.five_causes.grid import Run
from shifts.captions.matching import labels, matcher
from shifts.classes import pocket

RULE, SEVERAL = "words", "longest"


@dataclass(frozen=True)
class Examples:
    """images (n, 3, side, side) in [0, 1], labels (n,) of the drawings, captions, and the pool's numbers of the pictures."""

    images: torch.Tensor
    labels: torch.Tensor
    captions: tuple[str, ...]
    numbers: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.labels)


def examples(run: Run, out: Path, images: int = IMAGES) -> Examples:
    """The run's pictures in the order of their numbers; `images` is the size of the pool they are drawn from."""
    numbers = chosen(run.seed, run.arm.pictures, images)
    if run.arm.pictures_of == "narrow":
        return _gathered(numbers, [_pool("narrow", out, images)] * len(numbers))
    own, shared = _pool("web", out, images), _pool("web-shared", out, images)
    return _gathered(numbers, [shared if in_shared_style(number, run.arm.overlap) else own for number in numbers])


def chosen(seed: int, n: int, images: int = IMAGES) -> list[int]:
    """The numbers of a run's pictures; of one seed, fewer are always among more."""
    if n > images:
        raise ValueError(f"{n} pictures are asked for, and the pool holds {images}")
    return sorted(np.random.default_rng([5, seed]).permutation(images)[:n].tolist())


def in_shared_style(number: int, overlap: float) -> bool:
    """Whether a web picture is in a style of the test sets at a dose of overlap."""
    return is_styled(number) and threshold(number) < overlap


def matched(captions: Sequence[str]) -> torch.Tensor:
    """(n,) class indices that the captions name, -1 where a caption names no class or several."""
    find = matcher(RULE, pocket()).find
    named = [labels(find(caption), SEVERAL) for caption in captions]
    return torch.tensor([found[0] if len(found) == 1 else -1 for found in named])


@lru_cache(maxsize=3)
def _pool(kind: Kind, out: Path, images: int) -> Pool:
    return pool(kind, out, images)


def _gathered(numbers: Sequence[int], pools: Sequence[Pool]) -> Examples:
    stacked = np.stack([each.images[number] for number, each in zip(numbers, pools, strict=True)])
    return Examples(
        torch.from_numpy(stacked).permute(0, 3, 1, 2).float() / 255,
        torch.tensor([int(each.labels[number]) for number, each in zip(numbers, pools, strict=True)]),
        tuple(each.captions[number] for number, each in zip(numbers, pools, strict=True)),
        tuple(numbers),
    )
