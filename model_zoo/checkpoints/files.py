"""Weights files, opened safely: safetensors (one file or shards), what torch.save wrote, and TorchScript's tensors.

A pickle may hold tensors and plain values; harmless extras of known types are read, objects of other packages are left as
inert stand-ins, and nothing that would run is ever run.
"""

from __future__ import annotations

import argparse
import collections
import datetime
import hashlib
import pathlib
import re
import struct
import sys
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from model_zoo.checkpoints.torchscript import archive_names, check_swelling, is_torchscript, tensors_of
from model_zoo.errors import ModelError, UnknownModel
from shifts.bounds.files import read_json

INDEX = ".index.json"  # transformers' list of which shard holds which tensor
_UNKNOWN = re.compile(r"GLOBAL (\S+)|(?:class|type) (\S+\.\S+)|Unsupported global: \S+ (\S+)")
_digests: dict[tuple[str, int, int], str] = {}


def existing(text: str, wanted: str) -> Path:
    """The file `text` names. Raises UnknownModel saying `wanted` where there is none."""
    path = Path(text).expanduser()
    if not path.is_file():
        kind = "is a folder" if path.is_dir() else "does not exist"
        raise UnknownModel(f"{wanted}: the file {text} {kind}")
    return path


def file_digest(path: Path) -> str:
    """SHA-256 of the file's bytes, remembered while its size and modification time stay; an index counts with its shards."""
    try:
        about = path.stat()
        key = (str(path.resolve()), about.st_size, about.st_mtime_ns)
        if key not in _digests:
            with path.open("rb") as file:
                _digests[key] = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}): give a weights file that can") from error
    if path.name.endswith(INDEX):
        whole = [_digests[key], *(file_digest(shard) for shard in shards(path))]
        return hashlib.sha256(" ".join(whole).encode()).hexdigest()
    return _digests[key]


def contents(path: Path) -> Any:
    """What a weights file holds, on the CPU: usually a mapping. Tensors of an archive are mapped, not read.

    Raises ModelError for a file of another kind, a damaged one, and one that would run code.
    """
    if path.name.endswith(INDEX):
        return {name: tensor for shard in shards(path) for name, tensor in contents(shard).items()}
    if is_safetensors(path):
        from safetensors.torch import load_file

        with _sound(path):
            return load_file(str(path))
    _refuse_programs(path)
    check_swelling(path)
    if is_torchscript(path):
        return tensors_of(path)
    return _unpickled(path)


def shapes(path: Path) -> dict[str, tuple[int, ...]] | None:
    """Name -> shape in a safetensors file or its shards, without reading the numbers; None for other files."""
    if path.name.endswith(INDEX):
        parts = [shapes(shard) for shard in shards(path)]
        return None if None in parts else {name: shape for part in parts if part for name, shape in part.items()}
    if not is_safetensors(path):
        return None
    from safetensors import safe_open

    with _sound(path), safe_open(str(path), framework="pt") as file:
        return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118


def shards(index: Path) -> list[Path]:
    """The files an index names, in order. Raises ModelError where one is missing or the index is none."""
    try:
        names = sorted(set(read_json(index)["weight_map"].values()))
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise ModelError(
            f"{index} is no index of shards ({error}): wanted a weight_map, as save_pretrained writes"
        ) from None
    files = [index.parent / Path(name).name for name in names]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise ModelError(f"{index} names {len(files)} shards and {missing[0]} is not beside it: fetch all of them")
    return files


def is_safetensors(path: Path) -> bool:
    """By content, not by suffix: eight bytes of header length, then a JSON object."""
    try:
        with path.open("rb") as file:
            head = file.read(9)
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}): give a weights file that can") from error
    return len(head) == 9 and head[8:] == b"{" and struct.unpack("<Q", head[:8])[0] < path.stat().st_size


@contextmanager
def _sound(path: Path) -> Iterator[None]:
    from safetensors import SafetensorError

    try:
        yield
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} is a damaged safetensors file ({error}): fetch or save it again") from error


def _refuse_programs(path: Path) -> None:
    """Raise ModelError for an exported program: ONNX, torch.export's archive, TensorFlow's and JAX's files."""
    suffix = path.suffix.lower()
    if suffix == ".onnx":
        raise ModelError(
            f"{path} is an ONNX graph, which has no module to take features from: give the state_dict it was exported from "
            "with its architecture, or register a loader that rebuilds it as a torch.nn.Module (onnx2torch.convert)"
        )
    exported = ("archive_format", "serialized_exported_program.json", "models/model.json")
    if suffix == ".pt2" or any(name.endswith(exported) for name in archive_names(path)):
        raise ModelError(
            f"{path} is a program of torch.export, not a state dict: save torch.export.load(FILE).state_dict() with "
            "torch.save and name the architecture, or register a loader that returns torch.export.load(FILE).module()"
        )
    if suffix in (".h5", ".keras", ".tflite", ".pb", ".msgpack"):
        raise ModelError(
            f"{path} is a file of TensorFlow, Keras or JAX: convert it to torch's state dict and give that"
        )


class _InertMapping(collections.OrderedDict[Any, Any]):
    """The same for an object that is a dictionary."""

    def __new__(cls, *_: object, **__: object) -> Any:
        return collections.OrderedDict()


class _Inert:
    """Stands for an object of a package that is not ours to load: takes any arguments and state, and does nothing."""

    def __new__(cls, *_: object, **__: object) -> Any:
        return object.__new__(cls)

    def __init__(self, *_: object, **__: object) -> None: ...

    def __setstate__(self, state: object) -> None: ...

    def __setitem__(self, key: object, value: object) -> None: ...


def _harmless() -> list[Any]:
    """Types that training scripts store beside weights, and that only hold values."""
    scalars = [np.dtype, np.ndarray, *(type(np.dtype(kind)) for kind in "?bBhHiIlLqQefdFDSUMm")]
    multiarray = np.dtype(np.float64).type(0).__reduce__()[0]
    array = np.zeros(1).__reduce__()[0]
    numpy = [
        *((multiarray, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
        *((array, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")),
    ]
    paths = [
        (pure, f"{module}.{name}")
        for module in ("pathlib", "pathlib._local")
        for pure, names in (
            (pathlib.PurePosixPath, ("PosixPath", "PurePosixPath", "Path")),
            (pathlib.PureWindowsPath, ("WindowsPath", "PureWindowsPath")),
        )
        for name in names
    ]
    plain = [
        argparse.Namespace,
        types.SimpleNamespace,
        collections.deque,
        collections.Counter,
        datetime.datetime,
        datetime.date,
        datetime.timedelta,
        datetime.timezone,
        *(list, dict, set, frozenset, tuple, int, float, bool, str, complex),
        torch.Size,
        torch.device,
    ]
    return [*scalars, *numpy, *paths, *plain, (_latin, "_codecs.encode"), (_dictionary, "collections.defaultdict")]


def _dictionary(*_: object) -> dict[Any, Any]:
    """What stands for a defaultdict: torch's reader fills plain dictionaries alone."""
    return {}


def _latin(text: str, encoding: str = "latin1") -> bytes:
    """What `_codecs.encode` is called for in a pickle of bytes, and nothing more."""
    return text.encode("latin1" if encoding not in ("utf-8", "ascii") else encoding)


def _unpickled(path: Path) -> Any:
    """torch.load that runs no code; objects of packages that are neither Python's nor torch's become inert stand-ins."""
    mapped = bool(archive_names(path))  # an archive is mapped: optimizer states beside the weights are never read
    stand_ins: dict[str, Any] = {}
    kind: type = _Inert
    while True:
        allowed = [*_harmless(), *((stand_in, name) for name, stand_in in stand_ins.items())]
        try:
            with torch.serialization.safe_globals(allowed):
                return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
        except MemoryError:
            raise
        except Exception as error:  # damaged bytes can raise anything
            name = _unknown_global(str(error))
            root = (name or "").partition(".")[0]
            ours = root in sys.stdlib_module_names or root in (
                "torch",
                "numpy",
                "builtins",
                "nt",
                "posix",
                "__builtin__",
            )
            if name is not None and not ours and name not in stand_ins and "." in name:
                stand_ins[name] = type("Inert", (kind,), {})
                continue
            if stand_ins and kind is _Inert and "SETITEM" in str(error):  # one of them is a dictionary
                kind = _InertMapping
                stand_ins = {each: type("Inert", (kind,), {}) for each in stand_ins}
                continue
            raise _unreadable(path, name, error) from None


def _unknown_global(message: str) -> str | None:
    match = _UNKNOWN.search(message)
    return None if match is None else next(filter(None, match.groups())).rstrip(".,`'")


def _unreadable(path: Path, name: str | None, error: Exception) -> ModelError:
    if name is not None:
        return ModelError(
            f"{path} holds code or objects ({name}), which reading would run, so it is refused: "
            "save the state_dict() alone, with torch.save or safetensors, and give that"
        )
    return ModelError(
        f"{path} is no checkpoint that can be read ({type(error).__name__}, {path.stat().st_size} bytes): "
        "wanted a state dict saved by torch.save, or safetensors"
    )


def is_mapping_of_tensors(value: object) -> bool:
    """Whether `value` is a state dict: names with tensors, and at most plain values beside them."""
    if not isinstance(value, Mapping) or not value:
        return False
    tensors = [name for name, each in value.items() if isinstance(each, torch.Tensor)]
    others = [each for each in value.values() if not isinstance(each, torch.Tensor)]
    plain = (int, float, str, bool, bytes, type(None), _Inert, np.generic, pathlib.PurePath)
    return bool(tensors) and all(isinstance(each, plain) for each in others)
