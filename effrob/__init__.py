"""effrob: is an image model robust, or merely accurate?

Public names are loaded on first use, so that reading results and fitting lines never import torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from effrob.api import evaluate as evaluate
    from effrob.robustness.fit import fit as fit

__version__ = "0.1.0"

_NAMES = {
    "evaluate": "effrob.api",
    "fit": "effrob.robustness.fit",
}
__all__ = ["__version__", *_NAMES]


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module 'effrob' has no attribute {name!r}")
    return getattr(importlib.import_module(_NAMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
