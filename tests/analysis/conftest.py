"""A results folder of four pocket models, evaluated once a test run, and the cache of their features."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock

MODELS = ("pocket:clip", "pocket:lenet", "pocket:resnet", "pocket:reference")
MORE = ("pocket:mlp", "pocket:cnn-small", "pocket:cnn-wide", "pocket:linear")


@dataclass(frozen=True)
class Evaluated:
    """Where records, features and pictures lie; `folder` holds all three, records under their default name."""

    folder: Path
    results: Path
    cache: Path
    data: Path


@pytest.fixture(scope="session")
def _evaluated(shared: Path, pocket_data: Path) -> Evaluated:
    from effrob.evaluation.evaluator import evaluate_request
    from effrob.evaluation.request import Request

    folder = shared / "behind"
    found = Evaluated(folder, folder / "effrob-results", folder / "cache", pocket_data)
    folder.mkdir(exist_ok=True)
    with FileLock(folder / "lock"):
        report = evaluate_request(
            Request(MODELS, suite="pocket", data=pocket_data, results=found.results, cache=found.cache, progress=False)
        )
    assert not report.failures and len(report.stored) == 24
    return found


@pytest.fixture
def evaluated(_evaluated: Evaluated, monkeypatch: pytest.MonkeyPatch) -> Evaluated:
    """The same, with the working folder and the cache as a user has them who evaluated there."""
    monkeypatch.chdir(_evaluated.folder)
    monkeypatch.setenv("EFFROB_CACHE", str(_evaluated.cache))
    monkeypatch.setenv("EFFROB_DATA", str(_evaluated.data))
    return _evaluated


@pytest.fixture
def eight_models(evaluated: Evaluated) -> Path:
    """`eight` in the same folder: records on pocket-r of these four models and four others."""
    from effrob.evaluation.evaluator import evaluate_request
    from effrob.evaluation.request import Request

    results = evaluated.folder / "eight"
    with FileLock(evaluated.folder / "lock"):
        if not results.is_dir():
            report = evaluate_request(
                Request(
                    (*MODELS, *MORE), ("pocket-r",), "pocket", data=evaluated.data, results=results, cache=evaluated.cache,
                    progress=False,
                )
            )  # fmt: skip
            assert not report.failures and len(report.stored) == 8
    return results
