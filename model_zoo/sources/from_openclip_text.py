"""open_clip's text towers: prompts to tokens to embeddings, without the padding where padding changes nothing.

A causal tower pooled at the end-of-text token never sees what follows it, so tokens after the longest prompt of a batch
can be left out. That is decided by the tower's structure and then measured; other towers are fed as they were trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import open_clip
import torch
from open_clip.transformer import TextTransformer, text_global_pool
from torch.nn import functional

from model_zoo.checkpoints.network import weights_from_network

EXACT = 1e-5  # the cosine of full and trimmed embeddings may differ from 1 by so much


class OpenClipText:
    """The text side of a loaded open_clip model; see `TextTower` for the methods.

    `digest` is that of the whole model: it covers both towers' configuration and weights.
    """

    def __init__(self, model: Any, known_as: str, digest: str, device: torch.device) -> None:
        self.digest = digest
        scale = getattr(model, "logit_scale", None)
        self.logit_scale = None if scale is None else float(scale.detach().double().exp().reshape(-1)[0])
        self._model = model
        self._known_as = known_as
        self._device = device
        self._tokenizer: Any = None
        # CLIP holds the text transformer's parts itself; the other classes hold a `text` module
        self._tower = getattr(model, "text", model)
        self._pool = getattr(self._tower, "text_pool_type", getattr(self._tower, "pool_type", None))
        self._eos = int(getattr(self._tower, "text_eos_id", getattr(self._tower, "eos_id", -1)) or -1)
        self._trims = self._may_trim() and self._trims_exactly()

    def tokenize(self, prompts: Sequence[str]) -> torch.Tensor:
        if self._tokenizer is None:
            with weights_from_network(
                f"the tokenizer of openclip:{self._known_as}", "connect once, so that it is cached"
            ):
                self._tokenizer = open_clip.get_tokenizer(self._known_as)
        tokens: torch.Tensor = self._tokenizer(list(prompts))
        return tokens.long()

    def lengths(self, tokens: torch.Tensor) -> torch.Tensor | None:
        if not self._trims:
            return None
        ends = tokens if self._pool == "argmax" else torch.eq(tokens, self._eos).int()
        return ends.argmax(dim=-1) + 1

    def embed(self, tokens: torch.Tensor) -> torch.Tensor:
        tokens = tokens.to(self._device)
        if self._trims and tokens.shape[1] < self._model.context_length:
            return self._trimmed(tokens).float()
        embeddings: torch.Tensor = self._model.encode_text(tokens, normalize=False)
        return embeddings.float()

    def _may_trim(self) -> bool:
        tower = self._tower
        if not (tower is self._model or isinstance(tower, TextTransformer)):
            return False
        causal = getattr(tower, "attn_mask", None) is not None
        plain = getattr(tower, "cls_emb", None) is None and not getattr(tower, "use_pad_mask", False)
        return causal and plain and self._pool in ("argmax", "eos")

    def _trimmed(self, tokens: torch.Tensor) -> torch.Tensor:
        """The tower's forward pass with positions and mask cut to the tokens' length."""
        tower, length = self._tower, tokens.shape[1]
        dtype = tower.transformer.get_cast_dtype()
        x = tower.token_embedding(tokens).to(dtype) + tower.positional_embedding[:length].to(dtype)
        x = tower.ln_final(tower.transformer(x, attn_mask=tower.attn_mask[:length, :length]))
        x = text_global_pool(x, tokens, self._pool, eos_token_id=self._eos)
        projection = tower.text_projection
        if projection is not None:
            x = projection(x) if isinstance(projection, torch.nn.Linear) else x @ projection
        embeddings: torch.Tensor = x
        return embeddings

    def _trims_exactly(self) -> bool:
        """Whether trimmed and full embeddings agree on made-up prompts of several lengths."""
        context, vocabulary = self._model.context_length, self._model.vocab_size
        end = vocabulary - 1 if self._pool == "argmax" else self._eos
        lengths = sorted({min(n, context - 1) for n in (3, 7, 11)})
        if lengths[0] < 2 or not 0 <= end < vocabulary:
            return False
        tokens = torch.zeros(len(lengths), context, dtype=torch.long)
        generator = torch.Generator().manual_seed(0)
        for row, length in enumerate(lengths):
            words = torch.randint(1, vocabulary - 1, (length - 1,), generator=generator)
            words[words == end] = 1 if end != 1 else 2
            tokens[row, : length - 1] = words
            tokens[row, length - 1] = end
        tokens = tokens.to(self._device)
        try:
            with torch.inference_mode():
                full = self._model.encode_text(tokens, normalize=False).float()
                cut = self._trimmed(tokens[:, : lengths[-1]]).float()
        except (RuntimeError, AttributeError, TypeError):  # the proof says what is wrong with the tower
            return False
        return bool((1 - functional.cosine_similarity(full, cut)).abs().max() <= EXACT)
