"""Schemes of models and who provides them: built in, and from the entry-point group `effrob.models`.

Loads no torch by itself: a provider is named as `module:attribute` and imported when one of its models is asked for.
"""

from __future__ import annotations

import functools
import importlib
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from model_zoo.errors import ModelError, UnknownModel, suggest

if TYPE_CHECKING:
    from collections.abc import Callable

    from model_zoo.encoder import Provider

BUILT_IN = {
    "openclip": "model_zoo.sources.from_openclip:provider",
    "timm": "model_zoo.sources.from_timm:provider",
    "torchvision": "model_zoo.sources.from_torchvision:provider",
    "transformers": "model_zoo.sources.from_transformers:provider",
    "pocket": "model_zoo.sources.from_pocket:provider",
}
ENTRY_POINTS = "effrob.models"


def schemes() -> dict[str, str]:
    """Scheme -> `module:attribute`, built in and from entry points. Raises ModelError where two packages claim one scheme."""
    table = dict(BUILT_IN)
    for point in _offered(entry_points):
        if table.setdefault(point.name, point.value) != point.value:
            raise ModelError(
                f"two packages offer the model scheme {point.name!r}: {table[point.name]} and {point.value}; uninstall one"
            )
    return table


@functools.cache  # looking through every installed package takes 30 ms, and a sweep asks for each model
def _offered(find: Callable[..., Any]) -> tuple[Any, ...]:
    return tuple(find(group=ENTRY_POINTS))


def provider(scheme: str) -> Provider:
    """The provider of a scheme, imported now. Raises UnknownModel, and ModelError where its library is not installed."""
    table = schemes()
    if scheme not in table:
        raise UnknownModel(
            f"there is no model scheme {scheme!r}{suggest(scheme, table)}; schemes are {', '.join(table)} "
            "(a loader MODULE:FUNCTION is registered first, with `effrob register NAME --loader`)"
        )
    from model_zoo.compiler import compiler_on_demand

    module, _, attribute = table[scheme].partition(":")
    try:
        with compiler_on_demand():
            offered: Provider = getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        raise ModelError(
            f"{scheme} models need a package that is not installed ({error}): pip install 'effrob[{scheme}]'"
        ) from error
    return offered
