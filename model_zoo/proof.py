"""A proof that an encoder is the model its library means: pixels, features, scores and texts against the library's own.

Three pictures go through both: a photograph, a tall one and a wide one (scikit-learn's samples). Beyond a tolerance the
proof says which numbers differ, and shows both. How pictures become pixels is given by the caller.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch.nn import functional

from model_zoo.encoder import Encoder, Reference
from model_zoo.errors import ModelError

VERSION = 2  # of what is compared: a change makes cached proofs void
EXACT = 0.02  # grey levels: float32 rounding of normalised pixels
LEVELS = 3.5  # grey levels: Pillow and torchvision round between their two passes, and overshoots differ
DRIFT = 0.15  # grey levels, the mean over a channel: rounding averages out, a wrong mean does not
CONTRAST = 4e-3  # of a channel's standard deviation
RELATIVE = 1e-3  # of the largest number: float32 kernels differ by 1e-6 on a CPU and by 1e-4 on a GPU
PROMPTS = ("a photo of a dog.", "a drawing of a cat.", "an astonishingly long description of one small red bicycle.")

Prepare = Callable[[Image.Image, Encoder], torch.Tensor]


@dataclass(frozen=True)
class Proof:
    """The largest differences that were seen; None where there was nothing to compare with.

    pixels    grey levels;  features, scores and text   a part of the library's largest number
    wrong     a sentence for each difference beyond its tolerance
    varies    what the answers depend on beside the picture, a sentence each;  spread  by how much, a part of the largest number
    text_wrong  one on the text tower, which matters to a zero-shot head alone
    """

    model: str
    library: str | None
    kind: str
    dim: int
    parameters: int | None
    pixels: float | None = None
    features: float | None = None
    scores: float | None = None
    text: float | None = None
    wrong: tuple[str, ...] = ()
    text_wrong: str | None = None
    varies: tuple[str, ...] = ()
    spread: float | None = None
    version: int = field(default=VERSION)

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "wrong": list(self.wrong), "varies": list(self.varies)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Proof:
        """The inverse of `as_json`. Raises TypeError and KeyError for anything else."""
        return cls(**{**values, "wrong": tuple(values["wrong"]), "varies": tuple(values["varies"])})

    @property
    def sentence(self) -> str:
        """What was compared and how far apart it was, in one line."""
        parts = [
            f"{what} within {value:.2g}{unit}"
            for what, value, unit in (
                ("pixels", self.pixels, " grey levels"),
                ("features", self.features, ""),
                ("scores", self.scores, ""),
                ("text", self.text, ""),
            )
            if value is not None
        ]
        if self.library is None:
            return "features are finite, repeatable and independent of the batch; there is no library to compare with"
        return f"as {self.library}: {', '.join(parts) or 'nothing could be compared'}"


@functools.cache
def pictures() -> tuple[Image.Image, ...]:
    """A photograph (640x427), a tall picture (171x427) and a wide one (640x213), RGB.

    The sizes leave odd margins and broken ratios at 224, 256 and most other sizes, where libraries round differently.
    """
    package = find_spec("sklearn")  # its folder, without importing it
    assert package is not None and package.origin is not None
    samples = Path(package.origin).parent / "datasets" / "images"
    opened = []
    for name, box in (("china", None), ("china", (300, 0, 471, 427)), ("flower", (0, 100, 640, 313))):
        with Image.open(samples / f"{name}.jpg") as picture:
            opened.append(picture.convert("RGB") if box is None else picture.convert("RGB").crop(box))
    return tuple(opened)


def prove(encoder: Encoder, prepare: Prepare) -> Proof:
    """Compare `encoder` with its reference. `prepare` makes normalised pixels (3, H, W) as a run does.

    Never raises for a difference: `Proof.wrong` says it. Raises ModelError where the model cannot be run at all.
    """
    photographs = pictures()
    ours = torch.stack([prepare(each, encoder) for each in photographs]).to(encoder.device)
    wrong: list[str] = []
    reference, pixels = encoder.reference, None
    theirs = ours
    if reference is not None and reference.prepare is not None:
        theirs, pixels = _pixels(encoder, reference, photographs, ours, wrong)
    features_apart = scores_apart = None
    with torch.inference_mode(), torch.backends.cudnn.flags(allow_tf32=False):  # TF32 has ten bits of mantissa
        features = encoder.embed(theirs)
        wrong += _usable(encoder, theirs, features)
        varies = {} if wrong else _varying(encoder, theirs, features)
        if reference is not None and reference.outputs is not None and not wrong and not varies:
            expected = reference.outputs(theirs).float()
            what, computed = "features", features
            if encoder.classifier is not None:
                what, computed = "scores", scores_of(encoder, features)
            elif encoder.kind == "image-embedding":  # a library's forward pass may give unit vectors
                computed, expected = functional.normalize(computed, dim=-1), functional.normalize(expected, dim=-1)
            apart = _apart(computed, expected)
            if not apart <= RELATIVE:
                wrong.append(_shown(f"{what} of a photograph", computed[0], expected[0], reference.library))
            features_apart, scores_apart = (apart, None) if what == "features" else (None, apart)
    text, text_wrong = _texts(encoder, reference)
    module = encoder.module
    return Proof(
        model=str(encoder.identity.spec),
        library=None if reference is None else reference.library,
        kind=encoder.kind,
        dim=encoder.dim,
        parameters=None if module is None else sum(p.numel() for p in module.parameters()),
        pixels=pixels,
        features=features_apart,
        scores=scores_apart,
        text=text,
        wrong=tuple(wrong),
        text_wrong=text_wrong,
        varies=tuple(varies),
        spread=max(varies.values(), default=None),
    )


def scores_of(encoder: Encoder, features: torch.Tensor) -> torch.Tensor:
    """(B, D) features -> (B, K) logits of the encoder's own classifier."""
    classifier = encoder.classifier
    if classifier is None:
        raise ModelError(f"{encoder.identity.spec} has no classifier of its own")
    if classifier.weight is None:
        return features
    bias = None if classifier.bias is None else classifier.bias.to(features.device).float()
    return functional.linear(features, classifier.weight.to(features.device).float(), bias)


def _pixels(
    encoder: Encoder, reference: Reference, photographs: tuple[Image.Image, ...], ours: torch.Tensor, wrong: list[str]
) -> tuple[torch.Tensor, float | None]:
    """The library's pixels and the largest difference in grey levels; ours where the library's are of another shape."""
    assert reference.prepare is not None
    each = [reference.prepare(picture).float().to(encoder.device) for picture in photographs]
    for picture, pixels in zip(photographs, each, strict=True):
        if pixels.shape != ours.shape[1:]:
            wrong.append(
                f"pixels of a {picture.width}x{picture.height} picture: effrob makes {_size(ours[0])} and "
                f"{reference.library} {_size(pixels)}"
            )
            return ours, None
    theirs = torch.stack(each)
    std = torch.tensor(encoder.pixels.std, device=ours.device).view(1, 3, 1, 1)
    if encoder.pixels.opaque is not None:
        std = torch.ones_like(std)
    difference = (ours - theirs) * std * 255
    largest = float(difference.abs().max())
    drift = float(difference.mean(dim=(2, 3)).abs().max())
    spread = theirs.std(dim=(2, 3)).clamp(min=1e-3)
    contrast = float((ours.std(dim=(2, 3)) / spread - 1).abs().max())
    far = largest > (LEVELS if reference.resized else EXACT)
    if far or (reference.resized and (drift > DRIFT or contrast > CONTRAST)):
        worst = int(difference.abs().amax(dim=(1, 2, 3)).argmax())
        at = tuple(int(i) for i in torch.unravel_index(difference[worst].abs().argmax(), difference[worst].shape))
        wrong.append(
            f"pixels of a {photographs[worst].width}x{photographs[worst].height} picture: effrob makes "
            f"{float(ours[worst][at]):.4f} at {at} and {reference.library} {float(theirs[worst][at]):.4f}, "
            f"{largest:.1f} grey levels apart and {drift:.2f} on average"
        )
    return theirs, largest


def _usable(encoder: Encoder, pixels: torch.Tensor, features: torch.Tensor) -> list[str]:
    """What does not hold of features: their shape, and that they are finite."""
    if features.shape != (len(pixels), encoder.dim):
        return [f"{len(pixels)} pictures give {tuple(features.shape)}, wanted ({len(pixels)}, {encoder.dim})"]
    if not features.isfinite().all():
        return [
            "the features of a photograph are not finite: the weights are damaged, or the pixels are not the model's"
        ]
    return []


def _varying(encoder: Encoder, pixels: torch.Tensor, features: torch.Tensor) -> dict[str, float]:
    """What the features of a picture depend on beside it, a sentence each, and by what part of the largest number."""
    told = {
        "the same pictures give other features the second time: dropout or other noise is active in evaluation": (
            encoder.embed(pixels)
        ),
        "a picture's features depend on the others in its batch: a normalisation over the batch is active": torch.cat(
            [encoder.embed(each[None]) for each in pixels]
        ),
        "a picture's features depend on its place in the batch": encoder.embed(pixels.flip(0)).flip(0),
        "a picture's features depend on what was asked before": encoder.embed(pixels),
    }
    apart = {said: _apart(again, features) for said, again in told.items()}
    return {said: far for said, far in apart.items() if not far <= RELATIVE}


def _texts(encoder: Encoder, reference: Reference | None) -> tuple[float | None, str | None]:
    """How far prompts' unit embeddings are from the library's, and a sentence where that is too far or fails."""
    if encoder.text is None:
        return None, None
    try:
        with torch.inference_mode():
            tokens = encoder.text.tokenize(PROMPTS)
            lengths = encoder.text.lengths(tokens)
            if lengths is not None:
                tokens = tokens[:, : int(lengths.max())]
            ours = encoder.text.embed(tokens)
            if ours.shape[1] != encoder.dim:
                return None, f"prompts give {ours.shape[1]} numbers and pictures {encoder.dim}: they cannot be compared"
            if not ours.isfinite().all():
                return None, "the text tower gives numbers that are not finite: its weights are damaged"
            if reference is None or reference.texts is None:
                return None, None
            expected = reference.texts(PROMPTS)
    except (
        ModelError,
        OSError,
        RuntimeError,
        ValueError,
        LookupError,
        ImportError,
        TypeError,
        AttributeError,
    ) as error:
        return None, " ".join(str(error).split())[:400] or type(error).__name__
    ours, expected = functional.normalize(ours.float(), dim=-1), functional.normalize(expected.float(), dim=-1)
    apart = _apart(ours, expected.to(ours.device))
    if not apart <= RELATIVE:
        return None, _shown("the embedding of a prompt", ours[0], expected[0], reference.library)
    return apart, None


def _apart(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """The largest difference as a part of the largest number; infinite where the shapes differ."""
    if ours.shape != theirs.shape:
        return float("inf")
    return float((ours - theirs.to(ours.device)).abs().max() / theirs.abs().max().clamp(min=1e-6))


def _shown(what: str, ours: torch.Tensor, theirs: torch.Tensor, library: str) -> str:
    if ours.shape != theirs.shape:
        return f"{what}: effrob computes {len(ours)} numbers and {library} {len(theirs)}"
    at = int((ours - theirs.to(ours.device)).abs().argmax())
    return f"{what}: effrob computes {float(ours[at]):.5g} and {library} {float(theirs[at]):.5g} (number {at})"


def _size(pixels: torch.Tensor) -> str:
    return "x".join(map(str, pixels.shape[1:]))
