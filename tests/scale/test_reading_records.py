"""What it costs to read a shared results folder with every record's proof."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from effrob.results.predictions import Predictions
from effrob.results.record import EvalSpec
from effrob.results.recount import remembered
from effrob.results.store import ResultStore
from effrob.results.verification import verified
from tests.honest import answers, official, record_of

MODELS, SETS = 334, ("imagenet", "imagenet-v2", "imagenet-r", "imagenet-sketch", "objectnet", "imagenet-a")
SECONDS = 10


def _noisy(rows: Predictions, rng: np.random.Generator) -> Predictions:
    """Numbers of every size, which compress as badly as a network's."""
    confidence = rng.uniform(0.2, 0.999, len(rows))
    entropy = rng.uniform(0, 0.2, len(rows)) - np.log(confidence)
    columns = {"margin": rng.gamma(2, 1, len(rows)), "confidence": confidence, "entropy": entropy}
    return replace(rows, **{name: column.astype(np.float32) for name, column in columns.items()})


def _fill(root: Path) -> None:
    """2,004 whole records; the models differ in name, so that each record is proved for itself."""
    rng, clean = np.random.default_rng(0), np.random.default_rng(1).random(50_000) < 0.7
    whole = official("imagenet")
    for name in SETS:
        of, view, full = official(name), None, None
        rows = _noisy(answers(of, clean if name == "imagenet" else rng.random(len(of)) < 0.6, seed=3), rng)
        if name != "imagenet":
            view, full = _noisy(answers(whole, clean, seen_as=name, seed=3), rng), answers(whole, clean, seed=3)
        record = record_of("m", of, rows, view, full, clean_shift=whole if full else None)
        ResultStore(root / "base").write(record, rows, view)
    for number in range(MODELS):
        for first in (root / "base").glob("m/*/*"):
            facts = json.loads((first / "record.json").read_text())
            facts["asked"]["model"] = f"m{number}"
            facts["key"] = EvalSpec(**facts["asked"]).key()
            folder = root / "all" / f"m{number}" / first.parent.name / f"native-{facts['key'][:16]}"
            folder.mkdir(parents=True)
            (folder / "record.json").write_text(json.dumps(facts))
            for file in facts["files"]:
                os.link(first / file, folder / file)


@pytest.mark.slow
def test_two_thousand_records_are_read_with_their_proof_in_ten_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EFFROB_CACHE", str(tmp_path / "cache"))
    _fill(tmp_path)
    spent = []
    for _ in range(2):
        remembered._known.cache_clear()  # as a new process
        begun = time.process_time()
        assert len(verified([tmp_path / "all"])) == MODELS * len(SETS)
        spent.append(time.process_time() - begun)
    assert spent[1] < SECONDS, spent  # every file read and digested
    assert spent[0] < 100, spent  # the first time, 25 ms a record
