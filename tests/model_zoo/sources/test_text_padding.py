"""Text towers through the zero-shot head: causal ones trimmed, others padded as they were trained, both open_clip's numbers."""

from __future__ import annotations

from typing import Any

import open_clip
import pytest
import torch
from torch.nn import functional

import model_zoo
from effrob.heads.prompts import PromptSet
from effrob.heads.zero_shot import class_embeddings

NAMES = ("dog", "small grey cat", "great white shark seen from a boat")
PROMPTS = PromptSet("two", ("a photo of a {}.", "{}"))
CONTEXT = 24


def fed(text: Any, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The lengths of the batches that the tower is given, filled while it works."""
    seen: list[int] = []
    embed = text.embed

    def watched(tokens: torch.Tensor) -> torch.Tensor:
        seen.append(tokens.shape[1])
        return embed(tokens)

    monkeypatch.setattr(text, "embed", watched)
    return seen


@pytest.mark.parametrize(("kind", "trimmed"), [("clip", True), ("custom", True), ("bidirectional", False)])
def test_a_classifier_is_open_clips_and_only_causal_towers_are_trimmed(
    tower: Any, kind: str, trimmed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, weights, model = tower(kind)
    text = model_zoo.load(f"openclip:{config}@{weights}").text
    lengths = fed(text, monkeypatch)
    ours = class_embeddings(text, NAMES, PROMPTS)
    tokenizer = open_clip.get_tokenizer("ViT-B-32", context_length=CONTEXT)
    with torch.inference_mode():
        theirs = open_clip.build_zero_shot_classifier(model, tokenizer, NAMES, PROMPTS.templates).T
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
    if trimmed:
        assert max(lengths) < CONTEXT and len(set(lengths)) > 1
    else:
        assert set(lengths) == {CONTEXT}


def test_trimming_a_tower_that_is_not_causal_would_change_its_embeddings(tower: Any) -> None:
    """Why it is left padded: the same tower, cut, gives another vector."""
    config, weights, model = tower("bidirectional")
    text = model_zoo.load(f"openclip:{config}@{weights}").text
    tokens = text.tokenize(["a dog"])
    with torch.inference_mode():
        whole = model.encode_text(tokens, normalize=False)
        cut = model.encode_text(tokens[:, :4], normalize=False)
    assert functional.cosine_similarity(whole, cut).item() < 0.999
    assert text.lengths(tokens) is None
