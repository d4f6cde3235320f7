"""Names that `register` gave: in this process, and in the user's file (see `registration`). Nothing is loaded here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from model_zoo import registration
from model_zoo.errors import ModelError, UnknownModel, suggest
from model_zoo.pixels import PixelSpec
from model_zoo.providers import schemes
from model_zoo.registration import Registration

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class LiveModel:
    """A model registered in this process: `loader()` gives a torch.nn.Module, `pixels` its preprocessing."""

    name: str
    loader: Callable[[], Any]
    pixels: PixelSpec
    features: str | None = None


_live: dict[str, LiveModel] = {}


def registered_names() -> list[str]:
    """Every registered name, of this process and of the user's file."""
    return sorted({*_live, *registration.saved()})


def register(
    name: str, loader: Callable[[], Any], *, pixels: PixelSpec, features: str | None = None, replace: bool = False
) -> None:
    """Make `loader` a model of this process, asked for by `name`.

    loader    called without arguments; gives a torch.nn.Module that maps (N, 3, H, W) to (N, 1000) logits
    pixels    the preprocessing it was trained for
    features  a layer whose output is taken as features; then the module's own classifier is left aside
    Raises ModelError where the name is taken and not `replace`.
    """
    registration.check_name(name)
    registration.check_free(name)
    if not callable(loader):
        raise ModelError(
            f"register({name!r}) takes a function that returns a torch.nn.Module, not {type(loader).__name__}"
        )
    if not isinstance(pixels, PixelSpec):
        raise ModelError(f"register({name!r}) takes pixels=model_zoo.PixelSpec(...), not {type(pixels).__name__}")
    if not replace and (name in _live or name in registration.saved()):
        raise ModelError(f"{name} is registered already: choose another name, or say replace=True")
    _live[name] = LiveModel(name, loader, pixels, features)


def registered(name: str) -> LiveModel | Registration:
    """What was registered under `name`, in this process or before. Raises UnknownModel."""
    if name in _live:
        return _live[name]
    records = registration.saved()
    if name in records:
        return records[name]
    raise UnknownModel(
        f"no model is registered as {name!r}{suggest(name, [*_live, *records])}; `effrob models` lists those that are, "
        f"and a library's model is written scheme:name with one of {', '.join(schemes())}"
    )
