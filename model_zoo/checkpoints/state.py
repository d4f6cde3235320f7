"""A state dict put into a network: its own names found under any consistent prefix, and every tensor accounted for.

`fit_state` compares a file with whatever module it is meant for, and says what does not fit.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from model_zoo.checkpoints.parts import State, WeightsFile, read_weights
from model_zoo.errors import ModelError, listed
from model_zoo.spec import PART

V = TypeVar("V")

_DERIVED = (  # buffers that older versions stored: computed from the architecture, so a file may have or lack them
    "num_batches_tracked",
    "relative_position_index",
    "relative_coords_table",
    "attn_mask",
    "position_ids",
)
ENOUGH = 0.4  # of a network's names under a prefix: the rest may be named otherwise and converted


def state_digest(module: nn.Module) -> str:
    """SHA-256 over names, types, shapes and values of all parameters and buffers."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        if isinstance(value, torch.Tensor):
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
            digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def read_state(path: Path) -> State:
    """Name -> tensor, on the CPU, with wrapper prefixes taken off; see `parts.read_weights` for which. Raises ModelError."""
    return read_weights(WeightsFile(path)).state


def under_prefix(state: dict[str, V], own: Collection[str], path: Path | str) -> dict[str, V]:
    """`state` without the prefix that a trainer put before a network's names (`model.`, `backbone.`, `encoder.`).

    own  the network's names. What lies outside the prefix is left aside. Raises ModelError where two prefixes hold the whole
    network, and where LoRA's matrices lie beside it.
    """
    lora = next((name for name in state if "lora_" in name), None)
    if lora is not None:
        raise ModelError(
            f"{path} holds LoRA's matrices ({lora}) beside the weights: merge them first, with merge_and_unload() of peft, "
            "and save the merged state_dict()"
        )
    wanted = {name for name in own if not name.endswith(_DERIVED)}
    pivots = sorted(wanted, key=len)[-3:]
    prefixes = {name.removesuffix(pivot) for pivot in pivots for name in state if name.endswith(f".{pivot}")}
    held = {prefix: sum(f"{prefix}{name}" in state for name in wanted) for prefix in ("", *sorted(prefixes))}
    whole = [prefix for prefix, count in held.items() if count == len(wanted)]
    if len(whole) > 1:
        named = [repr(prefix) if prefix else "no prefix" for prefix in whole]
        inner = next(prefix for prefix in whole if prefix).rstrip(".")
        raise ModelError(
            f"{path} holds this network several times, under {' and '.join(named)}: "
            f"choose one by its prefix, as {path}{PART}{inner}"
        )
    best = whole[0] if whole else max(held, key=lambda prefix: held[prefix])
    if best and (whole or held[best] >= ENOUGH * len(wanted)):
        return {name.removeprefix(best): value for name, value in state.items() if name.startswith(best)}
    heads = Counter(name.partition(".")[0] for name in state)
    head = next(iter(heads), "")
    if len(heads) == 1 and not any(name.startswith(f"{head}.") for name in own):
        return {name.removeprefix(f"{head}."): value for name, value in state.items()}
    return state


def fit_state(module: nn.Module, state: State, path: Path | str, what: str, optional: Iterable[str] = ()) -> None:
    """Copy `state` into `module`, every tensor of it. Names in `optional` may be missing.

    Raises ModelError naming the first tensors that are missing, unexpected, of another shape or no plain floats.
    """
    own = module.state_dict()
    state = under_prefix(state, own, path)
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
    wrong = [f"{len(names)} {kind} ({listed(names, 3)})" for names, kind in counts if names]
    if wrong:
        raise ModelError(
            f"{path} does not fit {what}: of its tensors {'; '.join(wrong)}. {_remedy(missing, unexpected, reshaped, what)}"
        )
    module.load_state_dict({name: tensor for name, tensor in state.items() if name in own}, strict=False)


def _plain(tensor: torch.Tensor) -> bool:
    return tensor.layout is torch.strided and not tensor.is_meta


def _shape(tensor: torch.Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "scalar"


def _remedy(missing: list[str], unexpected: list[str], reshaped: list[str], what: str) -> str:
    """What mends a misfit: another name, another width, or the prefix that the file's names have."""
    if missing and unexpected and not reshaped:
        heads = sorted({name.partition(".")[0] for name in unexpected})
        return (
            f"Name the architecture the file was made with in place of {what}; where it is this one, its names need the "
            f"prefix of {listed(heads, 3)} stripped or renamed: save them so, or name the part after a {PART}"
        )
    return "Name the architecture the file was made with"
