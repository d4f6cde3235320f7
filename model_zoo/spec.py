"""ModelSpec: the string a user types for a model, taken apart. `parse` and `str` are inverse. Imports nothing heavy."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from model_zoo.errors import ModelError

_SCHEME = re.compile(r"[a-z][a-z0-9_+-]*")
_LOADER = re.compile(r"[./_A-Z]")  # MODULE:FUNCTION or FILE.py:FUNCTION


PART = "#"  # FILE#PART: one of several sets of weights in a file
MIXTURE = "mix"  # its name is made of other specs
FOLDER = "local-dir:"  # its path may hold any character


@dataclass(frozen=True)
class ModelSpec:
    """`scheme:name[@weights]`, or a registered `name` alone (scheme is then empty).

    weights is a tag the library knows or the path of a file; None asks for the documented default.
    """

    scheme: str
    name: str
    weights: str | None = None

    def __post_init__(self) -> None:
        if not self.name or self.weights == "" or any(c in self.name for c in "\n\r\0") or self._at:
            raise ModelError(f"a model is written scheme:name[@weights] or a registered name; got {str(self)!r}")

    @property
    def _at(self) -> bool:
        free = self.name.startswith(FOLDER) or self.scheme == MIXTURE
        return "@" in self.name and not free and not Path(self.name).expanduser().is_dir()

    def __str__(self) -> str:
        head = f"{self.scheme}:{self.name}" if self.scheme else self.name
        return head if self.weights is None else f"{head}@{self.weights}"


def parse(text: str) -> ModelSpec:
    """Take `text` apart. The scheme ends at the first colon, the name at the first `@`; the rest is weights.

    Raises ModelError where nothing stands where a name must.
    """
    text = text.strip()
    scheme, colon, name = text.partition(":")
    folder = name.startswith(FOLDER) or ("@" in name and scheme == "transformers" and Path(name).expanduser().is_dir())
    if colon and folder and _SCHEME.fullmatch(scheme):
        return ModelSpec(scheme, name)
    if colon and scheme == MIXTURE:
        return ModelSpec(scheme, name)
    head, at, weights = text.partition("@")
    scheme, colon, name = head.partition(":")
    if not colon:
        scheme, name = "", head
    elif not _SCHEME.fullmatch(scheme):
        hint = (
            "; a loader is given a name first, with `effrob register NAME --loader`" if _LOADER.search(scheme) else ""
        )
        raise ModelError(f"a model is written scheme:name[@weights]; {scheme!r} in {text!r} is no scheme{hint}")
    if at and not weights:
        raise ModelError(f"nothing follows the @ in {text!r}: give a weights tag or a file, or leave the @ out")
    return ModelSpec(scheme, name, weights if at else None)


def weights_path(text: str) -> tuple[Path, str | None]:
    """The path in `FILE` or `FILE#PART`, and the part; a file whose own name holds a # is that file. It need not exist."""
    path = Path(text).expanduser()
    head, mark, part = text.rpartition(PART)
    if mark and part and head and not path.is_file() and Path(head).expanduser().is_file():
        return Path(head).expanduser(), part
    return path, None
