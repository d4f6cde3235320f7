"""TorchScript archives read as data: the tensors of their modules by name, without running or compiling their code."""

from __future__ import annotations

import io
import pickle
import pickletools
import zipfile
from pathlib import Path
from typing import Any

import torch

from model_zoo.errors import ModelError


def archive_names(path: Path) -> list[str]:
    """The names in a zip archive; none where it is no archive, or a damaged one."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except Exception:  # damaged bytes can raise anything
        return []


def is_torchscript(path: Path) -> bool:
    """Whether a file is a TorchScript program: an archive that holds constants.pkl."""
    return any(name.endswith("/constants.pkl") for name in archive_names(path))


STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


SWELLING, CODE = 2, 16 << 20  # what an archive may unpack to: so many times its size, or so many bytes above it


class _Module:
    """A scripted module as its attributes; made by unpickling, and never run."""

    def __init__(self, *_: object) -> None:
        self.attributes: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        self.attributes = dict(state) if isinstance(state, dict) else {}


class _Reader(pickle.Unpickler):
    """Unpickles tensors and containers alone; every class is a bag of attributes, and nothing else can be named."""

    def __init__(self, archive: zipfile.ZipFile, root: str, order: str) -> None:
        super().__init__(io.BytesIO(_checked_pickle(archive.read(f"{root}/data.pkl"))))
        self._archive, self._root, self._order = archive, root, order
        self._storages: dict[str, torch.UntypedStorage] = {}

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("__torch__"):
            return _Module
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuilt
        if (module, name) == ("collections", "OrderedDict"):
            return dict
        if module == "torch.jit._pickle":  # lists of one type, restored as such
            return lambda *given: given[0] if given else None
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        if module == "torch" and isinstance(getattr(torch, name, None), torch.dtype):
            return getattr(torch, name)
        raise pickle.UnpicklingError(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> Any:
        _, kind, key, _, _ = pid
        if key not in self._storages:
            data = bytearray(self._archive.read(f"{self._root}/data/{key}"))
            self._storages[key] = torch.frombuffer(data or bytearray(1), dtype=torch.uint8).untyped_storage()
        return self._storages[key], kind if isinstance(kind, torch.dtype) else torch.uint8


def _checked_pickle(data: bytes) -> bytes:
    """The pickle itself. UnpicklingError where it puts a value so far up that the memory for those below it would run out."""
    if any(
        op.name in ("PUT", "LONG_BINPUT") and isinstance(arg, int) and arg > len(data)
        for op, arg, _ in pickletools.genops(data)
    ):
        raise pickle.UnpicklingError("it numbers more values than it holds")
    return data


def check_swelling(path: Path) -> None:
    """Raises ModelError for an archive that unpacks to far more than it holds: torch compresses code, and no tensors."""
    try:
        with zipfile.ZipFile(path) as archive:
            claimed = sum(each.file_size for each in archive.infolist())
    except Exception:  # no archive, or a damaged one: whoever reads it says so
        return
    held = path.stat().st_size
    if claimed > max(SWELLING * held, held + CODE):
        raise ModelError(
            f"{path} is an archive of {held:,} bytes that unpacks to {claimed:,}, which torch does not write: save the "
            "state_dict() again with torch.save"
        )


def _rebuilt(held: tuple[torch.UntypedStorage, torch.dtype], offset: int, size: Any, stride: Any, *_: object) -> Any:
    """The tensor that lies in a storage at `offset`, as torch writes it down."""
    storage, dtype = held
    return torch.empty(0, dtype=dtype).set_(storage, offset, tuple(size), tuple(stride))


def tensors_of(path: Path) -> dict[str, torch.Tensor]:
    """Name -> tensor of a TorchScript archive, named as its module's state_dict names them.

    Raises ModelError for an archive of another layout, with the way to save a state dict.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            root = next(name for name in archive.namelist() if name.endswith("/constants.pkl")).rpartition("/")[0]
            order = f"{root}/byteorder"
            if order in archive.namelist() and archive.read(order).strip() not in (b"little", b""):
                raise ValueError("it was written on a big-endian machine")
            top = _Reader(archive, root, "little").load()
    except Exception as error:  # damaged bytes can raise anything
        raise ModelError(
            f"{path} is a TorchScript program whose tensors cannot be read without running it ({error}): load it with "
            "torch.jit.load and save its state_dict() with torch.save"
        ) from None
    named: dict[str, torch.Tensor] = {}
    _collect(top, "", named)
    return named


def _collect(module: Any, prefix: str, named: dict[str, torch.Tensor]) -> None:
    if not isinstance(module, _Module):
        return
    for name, value in module.attributes.items():
        if isinstance(value, torch.Tensor):
            named[f"{prefix}{name}"] = value
        else:
            _collect(value, f"{prefix}{name}.", named)
