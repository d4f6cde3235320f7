"""torchvision, timm and open_clip imported without torch's compiler, which they load though few models need it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

COMPILER = "torch._dynamo"
ASKED = f"{COMPILER}.utils"  # what torchvision's RoIAlign imports a function from


@contextmanager
def compiler_on_demand() -> Iterator[None]:
    """Modules imported inside load torch's compiler when they first use it, and not already when they are imported.

    torchvision imports it to ask, within RoIAlign, whether a device can be compiled for; timm decorates a few methods with
    `torch.compiler.disable`, for which torch has a form that waits for the first call. Together they are a third of the time
    that open_clip takes to import (docs/decisions/018). Nothing is changed where the compiler is loaded already or where this
    torch has no such form, and nothing stays changed afterwards.
    """
    import torch

    at_first_call: Any = getattr(torch, "_disable_dynamo", None)
    if COMPILER in sys.modules or at_first_call is None:
        yield
        return
    disable = torch.compiler.disable

    def disable_later(fn: Any = None, recursive: bool = True, *, reason: str | None = None) -> Any:
        return at_first_call(fn, recursive)

    torch.compiler.disable, sys.modules[ASKED] = disable_later, _Waiting(ASKED)
    try:
        yield
    finally:
        torch.compiler.disable = disable
        if isinstance(sys.modules.get(ASKED), _Waiting):
            del sys.modules[ASKED]


class _Waiting(ModuleType):
    """Stands for torch._dynamo.utils while others are imported. It is one function that calls the real one of its name."""

    @staticmethod
    def is_compile_supported(device_type: str) -> bool:
        from torch._dynamo.utils import is_compile_supported

        answer: bool = is_compile_supported(device_type)
        return answer

    def __getattr__(self, name: str) -> Any:  # whatever else is asked for needs the compiler now
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules.get(ASKED) is self:
            del sys.modules[ASKED]
        return getattr(importlib.import_module(ASKED), name)
