"""Models handed over as objects, known by name for the length of one call and in its thread alone. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch

    from model_zoo.encoder import Encoder, Identity


class OfferedModel(Protocol):
    """A model that needs no loading."""

    @property
    def identity(self) -> Identity: ...

    def encoder(self, device: torch.device) -> Encoder: ...


_offered: ContextVar[Mapping[str, OfferedModel] | None] = ContextVar("offered", default=None)


@contextmanager
def offering(models: Mapping[str, OfferedModel]) -> Iterator[None]:
    """Let `identify` and `load` find these models by their names inside the block; another thread's are not seen."""
    before = _offered.set({**(_offered.get() or {}), **models})
    try:
        yield
    finally:
        _offered.reset(before)


def offered(name: str) -> OfferedModel | None:
    """The model offered under a name in this context, or None."""
    return (_offered.get() or {}).get(name)


def is_offered(name: str) -> bool:
    """Whether a model is offered under a name in this context."""
    return offered(name) is not None
