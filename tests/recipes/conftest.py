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


@pytest.fixture(scope="session")
def written_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records of every run of the full-scale study: on the testbed's line, CLIP on all of the web 0.3 logits above it."""
    import numpy as np
    from scipy.special import expit, logit

    from effrob.results.predictions import Predictions
    from effrob.results.provenance import here
    from effrob.results.record import EvalRecord, EvalSpec
    from effrob.results.store import ResultStore, count
    from effrob.robustness.fit import fit
    from effrob.studies.reader import read
    from recipes.five_causes.full_scale.plan import STUDY

    images, clean = 4000, 0.7

    def answers(share: float) -> Predictions:
        zeros, right = np.zeros(images, dtype=np.int64), np.arange(images) < round(share * images)
        said = np.where(right, 0, 1)
        return Predictions(
            index=np.arange(images), id=np.array([f"{i:05d}.jpg" for i in range(images)]), target=zeros, predicted=said,
            top5=np.full((images, 5), -1), predicted_1000=said, correct=right, correct_1000=right, correct_top5=right,
            margin=np.ones(images, dtype=np.float32), confidence=np.ones(images, dtype=np.float32),
            entropy=np.zeros(images, dtype=np.float32),
        )  # fmt: skip

    study, results, rng = read(STUDY), tmp_path_factory.mktemp("runs"), np.random.default_rng(3)
    for shift in ("imagenet-v2", "imagenet-r", "imagenet-sketch", "objectnet", "imagenet-a"):
        line = fit(shift, "testbed", axis="clean", segments="single" if shift == "imagenet-a" else "auto").segments[0]
        for head, model in sorted({(str(arm.head), model) for arm in study.arms for model in arm.models}):
            lifted = 0.3 if head == "zero-shot" and "/yfcc-1-" in model else 0.0
            height = line.at(float(logit(clean))) + lifted + 0.01 * rng.standard_normal()
            asked = EvalSpec(
                model, "d" * 64, "default", {}, "exact", "fp32", head, "openai" if head == "zero-shot" else None, "p", "effrob",
                shift, "labels", "s" * 64, "q" * 64, "c" * 64, "r" * 64,
            )  # fmt: skip
            found, at = answers(float(expit(height))), answers(clean)
            made = EvalRecord(
                asked=asked, weights=None, model_asked=model, counts=count(found), n_expected=images, partial=False,
                clean=count(at), clean_full=count(at), files={}, resolved={}, provenance=here("cpu", "fp32"),
            )  # fmt: skip
            ResultStore(results).write(made, found, at)
    return results
