"""Other ways of preparing the same pictures, one change at a time: crop, border, interpolation, decoder, precision."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import model_zoo
from effrob.evaluation.content import checked
from effrob.evaluation.request import Request
from effrob.evaluation.worker import ENCODERS, device_of, feature_key
from effrob.features.cache import FeatureCache, FeatureKey, FeatureSet
from effrob.features.extract import EncoderJob, Pass, extract
from model_zoo.encoder import Identity
from model_zoo.pixels import PixelSpec
from shifts.shift import Shift

PathName = Literal["exact", "fast", "nvjpeg"]
BORDERS = (0, 1, 2)


@dataclass(frozen=True)
class PixelVariant:
    """One way from files to features; `identity` is the model, with other pixels or another activation where those vary."""

    identity: Identity
    border: int
    path: PathName
    precision: str

    @property
    def words(self) -> str:
        """In words, for a setting."""
        spec = self.identity.pixels
        to = "x".join(map(str, dict.fromkeys(spec.resize)))
        how = "own transform" if spec.opaque else f"{spec.mode} {to}, {spec.interpolation}"
        activation = ", quickgelu" if "quickgelu" in str(self.identity.spec) else ""
        return f"{how}, border {self.border}, {self.path}, {self.precision}{activation}"

    def key(self, request: Request, shift: Shift, source: str) -> FeatureKey:
        """Of its features in the cache."""
        asked = dataclasses.replace(request, pixels=self.path, precision=self.precision)
        return feature_key(asked, self.identity, dataclasses.replace(shift, border=self.border), source)


def variants(identity: Identity, request: Request, shift: Shift, pixels_too: bool) -> Iterator[PixelVariant]:
    """The model's own way first, then other borders; with `pixels_too` other single changes, and a crop with each border."""
    own = PixelVariant(identity, shift.border, request.pixels, request.precision)
    yield own
    for border in BORDERS:
        if border != own.border:
            yield dataclasses.replace(own, border=border)
    if not pixels_too:
        return
    if identity.pixels.opaque is None:
        for spec in _other_pixels(identity.pixels):
            changed = dataclasses.replace(own, identity=dataclasses.replace(identity, pixels=spec))
            yield changed
            if spec.mode != identity.pixels.mode:
                yield from (dataclasses.replace(changed, border=b) for b in BORDERS if b != own.border)
        yield dataclasses.replace(own, path="fast" if own.path == "exact" else "exact")
    yield dataclasses.replace(own, precision="bf16" if own.precision == "fp32" else "fp32")
    other = _other_activation(identity)
    if other is not None:
        yield dataclasses.replace(own, identity=other)


def _other_pixels(spec: PixelSpec) -> Iterator[PixelSpec]:
    if spec.mode == "squash":
        yield dataclasses.replace(spec, mode="shortest", resize=spec.size)
    else:
        yield dataclasses.replace(spec, mode="squash", resize=spec.size)
        if spec.mode == "shortest" and spec.resize != spec.size:
            yield dataclasses.replace(spec, resize=spec.size)
    yield dataclasses.replace(spec, interpolation="bilinear" if spec.interpolation == "bicubic" else "bicubic")


def _other_activation(identity: Identity) -> Identity | None:
    """The same open_clip weights in the architecture with the other activation; None where there is none."""
    spec = str(identity.spec)
    if not spec.startswith("openclip:"):
        return None
    name, at, weights = spec.partition("@")
    other = name.removesuffix("-quickgelu") if name.endswith("-quickgelu") else f"{name}-quickgelu"
    try:
        return model_zoo.identify(f"{other}{at}{weights}")
    except (model_zoo.ModelError, model_zoo.UnknownModel):
        return None


def features_of(variant: PixelVariant, request: Request, shift: Shift, source: str, compute: bool) -> FeatureSet | None:
    """A variant's features from the cache; computed and kept where `compute`, else None where they are not there."""
    cache, key = FeatureCache(request.cache), variant.key(request, shift, source)
    missing = cache.missing(key)
    if missing:
        if not compute:
            return None
        loaded = ENCODERS.load(str(variant.identity.spec), device_of(request))
        encoder = dataclasses.replace(loaded, identity=variant.identity)
        cache.open(key, {"kind": encoder.kind, "dim": encoder.dim, "model": str(variant.identity.spec)})
        how = Pass(request.batch_size, variant.precision, variant.path, progress=request.progress)
        extract(
            checked(shift.source, source, request.cache),
            variant.border,
            [EncoderJob(encoder, key, missing)],
            cache,
            how,
            variant.words,
        )
    return cache.merge(key)
