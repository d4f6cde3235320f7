"""What is built installs into an empty environment and works there, with no checkout and none of the extras."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
UV = Path(sys.executable).with_name("uv")
LIMIT = 900  # seconds of a command: an install on a cold cache takes two minutes on a slow line

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not UV.exists(), reason="uv is not installed")]


def run(*command: object, where: Path) -> str:
    outside = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    environment = {**outside, "EFFROB_CONFIG": str(where / "config"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [str(part) for part in command], cwd=where, env=environment, capture_output=True, text=True, timeout=LIMIT
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the source distribution, made of the files git tracks."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    for name in filter(None, tracked.split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    run(UV, "build", "--quiet", "--out-dir", out, source, where=out)
    return out


def smoke(python: Path, where: Path) -> None:
    """Evaluate a pocket model, fit a line and write a leaderboard with the core alone."""
    effrob = python.with_name("effrob")
    results, cache = where / "results", where / "cache"
    installed = run(
        python, "-c", "import importlib.metadata as m; print(*(d.name for d in m.distributions()))", where=where
    )
    for extra in ("ray", "transformers", "mkdocs", "playwright", "pytest", "plotly", "numba"):
        assert extra not in installed.lower().split()
    options = ("--suite", "pocket", "--shift", "pocket-v2", "--limit", "100")
    told = run(
        effrob, "eval", *options, "--model", "pocket:cnn-small", "--results", results, "--cache", cache, where=where
    )
    assert "pocket-v2" in told and "pocket:cnn-small" in told
    assert "pocket-v2" in run(effrob, "fit", "--baseline", "pocket", where=where)
    board = run(effrob, "leaderboard", "--results", results, "--published", "none", where=where)
    assert "pocket:cnn-small" in board


def interpreter(version: str) -> str | None:
    """A Python of this version that uv knows, or that pyenv keeps."""
    asked = [UV, "python", "find", "--no-python-downloads", version]
    done = subprocess.run(asked, capture_output=True, text=True)
    kept = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [done.stdout.strip()] if done.returncode == 0 else []
    return next(iter([*found, *map(str, sorted(kept.glob(f"{version}.*/bin/python")))]), None)


@pytest.mark.parametrize("version", ["3.12", "3.13", "3.14"])
def test_newer_pythons_work(built: Path, version: str, tmp_path: Path) -> None:
    found = interpreter(version)
    if found is None:
        pytest.skip(f"no Python {version} here")
    (wheel,) = built.glob("*.whl")
    run(UV, "venv", "--quiet", "--python", found, tmp_path / "venv", where=tmp_path)
    python = tmp_path / "venv" / "bin" / "python"
    run(UV, "pip", "install", "--quiet", "--python", python, wheel, where=tmp_path)
    smoke(python, tmp_path)


@pytest.mark.parametrize("kind", ["*.whl", "*.tar.gz"])
def test_it_installs_into_an_empty_environment_and_works(built: Path, kind: str, tmp_path: Path) -> None:
    (distribution,) = built.glob(kind)
    run(UV, "venv", "--quiet", "--python", sys.executable, tmp_path / "venv", where=tmp_path)
    python = tmp_path / "venv" / "bin" / "python"
    pinned = ROOT / "constraints.txt"
    run(UV, "pip", "install", "--quiet", "--python", python, "--constraint", pinned, distribution, where=tmp_path)
    smoke(python, tmp_path)


def test_the_lowest_versions_that_setup_names_work(built: Path, tmp_path: Path) -> None:
    (wheel,) = built.glob("*.whl")
    run(UV, "venv", "--quiet", "--python", "3.11", tmp_path / "venv", where=tmp_path)
    python = tmp_path / "venv" / "bin" / "python"
    lowest = ("--resolution", "lowest-direct")
    run(UV, "pip", "install", "--quiet", "--python", python, *lowest, wheel, where=tmp_path)
    smoke(python, tmp_path)
