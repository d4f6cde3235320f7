"""Whether a network's answers are facts about images: a few of a pass's images asked again, in another order and alone.

An answer that depends on its batch, on the order, on earlier calls or on chance is no property of the image, and a number
counted from it is one of many.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from effrob.features.precision import split

IMAGES = 4  # of a batch that are asked again, and one of them once more alone
SAMPLES = 8  # batches of a long pass; the first is always one of them
APART = 512  # images between two samples at least
# what rounding may change, as a part of what tells images apart: root mean squares over numbers and images
TOLERANCE = {"fp32": 1e-3, "fp16": 0.03, "bf16": 0.1}

Rows = NDArray[np.float32]


class PassSample:
    """Says of each batch of a pass, in order, whether it is asked again."""

    def __init__(self, images: int) -> None:
        self._each, self._seen, self._next = max(APART, images // SAMPLES), 0, 0

    def takes(self, images: int) -> bool:
        """Whether the next batch, of so many images, is one of them."""
        taken = self._seen >= self._next
        if taken:
            self._next = self._seen + self._each
        self._seen += images
        return taken


@dataclass(frozen=True)
class Asked:
    """Some images of a batch, to be asked again. places: theirs in the batch; pixels: (k, ...) of them."""

    places: tuple[int, ...]
    pixels: torch.Tensor

    @classmethod
    def of(cls, pixels: torch.Tensor) -> Asked:
        """Images spread over a batch; a copy, for the batch's memory is used again."""
        places = np.unique(np.linspace(0, len(pixels) - 1, min(IMAGES, len(pixels))).round().astype(int))
        return cls(tuple(places.tolist()), pixels[torch.from_numpy(places).to(pixels.device)].clone())


@dataclass(frozen=True)
class Unsteady:
    """What the answers were seen to depend on, and by how much: a part of what tells images apart.

    images  how many were asked again and answered otherwise
    """

    what: tuple[str, ...]
    spread: float
    images: int

    def __str__(self) -> str:
        return f"{' and '.join(self.what)} ({self.spread:.2g} of what tells images apart)"

    def as_json(self) -> dict[str, Any]:
        """For a record's `resolved`."""
        return {"what": list(self.what), "spread": self.spread, "images": self.images}


def ask_again(
    network: Callable[[torch.Tensor], torch.Tensor], asked: Asked, batch: Rows, precision: str
) -> Unsteady | None:
    """Ask the network about some images of a batch again, whose answers were `batch`, (B, D). None where they are the same."""
    before = batch[list(asked.places)].astype(np.float64)

    def answers(pixels: torch.Tensor) -> NDArray[np.float64]:
        return network(pixels).float().cpu().numpy().astype(np.float64)

    turned, most = asked.pixels.flip(0), TOLERANCE[split(precision)[0]]
    first, alone, scale = answers(turned)[::-1], answers(asked.pixels[:1]), _scale(batch)
    seen = {
        "they are others in another order or beside other images": _rms(first - before) / scale,
        "they are others when an image is asked alone": _rms(alone - before[:1]) / scale,
    }
    if any(not apart <= most for apart in seen.values()):  # whether chance does it is asked only then
        again = "they are others when the same images are asked twice"
        seen = {again: _rms(first - answers(turned)[::-1]) / scale, **seen}
    found = {what: apart for what, apart in seen.items() if not apart <= most}
    if not found:
        return None
    return Unsteady(tuple(found), float(np.nan_to_num(max(found.values()), nan=np.inf)), len(before))


def _rms(values: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(values**2)))


def _scale(batch: Rows) -> float:
    """What tells images apart: the root mean square of their deviations from the mean image; not less than 1 % of all."""
    values = batch.astype(np.float64)
    return max(_rms(values - values.mean(axis=0)), 0.01 * _rms(values), 1e-12) if len(values) > 1 else _rms(values)
