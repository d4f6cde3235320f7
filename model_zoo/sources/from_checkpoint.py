"""Weights files, read safely: a bare state dict, a training checkpoint that holds one, or safetensors.

A pickle may hold tensors and plain values only; one that would run code is refused. Knows no architectures: `fit_state`
compares a file with whatever module it is meant for, and says in a sentence what does not fit.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import socket
import struct
import urllib.request
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import torch
from torch import nn

from model_zoo.errors import ModelError, UnknownModel

State = dict[str, torch.Tensor]
V = TypeVar("V")

_INSIDE = (
    "state_dict",
    "model",
    "model_state_dict",
)  # where open_clip, timm and torchvision keep the plain (not EMA) weights
_WRAPPERS = ("module.", "_orig_mod.")  # DistributedDataParallel's and torch.compile's
_DERIVED = (  # buffers that older versions stored: computed from the architecture, so a file may have or lack them
    "num_batches_tracked",
    "relative_position_index",
    "relative_coords_table",
    "attn_mask",
    "position_ids",
)
_digests: dict[tuple[str, int, int], str] = {}


def existing(text: str, wanted: str) -> Path:
    """The file `text` names. Raises UnknownModel saying `wanted` where there is none."""
    path = Path(text).expanduser()
    if not path.is_file():
        kind = "is a folder" if path.is_dir() else "does not exist"
        raise UnknownModel(f"{wanted}: the file {text} {kind}")
    return path


def file_digest(path: Path) -> str:
    """SHA-256 of the file's bytes, remembered while its size and modification time stay."""
    try:
        about = path.stat()
        key = (str(path.resolve()), about.st_size, about.st_mtime_ns)
        if key not in _digests:
            with path.open("rb") as file:
                _digests[key] = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}): give a weights file that can") from error
    return _digests[key]


def state_digest(module: nn.Module) -> str:
    """SHA-256 over names, types, shapes and values of all parameters and buffers."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        if isinstance(value, torch.Tensor):
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
            digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def read_state(path: Path) -> State:
    """Name -> tensor, on the CPU, with wrapper prefixes taken off.

    Raises ModelError for a file that is no checkpoint, holds code, or holds something other than tensors.
    """
    content = _safetensors(path) if _is_safetensors(path) else _unpickle(path)
    for key in _INSIDE:
        inner = content.get(key) if isinstance(content, Mapping) else None
        if isinstance(inner, Mapping) and inner:
            content = inner
            break
    if (
        not isinstance(content, Mapping)
        or not content
        or not all(isinstance(v, torch.Tensor) for v in content.values())
    ):
        held = f"a {type(content).__name__}"
        if isinstance(content, Mapping):
            held = f"a dictionary with {', '.join(repr(str(key)) for key in list(content)[:5]) or 'nothing in it'}"
        raise ModelError(
            f"{path} is no checkpoint: wanted a state dict, or one under {' or '.join(map(repr, _INSIDE))}; found {held}"
        )
    return _unwrapped({str(name): tensor for name, tensor in content.items()})


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Name -> shape of what `read_state` would give, without reading the numbers. Raises as it does."""
    if not _is_safetensors(path):
        return {name: tuple(tensor.shape) for name, tensor in read_state(path).items()}  # an archive is only mapped
    from safetensors import safe_open

    with _sound(path), safe_open(str(path), framework="pt") as file:
        return _unwrapped({name: tuple(file.get_slice(name).get_shape()) for name in file.keys()})  # noqa: SIM118


def _unwrapped(state: dict[str, V]) -> dict[str, V]:
    while state and (wrapper := next((w for w in _WRAPPERS if all(name.startswith(w) for name in state)), None)):
        state = {name.removeprefix(wrapper): tensor for name, tensor in state.items()}
    return state


def fit_state(module: nn.Module, state: State, path: Path | str, what: str, optional: Iterable[str] = ()) -> None:
    """Copy `state` into `module`, every tensor of it. Names in `optional` may be missing.

    Raises ModelError naming the first tensors that are missing, unexpected, of another shape or no plain floats.
    """
    own = module.state_dict()
    spare = (*_DERIVED, *optional)
    missing = [name for name in own if name not in state and not name.endswith(spare)]
    unexpected = [name for name in state if name not in own and not name.endswith(_DERIVED)]
    reshaped = [
        f"{name} ({_shape(state[name])} in the file, {_shape(own[name])} in the model)"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    strange = [
        f"{name} ({state[name].dtype}{'' if _plain(state[name]) else ', sparse or empty'})"
        for name, tensor in own.items()
        if name in state
        and not name.endswith(_DERIVED)
        and (not _plain(state[name]) or state[name].is_floating_point() != tensor.is_floating_point())
    ]  # quantised weights without their scales would load, and give wrong numbers quietly
    counts = (
        (missing, "missing"),
        (unexpected, "not in the model"),
        (reshaped, "of another shape"),
        (strange, "of another kind of number"),
    )
    wrong = [f"{len(names)} {kind} ({_some(names)})" for names, kind in counts if names]
    if wrong:
        raise ModelError(
            f"{path} does not fit {what}: of its tensors {'; '.join(wrong)}. Name the architecture the file was made with"
        )
    module.load_state_dict({name: tensor for name, tensor in state.items() if name in own}, strict=False)


def _plain(tensor: torch.Tensor) -> bool:
    return tensor.layout is torch.strided and not tensor.is_meta


def _some(names: list[str], limit: int = 3) -> str:
    return ", ".join(names[:limit]) + (", …" if len(names) > limit else "")


def _shape(tensor: torch.Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "scalar"


def _is_safetensors(path: Path) -> bool:
    """By content, not by suffix: eight bytes of header length, then a JSON object."""
    try:
        with path.open("rb") as file:
            head = file.read(9)
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}): give a weights file that can") from error
    return len(head) == 9 and head[8:] == b"{" and struct.unpack("<Q", head[:8])[0] < path.stat().st_size


def _safetensors(path: Path) -> Any:
    from safetensors.torch import load_file

    with _sound(path):
        return load_file(str(path))


@contextmanager
def _sound(path: Path) -> Iterator[None]:
    from safetensors import SafetensorError

    try:
        yield
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} is a damaged safetensors file ({error}): fetch or save it again") from error


def _unpickle(path: Path) -> Any:
    """torch.load that runs no code. argparse.Namespace, which training scripts store, is plain data and allowed."""
    try:
        archive = zipfile.is_zipfile(path)
        if archive and _is_torchscript(path):
            raise ModelError(
                f"{path} is a TorchScript program, which is code and not only weights: save its state_dict() and give that"
            )
        with torch.serialization.safe_globals([argparse.Namespace]):
            # an archive is mapped, so that optimizer states beside the weights are never read
            return torch.load(path, map_location="cpu", weights_only=True, mmap=archive)
    except (ModelError, MemoryError):
        raise
    except Exception as error:  # damaged bytes can raise anything
        message = str(error)
        if match := re.search(r"GLOBAL (\S+)|(?:class|type) (\S+\.\S+)|Unsupported global: \S+ (\S+)", message):
            name = next(filter(None, match.groups())).rstrip(".,`'")
            raise ModelError(
                f"{path} holds code or objects ({name}), which reading would run, so it is refused: "
                "save the state_dict() alone, with torch.save or safetensors, and give that"
            ) from None
        raise ModelError(
            f"{path} is no checkpoint that can be read ({type(error).__name__}, {path.stat().st_size} bytes): "
            "wanted a state dict saved by torch.save, or safetensors"
        ) from None


def _is_torchscript(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


@contextmanager
def weights_from_network(what: str, instead: str) -> Iterator[None]:
    """Inside, libraries fetch weights; a failure becomes one sentence that says how to give a file (`instead`).

    Where the hub's name cannot even be resolved and no proxy is set, the hub client is told that it is offline, so that it
    looks in its cache and then gives up at once, not after a minute of retries.
    """
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not _resolvable(constants.ENDPOINT)
    try:
        yield
    except (ModelError, UnknownModel):
        raise
    except (OSError, RuntimeError, ValueError, LookupError, ImportError) as error:
        reason = (
            "this machine is offline" if constants.HF_HUB_OFFLINE else f"{type(error).__name__}: {_first_line(error)}"
        )
        raise ModelError(f"{what} could not be fetched ({reason}): {instead}") from error
    finally:
        constants.HF_HUB_OFFLINE = before


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0][:200]


def _resolvable(url: str) -> bool:
    if urllib.request.getproxies() or os.environ.get("HF_HUB_OFFLINE"):
        return True
    try:
        socket.getaddrinfo(urlsplit(url).hostname, 443)
    except OSError:
        return False
    return True
