"""Tiny open_clip towers of each text kind, and a configuration folder of each test's own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

VISION = {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8}
TEXT = {"context_length": 24, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
TOWERS: dict[str, dict[str, Any]] = {
    "clip": {"embed_dim": 16, "vision_cfg": VISION, "text_cfg": TEXT},
    "custom": {"embed_dim": 16, "vision_cfg": VISION, "text_cfg": TEXT, "custom_text": True},
    "bidirectional": {
        "embed_dim": 16,
        "init_logit_bias": -10,
        "custom_text": True,
        "vision_cfg": VISION,
        "text_cfg": {**TEXT, "no_causal_mask": True, "pool_type": "last", "proj_bias": True},
    },
    "coca": {
        "embed_dim": 16,
        "custom_text": True,
        "vision_cfg": {**VISION, "attentional_pool": True, "attn_pooler_heads": 2, "output_tokens": True},
        "text_cfg": {**TEXT, "embed_cls": True, "output_tokens": True},
        "multimodal_cfg": {"context_length": 24, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
    },
}


@pytest.fixture(autouse=True)
def own_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "configuration"
    monkeypatch.setenv("EFFROB_CONFIG", str(folder))
    monkeypatch.setattr("model_zoo.registered._live", {})
    return folder


@pytest.fixture
def tower(tmp_path: Path) -> Callable[..., tuple[Path, Path, Any]]:
    """`tower(kind)` -> (config file, bare state dict, the open_clip model they belong to), with random weights."""

    def make(kind: str, **changes: Any) -> tuple[Path, Path, Any]:
        import open_clip
        import torch

        from model_zoo.sources.from_openclip_config import user_config

        config = tmp_path / f"{kind}.json"
        config.write_text(json.dumps({**TOWERS[kind], **changes}))
        torch.manual_seed(1)
        model = open_clip.create_model(user_config(str(config))[0]).eval()
        weights = tmp_path / f"{kind}.pt"
        torch.save(model.state_dict(), weights)
        return config, weights, model

    return make
