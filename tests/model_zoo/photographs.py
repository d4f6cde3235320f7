"""Fifty photographs for comparisons with a library's own pipeline, and a cache of the hub that is made here."""

from __future__ import annotations

import functools
import os
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from model_zoo.proof import pictures

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@functools.cache
def photographs(n: int = 50) -> tuple[Image.Image, ...]:
    """RGB photographs of many sizes and shapes: those of EFFROB_REAL, else crops of scikit-learn's two samples."""
    real = os.environ.get("EFFROB_REAL")
    files = sorted(Path(real, "imagenet", "train").rglob("*.JPEG"))[:n] if real else []
    if len(files) == n:
        opened = []
        for file in files:
            with Image.open(file) as picture:
                opened.append(picture.convert("RGB"))
        return tuple(opened)
    generator = torch.Generator().manual_seed(0)
    crops = []
    for place in range(n):
        whole = pictures()[0] if place % 2 else pictures()[2]
        width, height = (int(torch.randint(90, 400, (1,), generator=generator)) for _ in range(2))
        height = min(height, whole.height)
        left = int(torch.randint(0, whole.width - width, (1,), generator=generator))
        top = int(torch.randint(0, whole.height - height + 1, (1,), generator=generator))
        crops.append(whole.crop((left, top, left + width, top + height)))
    return tuple(crops)


def on_the_hub(folder: Path, repository: str, cache: Path, patch: pytest.MonkeyPatch) -> None:
    """`folder` as a repository that the hub's client fetched into `cache` once; nothing else can be fetched."""
    from huggingface_hub import constants

    home = cache / f"models--{repository.replace('/', '--')}"
    shutil.copytree(folder, home / "snapshots" / COMMIT)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(COMMIT)
    patch.setattr(constants, "HF_HUB_CACHE", str(cache))
    patch.setattr(constants, "HF_HUB_OFFLINE", True)
