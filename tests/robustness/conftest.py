"""A results folder shared by the tests of this directory."""

from __future__ import annotations

from pathlib import Path

import pytest
from stores import fill


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records and per-image answers of eight models on two shifts and the clean set."""
    return fill(tmp_path_factory.mktemp("results"))
