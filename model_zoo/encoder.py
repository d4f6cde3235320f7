"""What a loaded model is to the rest: pixels in, features out, and the two ways features become class scores.

A supervised network and CLIP take the same road: `embed_images`, then a linear readout, which is either the network's
own classifier or a text tower's embeddings of prompts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Literal, Protocol

import torch

from model_zoo.errors import ModelError
from model_zoo.pixels import PixelSpec
from model_zoo.spec import ModelSpec


@dataclass(frozen=True)
class Identity:
    """All that is known of a model without loading its weights.

    spec      what was resolved: default weights filled in
    asked     what the user typed
    digest    SHA-256 of whatever decides the function: architecture or configuration, weights file or tag, loader source
    pixels    its preprocessing
    layer     which features are taken: `default`, or the layer a registration named
    has_text  True where a zero-shot head is possible
    n_classes classes of its own classifier (1000 for ImageNet networks), or None
    labels    what its classifier's columns are, by name or WordNet id, where the model's configuration says; None: unsaid
    notes     sentences the user must see (the default weights taken, an activation that differs from the tag's)
    """

    spec: ModelSpec
    asked: str
    digest: str
    pixels: PixelSpec
    layer: str = "default"
    has_text: bool = False
    n_classes: int | None = None
    labels: tuple[str, ...] | None = None
    notes: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class Classifier:
    """A linear map from features to logits: weight (K, D), bias (K,) or None. None as weight: features are the logits."""

    weight: torch.Tensor | None
    bias: torch.Tensor | None
    n_classes: int


class TextTower(Protocol):
    """Prompts to embeddings in the image tower's space."""

    digest: str
    """Changes with the tower's weights, tokenizer and context length: the key of a cached zero-shot classifier."""
    logit_scale: float | None
    """What the model was trained to multiply cosines by before its softmax (or sigmoid); None where it has no such scale."""

    def tokenize(self, prompts: Sequence[str]) -> torch.Tensor:
        """(N,) prompts -> (N, context) int64, padded as the tower was trained."""

    def lengths(self, tokens: torch.Tensor) -> torch.Tensor | None:
        """(N, context) -> (N,) tokens that matter, end-of-text included; None where trimming would change the result."""

    def embed(self, tokens: torch.Tensor) -> torch.Tensor:
        """(N, L) tokens, L the context or a length no token of the batch exceeds -> (N, D) embeddings, not normalised."""


@dataclass(frozen=True)
class Reference:
    """The library's own evaluation of a model, which a proof compares an encoder with.

    library  its name and version
    prepare  RGB picture -> (3, H, W) float tensor, by the library's own transform; None where a user named the pixels
    outputs  (B, 3, H, W) -> (B, K) logits, or (B, D) embeddings or pooled features, by the library's own forward pass
    texts    (N,) prompts -> (N, D) embeddings, by the library's own tokenizer and text tower; None without one
    resized  True where the library resizes tensors and effrob pictures, so that grey levels differ by rounding
    """

    library: str
    prepare: Callable[[object], torch.Tensor] | None = None
    outputs: Callable[[torch.Tensor], torch.Tensor] | None = None
    texts: Callable[[Sequence[str]], torch.Tensor] | None = None
    resized: bool = False


Kind = Literal["penultimate", "logits", "image-embedding"]


@dataclass
class Encoder:
    """A loaded model on one device, in evaluation mode.

    embed      (B, 3, H, W) float tensor, normalised by `pixels`, on `device` -> (B, D) features
    kind       what the features are: a probe on `logits` is refused
    text       its text tower, or None
    classifier its own head over `n_classes`, or None
    transform  a user's own transform (PIL image -> (3, H, W) float tensor), only where `pixels.opaque` is set
    reference  the library's own evaluation, for a proof; None where the model is a user's own
    module     what `embed` runs, and nothing a text tower shares; a pass may cast and lay out its weights. None where not known
    """

    identity: Identity
    device: torch.device
    embed: Callable[[torch.Tensor], torch.Tensor]
    kind: Kind
    dim: int
    text: TextTower | None = None
    classifier: Classifier | None = None
    transform: Callable[[object], torch.Tensor] | None = None
    module: torch.nn.Module | None = None
    reference: Reference | None = None

    @property
    def pixels(self) -> PixelSpec:
        return self.identity.pixels


class Provider(Protocol):
    """One scheme of models. `identify` is cheap and loads no weights; `load` does."""

    def identify(self, spec: ModelSpec) -> Identity: ...

    def load(self, spec: ModelSpec, device: torch.device) -> Encoder: ...

    def names(self) -> list[str]:
        """Every name of the scheme, for near matches and listings."""


_NOISE: ContextVar[bool] = ContextVar("noise_allowed", default=False)


@contextmanager
def noise_allowed(allowed: bool) -> Iterator[None]:
    """Within it a network may be loaded whose answers vary; its evaluation says by how much."""
    before = _NOISE.set(allowed)
    try:
        yield
    finally:
        _NOISE.reset(before)


def may_be_noisy() -> bool:
    """Whether this is called within `noise_allowed(True)`."""
    return _NOISE.get()


def on_device(device: str | torch.device) -> torch.device:
    """`device` as torch has it. Raises ModelError for a name torch does not know and for a GPU that is not there."""
    try:
        resolved = torch.device(device)
    except RuntimeError:
        raise ModelError(f"{device!r} is no device: say cpu, cuda or cuda:N") from None
    if resolved.type == "cuda" and not torch.cuda.is_available():
        raise ModelError("the device cuda was asked for and this machine or this torch has none: say --device cpu")
    return resolved
