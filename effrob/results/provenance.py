"""Where a number comes from: package versions, the commit of effrob, device and command. Imports no torch."""

from __future__ import annotations

import functools
import platform
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

PACKAGES = ("effrob", "torch", "torchvision", "open_clip_torch", "timm", "numpy", "pillow", "scipy", "scikit-learn")


@dataclass(frozen=True)
class Provenance:
    """versions: package -> version; commit and dirty: None outside a checkout; seed: None where nothing was drawn."""

    versions: dict[str, str]
    python: str
    commit: str | None
    dirty: bool | None
    device: str
    dtype: str
    seed: int | None
    command: str


@functools.cache
def package_versions() -> dict[str, str]:
    """Installed versions of what decides a number."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


@functools.cache
def revision() -> tuple[str | None, bool | None]:
    """(commit, dirty) of the checkout effrob runs from; (None, None) for an installed package or without git."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None, None
    try:
        commit = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=True
        ).stdout.strip()
        changes = subprocess.run(
            ["git", "-C", str(root), "status", "--porcelain", "--untracked-files=no"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None, None
    return commit, bool(changes.strip())


def here(device: str, dtype: str, seed: int | None = None) -> Provenance:
    """The provenance of a number computed in this process."""
    commit, dirty = revision()
    command = " ".join(["effrob" if "effrob" in Path(sys.argv[0]).name else Path(sys.argv[0]).name, *sys.argv[1:]])
    return Provenance(package_versions(), platform.python_version(), commit, dirty, device, dtype, seed, command)
