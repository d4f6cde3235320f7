"""A small data folder, and a small pool: the pocket test sets as drawn, and a few training pictures with their texts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
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


@pytest.fixture
def written_runs(tmp_path: Path) -> Iterator[Path]:
    """Records of every run of the full-scale study: on the testbed's line, CLIP on all of the web 0.3 logits above it."""
    import numpy as np
    from scipy.special import expit, logit

    from effrob.robustness.fit import fit
    from effrob.studies.reader import read
    from recipes.five_causes.full_scale.plan import STUDY
    from tests.honest import ASKED, keep, small_sets

    study, results, clean, rng = read(STUDY), tmp_path / "runs", 0.7, np.random.default_rng(3)
    with small_sets(4000):
        for shift in ("imagenet-v2", "imagenet-r", "imagenet-sketch", "objectnet", "imagenet-a"):
            line = fit(shift, "testbed", axis="clean", segments="single" if shift == "imagenet-a" else "auto").segments[
                0
            ]
            for head, model in sorted({(str(arm.head), model) for arm in study.arms for model in arm.models}):
                lifted = 0.3 if head == "zero-shot" and "/yfcc-1-" in model else 0.0
                height = line.at(float(logit(clean))) + lifted + 0.01 * rng.standard_normal()
                asked = replace(ASKED, head=head, prompts="openai" if head == "zero-shot" else None, head_digest="p")
                keep(results, model, shift, float(expit(height)), clean, asked=asked)
        yield results
