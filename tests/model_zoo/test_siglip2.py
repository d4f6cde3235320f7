"""SigLIP 2 of transformers at a fixed resolution: its Gemma tokenizer, its padding, a whole evaluation; NaFlex refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import effrob
import model_zoo
import shifts
from effrob.evaluation.trials import prove_encoder
from effrob.heads.zero_shot import embed_prompts
from model_zoo import ModelError
from tests.model_zoo import tiny_hf

transformers = pytest.importorskip("transformers")

PROMPTS = ["a photo of a Border Collie.", "A DOG", "one bird"]


def saved(folder: Path, tokenizer: Any) -> tuple[str, Any]:
    model, _, processor = tiny_hf.towers("siglip2")
    return str(tiny_hf.save(folder, model, tokenizer, processor)), model


def librarys(place: str, prompts: list[str]) -> torch.Tensor:
    """Unit embeddings of prompts as transformers' own pipeline tokenizes them."""
    pipeline = transformers.pipeline("zero-shot-image-classification", model=place)
    asked = {"candidate_labels": prompts, "hypothesis_template": "{}"}
    given = pipeline.preprocess(tiny_hf.square(), **asked)
    with torch.inference_mode():
        embeds: torch.Tensor = pipeline.model(**given["text_inputs"][0], pixel_values=given["pixel_values"]).text_embeds
    return embeds


@pytest.mark.parametrize(("kind", "lowers"), [("GemmaTokenizer", False), ("Siglip2Tokenizer", True)])
def test_prompts_are_lowered_where_the_library_lowers_them(tmp_path: Path, kind: str, lowers: bool) -> None:
    place, _ = saved(tmp_path / "s", tiny_hf.gemma(kind))
    encoder = model_zoo.load(f"transformers:{place}")
    assert encoder.text is not None
    small = [prompt.lower() for prompt in PROMPTS]
    tokens = encoder.text.tokenize(PROMPTS)
    assert torch.equal(tokens, encoder.text.tokenize(small)) is lowers
    with torch.inference_mode():
        assert torch.allclose(embed_prompts(encoder.text, PROMPTS), librarys(place, PROMPTS), atol=1e-5)
    told = [note for note in encoder.identity.notes if "do_lower_case" in note]
    assert bool(told) is not lowers
    prove_encoder(encoder)


def test_every_prompt_has_64_tokens_whatever_the_tokenizer_names_as_its_length(tmp_path: Path) -> None:
    for name, length in (("endless", 10**30), ("shorter", 16), ("longer", 512)):
        place, _ = saved(tmp_path / name, tiny_hf.gemma(model_max_length=length))
        text = model_zoo.load(f"transformers:{place}").text
        assert text is not None
        tokens = text.tokenize([*PROMPTS, "a long word " * 40])
        assert (
            tokens.shape == (4, 64)
            and bool((tokens >= 0).all())
            and tokens[1, -1] == 0
            and text.lengths(tokens) is None
        )


def test_a_tokenizer_that_masks_its_padding_is_followed_and_said(tmp_path: Path) -> None:
    place, _ = saved(tmp_path / "s", tiny_hf.gemma(model_input_names=["input_ids", "attention_mask"]))
    encoder = model_zoo.load(f"transformers:{place}")
    plain = model_zoo.load(f"transformers:{saved(tmp_path / 'p', tiny_hf.gemma())[0]}")
    assert encoder.text is not None and plain.text is not None
    with torch.inference_mode():
        ours = embed_prompts(encoder.text, PROMPTS)
        assert torch.allclose(ours, librarys(place, PROMPTS), atol=1e-5)
        assert not torch.allclose(ours, embed_prompts(plain.text, PROMPTS), atol=1e-3)
    assert any("attention_mask" in note for note in encoder.identity.notes)
    assert not any("attention_mask" in note for note in plain.identity.notes)
    proof = prove_encoder(encoder)
    assert proof.text_wrong is None and proof.text is not None


def test_a_zero_shot_row_on_the_pocket_suite(pocket_data: Path, tmp_path: Path) -> None:
    place, model = saved(tmp_path / "s", tiny_hf.gemma())
    where = {"data": pocket_data, "results": tmp_path / "r", "cache": tmp_path / "c"}
    rows = effrob.evaluate(
        f"transformers:{place}", "pocket", suite="pocket", prompts="name-only", limit=40, progress=False, **where
    )
    assert [(row.head, row.n) for row in rows] == [("zero-shot", 40)]
    shift = shifts.load("pocket", root=pocket_data, partial=True).limited(40)
    processor = transformers.AutoProcessor.from_pretrained(place)
    words = list(shift.labels.class_names)
    with torch.inference_mode():
        given = processor(
            text=words,
            images=[example.image for example in shift],
            padding="max_length",
            max_length=64,
            truncation=True,
            return_tensors="pt",
        )
        scores = model(**given).logits_per_image
    kept = np.load(next((tmp_path / "r").rglob("predictions.npz")))
    clear = scores.topk(2).values.diff(dim=1).abs().squeeze(1) > 1e-3 * scores.abs().max()
    agree = torch.from_numpy(kept["predicted"])[clear] == scores.argmax(1)[clear]
    assert clear.any() and agree.float().mean() > 0.95


def test_naflex_is_refused_by_what_it_is(tmp_path: Path) -> None:
    tower = {**tiny_hf.TOWER, "patch_size": 8}
    words = {"vocab_size": len(tiny_hf.gemma()), "max_position_embeddings": 64}
    config = transformers.Siglip2Config(
        text_config={**tiny_hf.TOWER, **words}, vision_config={**tower, "num_patches": 16}
    )
    processor = transformers.Siglip2ImageProcessor(patch_size=8, max_num_patches=16)
    place = tiny_hf.save(tmp_path / "naflex", transformers.Siglip2Model(config), tiny_hf.gemma(), processor)
    with pytest.raises(ModelError, match=r"NaFlex.*pictures of any shape.*fixed resolution"):
        model_zoo.identify(f"transformers:{place}")
    written = json.loads((place / "config.json").read_text())
    assert written["model_type"] == "siglip2"
