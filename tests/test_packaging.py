"""What is built is what is needed: data files travel in the wheel, and everything imported is declared."""

from __future__ import annotations

import ast
import configparser
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("effrob", "shifts", "model_zoo")
DISTRIBUTION = {
    "PIL": "pillow",
    "sklearn": "scikit-learn",
    "open_clip": "open_clip_torch",
    "open_clip_train": "open_clip_torch",
    "yaml": "pyyaml",
    "imagenet_x": "imagenet-x",
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names of the files in a wheel built from the files git tracks."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    listed = (
        subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    )
    for name in filter(None, listed):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    uv = Path(sys.executable).with_name("uv")  # a third of pip's time
    command = [str(uv), "build", "--quiet", "--wheel", "--out-dir", str(folder), str(source)]
    if not uv.exists():
        command = [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "--wheel-dir",
            str(folder),
            str(source),
        ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(next(folder.glob("effrob-*.whl"))) as archive:
        return set(archive.namelist())


def test_every_data_file_travels_in_the_wheel(wheel: set[str]) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", *PACKAGES], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    lost = [name for name in tracked.splitlines() if name not in wheel]
    assert lost == []
    assert any(name.endswith(".safetensors") for name in wheel) and "effrob/heads/data/prompts.json" in wheel


def test_nothing_but_the_three_packages_is_installed(wheel: set[str]) -> None:
    tops = {name.split("/")[0] for name in wheel}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)


def declared() -> set[str]:
    """Distributions setup.cfg names, extras included."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    lines = config["options"]["install_requires"].splitlines()
    for extra in config["options.extras_require"].values():
        lines += extra.splitlines()
    names = (line.split(">")[0].split("[")[0].split("=")[0].strip().lower() for line in lines)
    return {name for name in names if name}


@cache
def imported() -> dict[str, str]:
    """Top-level package -> a file that imports it."""
    found: dict[str, str] = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and not node.level:
                    names = [node.module or ""]
                else:
                    continue
                for name in names:
                    found.setdefault(name.split(".")[0], str(path))
    return found


def test_what_is_imported_is_declared() -> None:
    known = set(sys.stdlib_module_names) | set(PACKAGES)
    missing = {
        n: p for n, p in imported().items() if n not in known and DISTRIBUTION.get(n, n).lower() not in declared()
    }
    assert missing == {}


def test_what_is_declared_for_everyone_is_imported() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    core = {line.split(">")[0].strip().lower() for line in config["options"]["install_requires"].splitlines() if line}
    used = {DISTRIBUTION.get(name, name).lower() for name in imported()}
    assert core <= used, f"declared and never imported: {sorted(core - used)}"


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_an_environment_that_was_half_made_is_made_whole(tmp_path: Path) -> None:
    """`make demo` stopped while `venv` unpacks pip left a Python without it, with which every later `make` failed."""
    makefile = ROOT / "Makefile"
    venv.create(tmp_path / ".venv", with_pip=False)
    for name in ("setup.cfg", "pyproject.toml", "constraints.txt"):
        (tmp_path / name).touch()
    command = ["make", "-n", "-f", str(makefile), f"PYTHON={sys.executable}", ".venv/.shown"]
    outside = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}  # not of a make that runs this test
    told = subprocess.run(command, cwd=tmp_path, env=outside, capture_output=True, text=True, check=True)
    recipe = told.stdout.splitlines()
    subprocess.run(["sh", "-c", recipe[0]], cwd=tmp_path, check=True)
    subprocess.run([str(tmp_path / ".venv/bin/python"), "-m", "pip", "--version"], check=True, capture_output=True)
