"""Whether a network's answers are facts about images: a few of a pass's images asked again, in another order and alone.

An answer that depends on its batch, on the order, on earlier calls or on chance is no property of the image, and a number
counted from it is one of many.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
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
# and a single number, beside that part of its own size, FAR times the tolerance (16 networks in three precisions: 0.5)
OWN = {"fp32": 1e-4, "fp16": 0.01, "bf16": 0.05}
FAR = 3.0
# of the tolerance, what the same images in the same order may be apart; on a CPU they are nearly always equal
TWICE = 0.5

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
    """Some images of a batch, to be asked again. places: theirs in the batch; pixels: (k, ...) of them.

    turned  their answers in reverse order, (k, D), once for each time that they were asked again
    """

    places: tuple[int, ...]
    pixels: torch.Tensor
    turned: list[NDArray[np.float64]] = field(default_factory=list, compare=False)

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
    before, arithmetic = batch[list(asked.places)].astype(np.float64), split(precision)[0]
    most, scale = TOLERANCE[arithmetic], _scale(batch)

    def answers(pixels: torch.Tensor) -> NDArray[np.float64]:
        return network(pixels).float().cpu().numpy().astype(np.float64)

    def apart(again: NDArray[np.float64], wanted: NDArray[np.float64]) -> tuple[float, float]:
        """Of all numbers, and what the one that stands out most is off beyond its own rounding."""
        off = np.abs(again - wanted)
        return _rms(off) / scale, float(np.max(off - OWN[arithmetic] * np.abs(wanted), initial=0.0)) / scale

    turned = answers(asked.pixels.flip(0))[::-1]
    seen = {
        "they are others in another order or beside other images": apart(turned, before),
        "they are others when an image is asked alone": apart(answers(asked.pixels[:1]), before[:1]),
    }
    again = "they are others when the same images are asked twice"
    found = {what: max(far) for what, far in seen.items() if not (far[0] <= most and far[1] <= FAR * most)}
    if asked.turned or found:  # else whether chance does it is not asked; later it is the very same batch
        earlier = asked.turned[-1] if asked.turned else answers(asked.pixels.flip(0))[::-1]
        chance = apart(turned, earlier)[0]
        found = {again: chance, **found} if not chance <= most * (TWICE if asked.turned else 1) else found
    asked.turned.append(turned)
    if not found:
        return None
    return Unsteady(tuple(found), float(np.nan_to_num(max(found.values()), nan=np.inf)), len(before))


def _rms(values: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(values**2)))


def _scale(batch: Rows) -> float:
    """What tells images apart: the root mean square of their deviations from the mean image; not less than 1 % of all."""
    values = batch.astype(np.float64)
    return max(_rms(values - values.mean(axis=0)), 0.01 * _rms(values), 1e-12) if len(values) > 1 else _rms(values)
