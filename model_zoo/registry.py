"""From the text a user types to a model: schemes and registered names, resolved on first use.

Loads no torch by itself: providers are named as `module:attribute` and imported when one of their models is asked for.
Other packages add schemes through the entry-point group `effrob.models`.
"""

from __future__ import annotations

import functools
import importlib
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_zoo import registration
from model_zoo.errors import ModelError, UnknownModel, suggest
from model_zoo.pixels import PixelSpec
from model_zoo.registration import Registration
from model_zoo.spec import ModelSpec, parse

if TYPE_CHECKING:
    from collections.abc import Callable

    from model_zoo.encoder import Encoder, Identity, Provider

BUILT_IN = {
    "openclip": "model_zoo.sources.from_openclip:provider",
    "timm": "model_zoo.sources.from_timm:provider",
    "torchvision": "model_zoo.sources.from_torchvision:provider",
    "transformers": "model_zoo.sources.from_transformers:provider",
    "pocket": "model_zoo.sources.from_pocket:provider",
}
ENTRY_POINTS = "effrob.models"
_REGISTERED = "model_zoo.sources.from_registration:provider"


@dataclass(frozen=True)
class LiveModel:
    """A model registered in this process: `loader()` gives a torch.nn.Module, `pixels` its preprocessing."""

    name: str
    loader: Callable[[], Any]
    pixels: PixelSpec
    features: str | None = None


_live: dict[str, LiveModel] = {}


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
    """The provider of a scheme, imported now; the empty scheme is that of registered names."""
    table = schemes()
    if scheme and scheme not in table:
        raise UnknownModel(
            f"there is no model scheme {scheme!r}{suggest(scheme, table)}; schemes are {', '.join(table)} "
            "(a loader MODULE:FUNCTION is registered first, with `effrob register NAME --loader`)"
        )
    module, _, attribute = (table[scheme] if scheme else _REGISTERED).partition(":")
    try:
        found: Provider = getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        raise ModelError(
            f"{scheme} models need a package that is not installed ({error}): pip install 'effrob[{scheme}]'"
        ) from error
    return found


def identify(text: str) -> Identity:
    """All that is known of the model `text` names, without loading its weights (a loader is called).

    Raises UnknownModel for a scheme, name, tag or file that does not exist, ModelError for one that cannot be used.
    """
    spec = parse(text)
    return provider(spec.scheme).identify(spec)


def load(text: str, device: str = "cpu") -> Encoder:
    """The model `text` names, on `device`, in evaluation mode. Raises as `identify`, and for weights that do not fit."""
    from model_zoo.encoder import on_device

    spec = parse(text)
    return provider(spec.scheme).load(spec, on_device(device))


def names(scheme: str = "") -> list[str]:
    """Every name of a scheme; without one, the registered names."""
    return provider(scheme).names() if scheme else sorted({*_live, *registration.saved()})


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
    if not callable(loader):
        raise ModelError(
            f"register({name!r}) takes a function that returns a torch.nn.Module, not {type(loader).__name__}"
        )
    if not isinstance(pixels, PixelSpec):
        raise ModelError(f"register({name!r}) takes pixels=model_zoo.PixelSpec(...), not {type(pixels).__name__}")
    if not replace and (name in _live or name in registration.saved()):
        raise ModelError(f"{name} is registered already: choose another name, or say replace=True")
    _live[name] = LiveModel(name, loader, pixels, features)


def save_registration(record: Registration, replace: bool = False) -> Identity:
    """Check that `record` can be resolved, keep it in the user's file, and return its identity.

    Paths are made absolute, so that the name works from any folder; `--like` must not name a registered model.
    Raises ModelError and UnknownModel, and then nothing is written.
    """
    record = _absolute(record)
    if record.like is not None and not parse(record.like).scheme:
        raise ModelError(
            f"--like takes scheme:name, not the registered name {record.like!r}; "
            f"another checkpoint of a registered model is asked for as {record.like}@FILE"
        )
    if not replace and record.name in registration.saved():
        registration.save(record)  # raises, naming the file
    from model_zoo.sources.from_registration import identity_of

    identity = identity_of(record, ModelSpec("", record.name))
    registration.save(record, replace)
    return identity


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


def _absolute(record: Registration) -> Registration:
    """`record` with its paths absolute. Raises UnknownModel for a checkpoint or config that is not there."""
    changes: dict[str, Any] = {}
    if record.checkpoint is not None:
        checkpoint = Path(record.checkpoint).expanduser()
        if not checkpoint.is_file():
            raise UnknownModel(
                f"there is no checkpoint {record.checkpoint}: give --checkpoint the path of a weights file"
            )
        changes["checkpoint"] = str(checkpoint.resolve())
    if record.arch is not None and record.arch.endswith(".json"):
        changes["arch"] = str(Path(record.arch).expanduser().resolve())
    if record.loader is not None:
        changes["root"] = str(Path.cwd())
        module, _, function = record.loader.rpartition(":")
        if module.endswith(".py"):
            changes["loader"] = f"{Path(module).expanduser().resolve()}:{function}"
    if record.like is not None:
        spec = parse(record.like)
        if spec.weights is not None and Path(spec.weights).expanduser().is_file():
            changes["like"] = str(replace(spec, weights=str(Path(spec.weights).expanduser().resolve())))
    return replace(record, **changes)
