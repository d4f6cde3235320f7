"""PixelSpec: a model's preprocessing as data, so that batches stay uint8, encoders share a decode, and records compare.

Only the description lives here, and no torch: turning bytes into pixels by a PixelSpec is `effrob.features.pixels`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Literal

Resize = Literal["shortest", "squash", "longest", "none"]
Interpolation = Literal["bicubic", "bilinear", "nearest", "lanczos", "box", "hamming"]
Triple = tuple[float, float, float]


@dataclass(frozen=True)
class PixelSpec:
    """How a picture becomes the (3, height, width) floats a network takes.

    size           (height, width) of what the network sees
    resize         (height, width) the resize aims at; both equal for `shortest` with one number
    mode           `shortest`: the short side becomes resize[0], aspect kept, then centre crop (torchvision's Resize(int))
                   `squash`: to exactly `resize`, aspect lost, then centre crop to `size`
                   `longest`: aspect kept so that the picture fits inside `resize`, then padded to `size` with `fill`
                   `none`: no resize; centre crop (with zero padding where the picture is smaller)
    interpolation  Pillow's filter, always with antialiasing
    mean, std      on values in [0, 1], per channel RGB
    fill           0..255 grey level used by padding
    opaque         digest of a user's own transform; then the other fields describe only what comes out
    """

    size: tuple[int, int]
    resize: tuple[int, int]
    mode: Resize = "shortest"
    interpolation: Interpolation = "bicubic"
    mean: Triple = (0.485, 0.456, 0.406)
    std: Triple = (0.229, 0.224, 0.225)
    fill: int = 0
    opaque: str | None = None

    def __post_init__(self) -> None:
        if min(*self.size, *self.resize) < 1:
            raise ValueError(f"sizes must be positive, got size={self.size} resize={self.resize}")
        if any(s <= 0 for s in self.std):
            raise ValueError(f"std must be positive, got {self.std}")

    def as_json(self) -> dict[str, object]:
        """The fields as JSON-ready values; equal specs give equal JSON."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    def digest(self) -> str:
        """SHA-256 of the canonical JSON."""
        return hashlib.sha256(json.dumps(self.as_json(), sort_keys=True).encode()).hexdigest()

    def geometry(self) -> tuple[object, ...]:
        """What decides the uint8 crop: two specs of one geometry share a decode and a pixel cache."""
        return (self.size, self.resize, self.mode, self.interpolation, self.fill, self.opaque)
