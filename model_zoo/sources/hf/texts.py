"""Text towers of transformers: prompts to tokens to embeddings, padded as the library pads them.

A token that the library masks is kept as -1 - id, so that one tensor holds ids and mask.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from model_zoo.checkpoints.network import weights_from_network
from model_zoo.errors import ModelError

EXACT = 1e-5  # the cosine of full and trimmed embeddings may differ from 1 by so much
SIGLIP_LENGTH = 64  # what transformers' zero-shot pipeline pads SigLIP's prompts to
TRIALS = ("a dog.", "a photo of a small red bicycle.", "one rather longer line about a bird that sits on a wire.")


def pooled(output: Any) -> torch.Tensor:
    """The vectors of `get_image_features` and `get_text_features`: since transformers 5 inside an output object."""
    vectors = getattr(output, "pooler_output", output)
    if not isinstance(vectors, torch.Tensor) or vectors.ndim != 2:
        raise ModelError("the model gives no vector a picture and a text, so it cannot compare them")
    return vectors


class HfText:
    """The text side of a loaded model of transformers; see `TextTower` for the methods."""

    def __init__(self, model: Any, place: str, revision: str | None, digest: str, device: torch.device) -> None:
        self.digest = digest
        self.logit_scale = _scale(model)
        self._model, self._place, self._revision, self._device = model, place, revision, device
        self._tokenizer: Any = None
        self._trims: bool | None = None

    def tokenize(self, prompts: Sequence[str]) -> torch.Tensor:
        given = self.inputs(prompts)
        ids = given["input_ids"].long()
        mask = given.get("attention_mask")
        return ids if mask is None else torch.where(mask.bool(), ids, -1 - ids)

    def lengths(self, tokens: torch.Tensor) -> torch.Tensor | None:
        if self._trims is None:
            self._trims = self._trims_exactly()
        return (tokens >= 0).sum(dim=1) if self._trims else None

    def embed(self, tokens: torch.Tensor) -> torch.Tensor:
        tokens = tokens.to(self._device)
        mask = tokens >= 0
        given = {"input_ids": torch.where(mask, tokens, -1 - tokens)}
        if not (self._padded_alike and bool(mask.all())):
            given["attention_mask"] = mask.long()
        return pooled(self._model.get_text_features(**given)).float()

    def inputs(self, prompts: Sequence[str]) -> Mapping[str, torch.Tensor]:
        """What the library's own pipeline gives the model for these prompts, on the CPU."""
        if self._tokenizer is None:
            self._tokenizer = load_tokenizer(self._place, self._revision)
        longest = int(getattr(self._model.config.get_text_config(), "max_position_embeddings", 0) or SIGLIP_LENGTH)
        if self._padded_alike:
            how: dict[str, Any] = {"padding": "max_length", "max_length": min(longest, SIGLIP_LENGTH)}
        else:
            how = {"padding": True, "max_length": min(int(self._tokenizer.model_max_length), longest)}
        given: Mapping[str, torch.Tensor] = self._tokenizer(list(prompts), truncation=True, return_tensors="pt", **how)
        return given

    @property
    def _padded_alike(self) -> bool:
        """Whether every prompt is padded to one length, as SigLIP's are; their tokenizers name no mask."""
        return "siglip" in str(self._model.config.model_type)

    def _trims_exactly(self) -> bool:
        """Whether masked tokens at the end change nothing, on prompts of several lengths."""
        if self._padded_alike:
            return False
        tokens = self.tokenize(TRIALS)
        counts = (tokens >= 0).sum(dim=1)
        if any(bool((row[:count] < 0).any()) for row, count in zip(tokens, counts.tolist(), strict=True)):
            return False  # padded at the beginning
        with torch.inference_mode():
            whole = self.embed(tokens)
            alone = torch.cat(
                [self.embed(row[None, :count]) for row, count in zip(tokens, counts.tolist(), strict=True)]
            )
        return bool((1 - functional.cosine_similarity(whole, alone)).abs().max() <= EXACT)


def about_prompts(folder: Path, config: Any) -> list[str]:
    """Notes on a SigLIP's tokenizer where the library follows it and its training did not."""
    import transformers

    file = folder / "tokenizer_config.json"
    if "siglip" not in str(config.model_type) or not file.is_file():
        return []
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{file} cannot be read ({error}): save the tokenizer again") from error
    named, notes = str(told.get("tokenizer_class", "")), []
    if told.get("do_lower_case") and named.startswith("Gemma"):
        notes.append(
            f"{file.name} says do_lower_case, which transformers' {named} does not do: prompts keep their capitals, as in "
            "transformers' own pipeline; SigLIP 2 was trained on lower case, which tokenizer_class Siglip2Tokenizer gives"
        )
    names = told.get("model_input_names") or getattr(getattr(transformers, named, None), "model_input_names", ())
    if "attention_mask" in names:
        notes.append(
            f"by {file.name} its tokenizer gives an attention_mask, so padding is masked, as in transformers' own pipeline; "
            'SigLIP was trained without, which model_input_names ["input_ids"] gives'
        )
    return notes


def _scale(model: Any) -> float | None:
    """What the model multiplies cosines by: its logit scale, which is kept as a logarithm, or one over ALIGN's temperature."""
    scale, temperature = getattr(model, "logit_scale", None), getattr(model, "temperature", None)
    if isinstance(scale, torch.Tensor):
        return float(scale.detach().double().exp().reshape(-1)[0])
    return 1 / float(temperature.detach().reshape(-1)[0]) if isinstance(temperature, torch.Tensor) else None


def load_tokenizer(place: str, revision: str | None) -> Any:
    """The tokenizer beside a model. Raises ModelError where there is none, with the call that saves one."""
    from transformers import AutoTokenizer

    files = ("tokenizer.json", "tokenizer_config.json", "vocab.json", "vocab.txt", "spiece.model", "tokenizer.model")
    if Path(place).is_dir() and not any((Path(place) / name).is_file() for name in files):
        raise ModelError(
            f"the folder {place} holds no tokenizer, so prompts cannot be read: save it there, with "
            f"AutoTokenizer.from_pretrained(BASE).save_pretrained({place!r})"
        )
    with weights_from_network(
        f"the tokenizer of transformers:{place}", "save it into the model's folder", Path(place).is_dir()
    ):
        return AutoTokenizer.from_pretrained(place, revision=revision, trust_remote_code=False)
