"""A user's own function as a model: `MODULE:FUNCTION` or `FILE.py:FUNCTION`, called without arguments, gives a torch.nn.Module.

The function's weights and what its network answers are part of its identity: it is called, they are digested, and two
made-up pictures are run, so that a changed file, import or variable behind an unchanged source is another model.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from model_zoo.checkpoints.files import file_digest
from model_zoo.checkpoints.parts import WeightsFile, outline, read_weights, weights_digest
from model_zoo.checkpoints.state import fit_state, state_digest
from model_zoo.errors import ModelError, UnknownModel, suggest
from model_zoo.memory.answers_digest import answers_digest
from model_zoo.memory.model import CONVERTED, copied
from model_zoo.pixels import PixelSpec
from model_zoo.sources.forward_pass import in_float32, try_out


@dataclass(frozen=True)
class Loader:
    """A function that gives a module, where its source lies, and the weights file its module is filled from, if any."""

    text: str
    function: Callable[[], Any]
    source: Path | None
    folder: Path | None
    checkpoint: WeightsFile | None = None


@dataclass(frozen=True)
class Built:
    """What calling a loader told: the digest of function and weights, and how many numbers it gives a picture."""

    digest: str
    n_outputs: int
    notes: tuple[str, ...] = ()


_told: dict[tuple[object, ...], Built] = {}
_waiting: dict[tuple[object, ...], nn.Module] = {}


def find(text: str, root: str | None = None, checkpoint: WeightsFile | None = None) -> Loader:
    """The loader `text` names, MODULE being searched in `root` (the current folder) too.

    Raises UnknownModel for a file, module or function that is not there, ModelError for one that fails to import.
    """
    place, colon, function = text.rpartition(":")
    if not colon or not place or not function:
        raise ModelError(f"a loader is written MODULE:FUNCTION or FILE.py:FUNCTION; got {text!r}")
    if place.endswith(".py"):
        path = Path(root or ".", Path(place).expanduser()).resolve()
        if not path.is_file():
            raise UnknownModel(f"the loader {text} names a file that does not exist: {path}")
        folder = path.parent
        with _importable(folder):
            module = _from_file(path, text)
    else:
        folder = Path(root or Path.cwd())
        with _importable(folder):
            module = _imported(place, text)
    target: Any = module
    for part in function.split("."):
        if not hasattr(target, part):
            known = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
            raise UnknownModel(f"{place} has no function {function!r}{suggest(function, known)}")
        target = getattr(target, part)
    if not callable(target):
        raise ModelError(f"{text} is a {type(target).__name__}, wanted a function that returns a torch.nn.Module")
    source = Path(module.__file__) if module.__file__ else None
    return Loader(text, target, source, folder, checkpoint)


def live(name: str, function: Callable[[], Any]) -> Loader:
    """A function of this process as a loader; its source counts where it can be target."""
    try:
        file = inspect.getsourcefile(inspect.unwrap(function))
    except TypeError:
        file = None
    source = Path(file) if file and Path(file).is_file() else None
    return Loader(f"{name}:{getattr(function, '__qualname__', type(function).__name__)}", function, source, None)


def identity_of(loader: Loader, pixels: PixelSpec, layer: str | None) -> Built:
    """The digest and output width of a loader. It is called once a process; the module waits for `module_of`.

    A function of this process is called each time: its module may have learnt since. Where features are taken at a `layer` the
    width is 0.
    """
    key = (*_key(loader), pixels, layer)
    if key not in _told or loader.folder is None:
        module = _called(loader)
        given = _kinds(module)
        module = in_float32(module, pixels)
        digest = _digest(loader, module, pixels, layer)
        width = 0 if layer is not None else try_out(module, pixels, torch.device("cpu"), loader.text).shape[1]
        _told[key] = Built(digest, width, (CONVERTED,) if _kinds(module) != given else ())
        _waiting[key] = module
    return _told[key]


def module_of(loader: Loader, pixels: PixelSpec, layer: str | None) -> nn.Module:
    """The loader's module with its weights, on the CPU, in evaluation mode: the one that was digested, or a new equal one."""
    key = (*_key(loader), pixels, layer)
    if key in _waiting:
        return _waiting.pop(key)
    module = in_float32(_called(loader), pixels)
    if key in _told and _digest(loader, module, pixels, layer) != _told[key].digest:
        raise ModelError(
            f"the loader {loader.text} gives other weights each time it is called, or other answers: save its weights and "
            f"register it with --checkpoint"
        )
    return module


def _kinds(module: nn.Module) -> set[torch.dtype]:
    return {tensor.dtype for tensor in module.parameters()}


def _key(loader: Loader) -> tuple[object, ...]:
    source = file_digest(loader.source) if loader.source else None
    file = loader.checkpoint
    weights = weights_digest(file, outline(file)[1]) if file else None
    return (loader.text, loader.function if loader.folder is None else None, loader.source, source, weights)


def _digest(loader: Loader, module: nn.Module, pixels: PixelSpec, layer: str | None) -> str:
    source = file_digest(loader.source) if loader.source else ""
    # A function of this process may close over anything: its registered name counts. So does the module's structure.
    function = loader.text if loader.folder is None else loader.text.rpartition(":")[2]
    structure = re.sub(r"0x[0-9a-f]+", "", repr(module))  # without addresses
    about = ["loader", source, function, structure, state_digest(module), answers_digest(module, pixels, layer)]
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()


def _called(loader: Loader) -> nn.Module:
    with _importable(loader.folder):
        try:
            module = loader.function()
        except (Exception, SystemExit) as error:  # a script that reads its own arguments leaves through SystemExit
            raise ModelError(f"the loader {loader.text} failed ({type(error).__name__}: {error})") from error
    if not isinstance(module, nn.Module):
        raise ModelError(f"the loader {loader.text} gives a {type(module).__name__}, wanted a torch.nn.Module")
    if loader.checkpoint is not None:
        file = loader.checkpoint
        fit_state(module, read_weights(file).state, file.path, f"what {loader.text} gives")
    # What a function of this process gives may be in use there, in training: a copy is evaluated.
    return copied(module) if loader.folder is None else module.eval().requires_grad_(False)


def _from_file(path: Path, text: str) -> ModuleType:
    which = hashlib.sha256(f"{path} {file_digest(path)}".encode()).hexdigest()
    name = f"effrob_loader_{path.stem}_{which[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ModelError(f"the loader {text} names a file Python cannot import")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before it runs: dataclasses and pickles look their module up
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise ModelError(f"the file of the loader {text} fails to import ({type(error).__name__}: {error})") from error
    return module


def _imported(name: str, text: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise ModelError(f"the module of the loader {text} fails to import ({error})") from error
        raise UnknownModel(
            f"the loader {text} names a module that is not installed and not in the current folder: give FILE.py:FUNCTION"
        ) from None
    except (Exception, SystemExit) as error:
        raise ModelError(
            f"the module of the loader {text} fails to import ({type(error).__name__}: {error})"
        ) from error


@contextmanager
def _importable(folder: Path | None) -> Iterator[None]:
    """`folder` first on the import path, as it is for a script that lies in it; a default dtype set inside ends with it."""
    default = torch.get_default_dtype()
    if folder is not None:
        sys.path.insert(0, str(folder))
        importlib.invalidate_caches()
    try:
        yield
    finally:
        torch.set_default_dtype(default)
        if folder is not None:
            sys.path.remove(str(folder))
