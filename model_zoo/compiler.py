"""torchvision, timm and open_clip imported without torch's compiler, which they load though few models need it."""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch

COMPILER = "torch._dynamo"
ASKED = f"{COMPILER}.utils"  # what torchvision's RoIAlign imports a function from

_LOCK = threading.Lock()  # held for changing names alone, never while something is imported
_inside: list[Any] = []  # `torch.compiler.disable` as it was, once for everyone who is inside


@contextmanager
def compiler_on_demand() -> Iterator[None]:
    """Modules imported inside load torch's compiler when they first use it, and not already when they are imported.

    torchvision imports it to ask, within RoIAlign, whether a device can be compiled for; timm decorates a few methods with
    `torch.compiler.disable`, for which torch has a form that waits for the first call. Together they are a third of the time
    that open_clip takes to import (docs/decisions/018). Nothing is changed where the compiler is loaded already or where this
    torch has no such form, and nothing stays changed once everyone who is inside, in any thread, has left.
    """
    with _LOCK:
        _inside.append(_inside[0] if _inside else _put_off())
    try:
        yield
    finally:
        with _LOCK:
            before = _inside.pop()
            if before is not None and not _inside:
                torch.compiler.disable = before
                if isinstance(sys.modules.get(ASKED), _Waiting):
                    del sys.modules[ASKED]


def _put_off() -> Any:
    """Put what waits in place. Returns what `torch.compiler.disable` was, or None where nothing was changed."""
    at_first_call: Any = getattr(torch, "_disable_dynamo", None)
    if COMPILER in sys.modules or at_first_call is None:
        return None
    before: Any = torch.compiler.disable

    def disable_later(fn: Any = None, recursive: bool = True, *, reason: str | None = None) -> Any:
        if fn is None:
            return functools.partial(disable_later, recursive=recursive, reason=reason)
        if inspect.isfunction(fn):
            return at_first_call(fn, recursive)
        return before(fn, recursive, reason=reason)  # a class or a network comes back as one

    torch.compiler.disable, sys.modules[ASKED] = disable_later, _Waiting(ASKED)
    return before


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
