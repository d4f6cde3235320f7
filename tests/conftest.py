"""What several tests share: generated pocket sets, a tiny random CLIP on disk, and a home nobody else uses."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from hypothesis import settings

# The same cases every time, so that a run that passes here passes there; EFFROB_FUZZ=random looks for new ones.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("random", deadline=None)
settings.load_profile("random" if os.environ.get("EFFROB_FUZZ") == "random" else "repeatable")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def _homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder a test, numbered without a look at the thousands that are there."""
    root = tmp_path_factory.mktemp("homes")
    return (root / str(number) for number in count())


@pytest.fixture(autouse=True)
def _own_home(_homes: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Registrations, baselines and caches of the person who runs the tests are neither read nor written."""
    home = next(_homes)
    home.mkdir()
    for variable in ("EFFROB_CONFIG", "EFFROB_CACHE", "EFFROB_BASELINES"):
        monkeypatch.setenv(variable, str(home / variable.lower()))
    monkeypatch.delenv("EFFROB_DATA", raising=False)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder the workers of one test run share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base


@pytest.fixture(scope="session")
def pocket_data(shared: Path) -> Path:
    """A data folder with the six pocket test sets."""
    from shifts import suite
    from shifts.synthetic.pocket import ensure

    root = shared / "pocket-data"
    for name in suite("pocket").tests:
        ensure(name, None, root)
    return root


TINY = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 48, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Spec of a small CLIP with random weights, saved as open_clip's trainer saves a checkpoint."""
    import open_clip
    import torch

    folder = tmp_path_factory.mktemp("tiny")
    config = folder / "effrob-tiny-test.json"
    config.write_text(json.dumps(TINY))
    open_clip.add_model_config(config)
    torch.manual_seed(0)
    model = open_clip.create_model("effrob-tiny-test")
    state = {f"module.{name}": value for name, value in model.state_dict().items()}
    torch.save({"epoch": 1, "name": "tiny", "state_dict": state}, folder / "epoch_1.pt")
    return f"openclip:{config}@{folder / 'epoch_1.pt'}"


@pytest.fixture(scope="session")
def real() -> Path:
    """The folder of real photographs and networks; tests that need it skip where it is not named."""
    named = os.environ.get("EFFROB_REAL")
    if not named:
        pytest.skip("EFFROB_REAL names no folder of real photographs and networks")
    return Path(named)


@pytest.fixture
def fresh_models(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No model registered before, and none loaded, nor set, left behind."""
    from effrob.evaluation.data import load_shift
    from effrob.evaluation.worker import ENCODERS

    monkeypatch.setattr("model_zoo.registered._live", {})
    yield
    load_shift.cache_clear()
    ENCODERS.clear()


@pytest.fixture(scope="module", autouse=True)
def _no_models_of_other_files() -> Iterator[None]:
    """What a file of tests registers in this process ends with it."""
    yield
    if registered := sys.modules.get("model_zoo.registered"):
        registered._live.clear()
