"""Every key of open_clip_config.json changed, added or taken away: the library's own scores, or refused; none silent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from open_clip.model import CLIPTextCfg, CLIPVisionCfg
from open_clip.transform import PreprocessCfg
from safetensors.torch import save_file
from torch.nn import functional

import model_zoo
from effrob.evaluation.trials import pixels, prove_encoder
from effrob.heads.zero_shot import embed_prompts
from model_zoo import ModelError, UnknownModel
from model_zoo.proof import pictures
from tests.model_zoo import tiny_hf
from tests.model_zoo.conftest import TOWERS

Json = dict[str, Any]
PROMPTS = ("a photo of a Dog.", "one Bird", "a drawing of a small red bicycle")
TEXT = {"context_length": 12, "vocab_size": 32, "width": 32, "heads": 2, "layers": 1, "hf_tokenizer_name": "org/any"}
LEVELS = {"clip": ("", "model", "vision", "text", "preprocess"), "siglip": ("model", "text"), "timm": ("vision",)}
SMALL = {
    "clip": {"embed_dim": 16, "vision_cfg": {**TOWERS["clip"]["vision_cfg"], "layers": 1}, "text_cfg": TEXT},
    "siglip": {
        "embed_dim": 16,
        "custom_text": True,
        "init_logit_bias": -10,
        "vision_cfg": {**TOWERS["clip"]["vision_cfg"], "layers": 1, "pool_type": "avg", "no_ln_pre": True},
        "text_cfg": {
            **TEXT,
            **{
                "tokenizer_kwargs": {"clean": "canonicalize"},
                "no_causal_mask": True,
                "pool_type": "last",
                "proj_bias": True,
            },
        },
    },
    "timm": {
        "embed_dim": 16,
        "vision_cfg": {"timm_model_name": "test_vit", "timm_pool": "avg", "timm_proj": "linear", "image_size": 32},
        "text_cfg": TEXT,
    },
}
PREPARED = {"size": 32, "mode": "RGB", "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.25]}
PREPARED |= {"interpolation": "bicubic", "resize_mode": "shortest", "fill_color": 0}
WORDS: dict[str, list[Any]] = {
    "pool_type": ["tok", "avg", "none", "last", "first", "argmax", "eos", "strange"],
    "pos_embed_type": ["sin_cos_2d", "strange"],
    "block_type": ["default", "custom", "strange"],
    "proj_type": ["none", "strange"],
    "act_kwargs": [{"approximate": "tanh"}, {"strange": 1}],
    "norm_kwargs": [{"eps": 0.1}, {"strange": 1}],
    "timm_pool": ["", "avg", "token", "abs_attn", "strange"],
    "timm_proj": ["", "linear", "mlp", "strange"],
    "timm_model_name": ["test_vit2", "strange"],
    "interpolation": ["bilinear", "random", "nearest", "lanczos"],
    "resize_mode": ["squash", "longest", "strange"],
    "mean": [[0.5, 0.5, 0.5], 0.3, [0.5, 0.5]],
    "std": [[0.5, 0.5, 0.5], 0.3, [0.0, 0.5, 0.5]],
    "mode": ["L", "BGR"],
    "size": [48, [32, 48], [48, 48]],
    "fill_color": [127, [1, 2, 3]],
    "image_size": [48, [32, 48], [32, 32]],
    "tokenizer_kwargs": [{"clean": "lower"}, {"clean": "whitespace"}, {"reduction_mask": "simple"}, {"strange": 1}],
    "tokenizer_mode": ["clips", "strange"],
    "hf_tokenizer_name": ["org/other", ""],
    "hf_model_name": ["org/none"],
    "cast_dtype": ["fp16", None],
    "quick_gelu": [True],
    "multimodal_cfg": [{"width": 32, "heads": 2, "layers": 1}],
}


# open_clip fails on a bias that its configuration does not name; it is the same number for every class
ANSWERED = ("without model_cfg.init_logit_bias",)


def of_type(key: str, value: Any) -> list[Any]:
    """Other values of a key, by what it holds."""
    if key in WORDS:
        return WORDS[key]
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, 0]
    if isinstance(value, float):
        return [value + 0.5]
    return [0.5, "strange"]


def defaults(kind: Any) -> Json:
    return {each.name: None if each.default is MISSING else each.default for each in fields(kind)}


def changed(described: Json, levels: tuple[str, ...]) -> Iterator[tuple[str, Json]]:
    """The configuration with one key changed, added or taken away, level by level."""
    model = {"quick_gelu": False, "init_logit_scale": 2.6, "init_logit_bias": None, "nonscalar_logit_scale": False}
    model |= {"cast_dtype": "bf16", "output_dict": False, "custom_text": False, "embed_dim": 16, "multimodal_cfg": None}
    known_keys: dict[tuple[str, ...], Json] = {
        (): {},
        ("model_cfg",): model,
        ("model_cfg", "vision_cfg"): defaults(CLIPVisionCfg),
        ("model_cfg", "text_cfg"): defaults(CLIPTextCfg),
        ("preprocess_cfg",): asdict(PreprocessCfg()),
    }
    for path, known in known_keys.items():
        if (path[-1] if path else "").removesuffix("_cfg") not in levels:
            continue
        inside = described
        for step in path:
            inside = inside[step]
        for key, default in [*known.items(), ("strange_key", None)]:
            for value in of_type(key, inside.get(key, default)):
                if value != inside.get(key, default):
                    yield f"{'.'.join((*path, key))} = {value!r}", with_value(described, path, key, value)
            if key in inside:
                yield f"without {'.'.join((*path, key))}", with_value(described, path, key, None, drop=True)


def with_value(described: Json, path: tuple[str, ...], key: str, value: Any, drop: bool = False) -> Json:
    copy = deepcopy(described)
    inside = copy
    for step in path:
        inside = inside[step]
    if drop:
        del inside[key]
    else:
        inside[key] = value
    return copy


def librarys(folder: Path) -> torch.Tensor:
    """(3, 3) scores of three pictures and three prompts, by open_clip's own build of the folder."""
    model, _, prepare = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    tokens = open_clip.get_tokenizer(f"local-dir:{folder}")(list(PROMPTS))
    with torch.inference_mode():
        images = model.eval().encode_image(torch.stack([prepare(each) for each in pictures()]), normalize=True)
        return images.float() @ model.encode_text(tokens, normalize=True).float().T  # type: ignore[no-any-return]


def ours(folder: Path) -> torch.Tensor:
    encoder = model_zoo.load(f"openclip:local-dir:{folder}")
    proof = prove_encoder(encoder)
    if proof.text_wrong is not None:
        raise ModelError(proof.text_wrong)
    assert encoder.text is not None
    with torch.inference_mode():
        images = functional.normalize(
            encoder.embed(torch.stack([pixels(each, encoder) for each in pictures()])), dim=-1
        )
        return images @ embed_prompts(encoder.text, PROMPTS).T


@pytest.fixture(scope="module", params=SMALL)
def folder(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Json, tuple[str, ...]]:
    place = tmp_path_factory.mktemp("mutated") / "hub"
    place.mkdir()
    config = SMALL[request.param]
    described = {"model_cfg": config, "preprocess_cfg": PREPARED}
    copy = place.parent / f"mutated-{request.param}.json"
    copy.write_text(json.dumps(config))
    open_clip.add_model_config(copy)
    torch.manual_seed(0)
    state = open_clip.create_model(copy.stem).state_dict()
    save_file(
        {name: value.contiguous().clone() for name, value in state.items()}, place / "open_clip_model.safetensors"
    )
    tiny_hf.tokenizer(12, True).save_pretrained(place)
    return place, described, LEVELS[request.param]


@pytest.mark.filterwarnings("ignore")
def test_every_key_is_the_librarys_or_refused(
    folder: tuple[Path, Json, tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    place, described, levels = folder
    (place / "open_clip_config.json").write_text(json.dumps(described))
    plain = librarys(place)
    assert torch.allclose(ours(place), plain, atol=1e-5)
    outcomes, silent = {"equal": 0, "other, and followed": 0, "refused": 0}, []
    for what, mutated in changed(described, levels):
        (place / "open_clip_config.json").write_text(json.dumps(mutated))
        try:
            theirs: torch.Tensor | str = librarys(place)
        except Exception as error:  # whatever the library makes of it
            theirs = f"{type(error).__name__}: {error}"
        try:
            found = ours(place)
        except (ModelError, UnknownModel) as error:
            assert "\n" not in str(error)
            outcomes["refused"] += 1
            continue
        except Exception as error:
            silent.append(f"{what}: CRASH {type(error).__name__} {error}")
            continue
        if isinstance(theirs, str) and what not in ANSWERED:
            silent.append(f"{what}: open_clip fails ({theirs[:120]}), and effrob answers")
        elif isinstance(theirs, str):
            outcomes["equal"] += 1
            assert torch.allclose(found, plain, atol=1e-5)
        elif not torch.allclose(found, theirs, atol=1e-4, equal_nan=True):
            silent.append(f"{what}: {float((found - theirs).abs().max()):.3g} apart")
        else:
            outcomes["equal" if torch.allclose(theirs, plain, atol=1e-5) else "other, and followed"] += 1
    assert silent == []
    assert all(outcomes.values()), outcomes
