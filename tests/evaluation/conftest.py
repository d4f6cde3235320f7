"""What evaluations of objects are asked with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from effrob.evaluation.worker import ENCODERS


@pytest.fixture
def options(tmp_path: Path, pocket_data: Path) -> Iterator[dict[str, Any]]:
    yield {
        "suite": "pocket", "data": pocket_data, "results": tmp_path / "r", "cache": tmp_path / "c", "device": "cpu",
        "limit": 40, "shifts": ["pocket-sketch"], "progress": False,
    }  # fmt: skip
    ENCODERS.clear()
