"""A small data folder, and a small pool: the pocket test sets as drawn, and a few training pictures with their texts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

TRAIN_EACH, POOL = 6, 160


@pytest.fixture(scope="session")
def few_pictures(pocket_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """TRAIN_EACH pictures a class of pocket-train with titles, beside the test sets."""
    from shifts.classes import pocket
    from shifts.synthetic.draw import CAPTIONS, FOLDERS, TEST_SETS, encode, pictures
    from shifts.synthetic.words import with_article

    root = tmp_path_factory.mktemp("few")
    for name in TEST_SETS:
        place = root / FOLDERS[name]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(pocket_data / FOLDERS[name])
    names, records = pocket().names, []
    for drawn in pictures("pocket-train"):
        wnid, _, filename = drawn.path.partition("/")
        if int(filename.rpartition("_")[2].partition(".")[0]) < TRAIN_EACH:
            file = root / FOLDERS["pocket-train"] / drawn.path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(encode(drawn.draw(), file.suffix))
            title = f"a photo of {with_article(names[drawn.label])}"
            records.append({"filename": filename, "title": title, "tags": [], "description": "", "wnid": wnid})
    (root / CAPTIONS).write_text(json.dumps(records), encoding="utf-8")
    return root


@pytest.fixture(scope="session")
def small_pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """OUT with POOL pictures of each kind drawn into it."""
    from recipes.drawn.pool import pool

    out = tmp_path_factory.mktemp("pool")
    for kind in ("narrow", "web", "web-shared"):
        pool(kind, out, POOL)  # type: ignore[arg-type]
    return out
