"""PixelSpec: a model's preprocessing as data, so that batches stay uint8, encoders share a decode, and records compare.

Only the description lives here, and no torch: turning bytes into pixels by a PixelSpec is `effrob.features.transforms`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from model_zoo.errors import ModelError, suggest

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
    opaque         digest of a transform that is called as it is; then the other fields describe only what comes out
    offset         where an odd margin puts the centre crop: `round` (torchvision) or `floor` (transformers); kept out of
                   JSON and digest where it is `round`
    """

    size: tuple[int, int]
    resize: tuple[int, int]
    mode: Resize = "shortest"
    interpolation: Interpolation = "bicubic"
    mean: Triple = (0.485, 0.456, 0.406)
    std: Triple = (0.229, 0.224, 0.225)
    fill: int = 0
    opaque: str | None = None
    offset: Literal["round", "floor"] = "round"

    def __post_init__(self) -> None:
        if min(*self.size, *self.resize) < 1:
            raise ValueError(f"sizes must be positive, got size={self.size} resize={self.resize}")
        if any(s <= 0 for s in self.std):
            raise ValueError(f"std must be positive, got {self.std}")

    def as_json(self) -> dict[str, object]:
        """The fields as JSON-ready values; equal specs give equal JSON."""
        fields = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}
        if self.offset == "round":
            del fields["offset"]  # as specs were before there was a choice
        return fields

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> PixelSpec:
        """The inverse of `as_json`."""
        fields: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
        }
        return cls(**fields)

    def digest(self) -> str:
        """SHA-256 of the canonical JSON."""
        return hashlib.sha256(json.dumps(self.as_json(), sort_keys=True).encode()).hexdigest()

    def geometry(self) -> tuple[object, ...]:
        """What decides the uint8 crop: two specs of one geometry share a decode and a pixel cache."""
        fields = (self.size, self.resize, self.mode, self.interpolation, self.fill, self.opaque)
        return fields if self.offset == "round" else (*fields, self.offset)


_WANTED = {
    "resize": "a size in pixels as 256 or 256x224",
    "crop": "a size in pixels as 224 or 224x192",
    "mode": "",
    "interpolation": "",
    "mean": "one number or three as 0.485/0.456/0.406",
    "std": "one number or three as 0.229/0.224/0.225",
    "fill": "a grey level from 0 to 255",
}
_KEYS = tuple(_WANTED)


def parse_pixels(text: str, base: PixelSpec | None = None) -> PixelSpec:
    """A PixelSpec from `KEY=VALUE,…`, as in `resize=256,crop=224,interpolation=bilinear,mean=0.485/0.456/0.406,std=0.5`.

    Sizes are one number or HEIGHTxWIDTH; mean and std are three numbers or one that stands for three. Keys left out are
    `base`'s. Without a base, `crop`, `interpolation`, `mean` and `std` must be given, and `resize` is `crop` where left out.
    Raises ModelError for an unknown key, an unreadable value or a missing key.
    """
    given: dict[str, Any] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if key not in _KEYS:
            slashes = "" if equals else "; a number a channel is written with slashes, as mean=0.485/0.456/0.406"
            raise ModelError(
                f"--pixels has no key {key!r}{suggest(key, _KEYS)}; its keys are {', '.join(_KEYS)}{slashes}"
            )
        if not equals or not value:
            raise ModelError(f"--pixels takes KEY=VALUE separated by commas; {part!r} has no value")
        if key in given:
            raise ModelError(f"--pixels gives {key} twice")
        given[key] = _value(key, value)
    if base is None:
        missing = [key for key in ("crop", "interpolation", "mean", "std") if key not in given]
        if missing:
            raise ModelError(
                f"--pixels must say {', '.join(missing)} too, for nothing else tells: "
                "resize=256,crop=224,interpolation=bilinear,mean=0.485/0.456/0.406,std=0.229/0.224/0.225"
            )
        base = PixelSpec(size=given["crop"], resize=given["crop"], mode="shortest")
    fields = {"size" if key == "crop" else key: value for key, value in given.items()}
    try:
        return replace(base, opaque=None, **fields)
    except ValueError as error:
        raise ModelError(f"--pixels {text}: {error}") from error


def _value(key: str, value: str) -> object:
    """The value of one key of `--pixels`, in the type PixelSpec holds."""
    if key in ("mode", "interpolation"):
        known = get_args(Resize if key == "mode" else Interpolation)
        if value not in known:
            raise ModelError(f"--pixels {key}={value}: wanted one of {', '.join(known)}{suggest(value, known)}")
        return value
    try:
        if key == "fill":
            return _repeated([int(value)], 1, highest=255)[0]
        if key in ("resize", "crop"):
            return _repeated([int(side) for side in value.lower().split("x")], 2, lowest=1)
        return _repeated([float(number) for number in value.split("/")], 3)
    except ValueError:
        raise ModelError(f"--pixels {key}={value}: wanted {_WANTED[key]}") from None


def _repeated(numbers: list[Any], count: int, lowest: float = 0, highest: float = 1e6) -> tuple[Any, ...]:
    """`count` numbers, or one that stands for all. Raises ValueError otherwise, and outside the bounds (NaN included)."""
    if len(numbers) not in (1, count) or not all(lowest <= number <= highest for number in numbers):
        raise ValueError
    return tuple(numbers if len(numbers) == count else numbers * count)
