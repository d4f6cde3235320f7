"""Objects with an image and a text tower: open_clip's and CLIP's `encode_image`, transformers' `get_image_features`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from model_zoo.encoder import TextTower

PROMPTS = ("a photo of a cat.", "an itap of the Großglockner, at 5 o'clock")  # what a tokenizer is told apart by


def has_towers(module: nn.Module) -> bool:
    """Whether it embeds images and texts in one space."""
    return any(
        callable(getattr(module, image, None)) and callable(getattr(module, text, None))
        for image, text in (("encode_image", "encode_text"), ("get_image_features", "get_text_features"))
    )


def image_features(module: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    """(B, 3, H, W) -> (B, D) float32, not normalised."""
    if hasattr(module, "encode_image"):
        return lambda pictures: module.encode_image(pictures).float()
    return lambda pictures: _tensor(module.get_image_features(pixel_values=pictures)).float()


def text_tower(module: Any, tokenizer: Any, digest: str, device: torch.device) -> TextTower:
    """The text side, with the tokenizer that was handed over: read as its library's models are, else as it pads."""
    if hasattr(module, "get_text_features"):
        from model_zoo.sources.hf.texts import HfText

        of_transformers = HfText(module, "", None, digest, device)
        of_transformers._tokenizer = tokenizer
        return of_transformers
    if type(module).__module__.partition(".")[0] == "open_clip":
        from model_zoo.sources.from_openclip_text import OpenClipText

        known = OpenClipText(module, "", digest, device)
        known._tokenizer = tokenizer
        return known
    return GivenText(module, tokenizer, digest, device)


class GivenText:
    """A text tower fed as its tokenizer pads; see `TextTower` for the methods."""

    def __init__(self, module: Any, tokenizer: Any, digest: str, device: torch.device) -> None:
        self.digest = digest
        scale = getattr(module, "logit_scale", None)
        self.logit_scale = (
            float(scale.detach().double().exp().reshape(-1)[0]) if isinstance(scale, torch.Tensor) else None
        )
        self._module, self._tokenizer, self._device = module, tokenizer, device

    def tokenize(self, prompts: Sequence[str]) -> torch.Tensor:
        """(N,) prompts -> (N, context) int64."""
        return _tokens(self._tokenizer, prompts)

    def lengths(self, tokens: torch.Tensor) -> torch.Tensor | None:
        """None: nothing is known of what padding does in it."""
        return None

    def embed(self, tokens: torch.Tensor) -> torch.Tensor:
        """(N, context) -> (N, D)."""
        embedded: torch.Tensor = self._module.encode_text(tokens.to(self._device))
        return embedded.float()


def tokens_digest(tokenizer: Any) -> str:
    """SHA-256 of what a tokenizer makes of a few prompts."""
    tokens = _tokens(tokenizer, PROMPTS)
    return hashlib.sha256(f"{tuple(tokens.shape)}".encode() + tokens.numpy().tobytes()).hexdigest()


def _tokens(tokenizer: Any, prompts: Sequence[str]) -> torch.Tensor:
    of_transformers = hasattr(tokenizer, "model_input_names")
    made: Any = (
        tokenizer(list(prompts), padding=True, return_tensors="pt")["input_ids"]
        if of_transformers
        else tokenizer(list(prompts))
    )
    return torch.as_tensor(made, dtype=torch.int64)


def _tensor(output: Any) -> torch.Tensor:
    """Embeddings, from a tensor or from an output object of transformers."""
    embedded: torch.Tensor = output if isinstance(output, torch.Tensor) else output.pooler_output
    return embedded
