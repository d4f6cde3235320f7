"""Small trees laid out like the official archives."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_trees import Plant, encoded, plant_at, spread

from shifts import classes


@pytest.fixture
def plant() -> Plant:
    return plant_at


@pytest.fixture(scope="session")
def official(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder that holds every test set at its official size, validation images flat."""
    root = tmp_path_factory.mktemp("official")
    table = classes.imagenet()
    plant_at(root / "imagenet/val", (f"ILSVRC2012_val_{n:08d}.JPEG" for n in range(1, 50_001)))
    v2 = [f"{k}/{n}.jpeg" for k in range(1000) for n in range(10)]
    plant_at(root / "imagenetv2-matched-frequency-format-val", v2)
    plant_at(root / "imagenetv2-top-images-format-val", v2)
    plant_at(root / "imagenet-r", spread(30_000, table.subsets["r"], "art_{}.jpg"))
    plant_at(root / "imagenet-a", spread(7_500, table.subsets["a"], "0.00{}_fox.jpg"))
    plant_at(root / "sketch", spread(50_889, table.ids, "sketch_{}.JPEG"))
    counts = table.expected["objectnet"].each
    assert counts is not None
    plant_at(
        root / "objectnet-1.0/images",
        [f"{f}/{n:04d}.png" for f in counts for n in range(counts[f])]
        + [f"{f}/0000.png" for f in sorted(table.object_others)],
        encoded("PNG", (9, 9)),
    )
    (root / "imagenet-r/README.txt").write_text("renditions")
    (root / "imagenet-a/README.txt").write_text("adversarial")
    return root


@pytest.fixture
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cache, configuration and data folder of nobody else."""
    monkeypatch.setenv("EFFROB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("EFFROB_CONFIG", str(tmp_path / "config"))
    monkeypatch.delenv("EFFROB_DATA", raising=False)
