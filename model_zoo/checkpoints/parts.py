"""Which weights of a file are meant: a bare state dict, one of several kept under keys, raw or averaged; `FILE#PART` says it.

Averaged weights (EMA, a DINO teacher) go before raw ones where a file holds both, as timm takes them, and a note says so.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from model_zoo.checkpoints.averages import averaged, averages_in, without_averages
from model_zoo.checkpoints.files import contents, existing, file_digest, is_mapping_of_tensors, shapes
from model_zoo.errors import ModelError, listed
from model_zoo.spec import PART, weights_path

State = dict[str, torch.Tensor]

PLAIN = (
    "state_dict",
    "model",
    "model_state_dict",
)  # open_clip's and Lightning's, timm's and torchvision's, many others'
RAW = (*PLAIN, "module", "net", "network", "weights", "params", "student")
AVERAGED = (
    "state_dict_ema",
    "model_ema",
    "ema",
    "ema_state_dict",
    "model_ema_state_dict",
    "ema_model",
    "params_ema",
    "swa_state_dict",
    "teacher",
)
_BESIDE = re.compile(
    r"optim|sched|scaler|loss|criterion|^amp$|rng|loops|callback|hyper|args|config|center|queue|meter|metric|shapes|^lr_",
    re.I,
)
WRAPPERS = (
    "module.",
    "_orig_mod.",
    "_forward_module.",
)  # DistributedDataParallel's, torch.compile's, Lightning Fabric's
_INSIDE_NAMES = re.compile(r"(?<![^.])(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")


@dataclass(frozen=True)
class WeightsFile:
    """A weights file and, where one was named after a #, the part of it that is meant."""

    path: Path
    part: str | None = None


@dataclass(frozen=True)
class Weights:
    """A state dict with wrapper prefixes taken off, the key it was under, what stands beside it, and what to tell the user.

    about  plain values of the file: `args`, `arch`, `epoch`, `hyper_parameters`
    """

    state: State
    part: str | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def weights_file(text: str, wanted: str) -> WeightsFile:
    """The file, and the part, that `FILE` or `FILE#PART` names. Raises UnknownModel saying `wanted` where there is none."""
    path, part = weights_path(text)
    return WeightsFile(existing(str(path), wanted), part)


def is_weights_file(text: str) -> bool:
    """Whether `text` names a file, or a part of one."""
    return weights_path(text)[0].is_file()


def weights_digest(file: WeightsFile, weights: Weights) -> str:
    """What decides the numbers: the file's bytes, and the part where it is not the plain one."""
    digest = file_digest(file.path)
    part = f"{weights.part or ''}{PART}{file.part}" if file.part else weights.part
    return digest if part is None or part in PLAIN else f"{digest}{PART}{part}"


def read_weights(file: WeightsFile) -> Weights:
    """The weights `file` means. Raises ModelError where it holds none, or several and none was named."""
    content = contents(file.path)
    if not isinstance(content, Mapping):
        raise _no_weights(file.path, f"a {type(content).__name__}")
    candidates = _candidates(content)
    if not candidates:
        if not is_mapping_of_tensors(content):
            held = ", ".join(repr(str(key)) for key in list(content)[:5]) or "nothing in it"
            raise _no_weights(file.path, f"a dictionary with {held}")
        if file.part:
            return Weights(_cleaned(_under(content, file.part, file)))
        return _averaged_first(Weights(_cleaned(content)), file)
    about = _about(content)
    if file.part is not None:
        key, state = _named(candidates, file)
        state = _cleaned(state)
        inside = averages_in(state)
        return Weights(without_averages(state, inside) if inside else state, key, about)
    key, notes = _chosen(candidates, file.path)
    unread = [name for name in AVERAGED if content.get(name) and name not in candidates]
    if unread and key not in AVERAGED:
        notes += (
            f"{file.path.name} holds {unread[0]} in a form that is no state dict: the raw weights ({key}) are taken",
        )
    state = candidates[key]
    if any(name in content for name in ("ds_version", "param_shapes")) and not all(t.numel() for t in _tensors(state)):
        raise ModelError(
            f"{file.path} is one rank's part of a DeepSpeed checkpoint: consolidate it with the zero_to_fp32.py beside it, "
            "and give the file that writes"
        )
    return _averaged_first(Weights(_cleaned(state), key, about, notes), file)


def outline(file: WeightsFile) -> tuple[dict[str, tuple[int, ...]], Weights]:
    """Name -> shape of what `read_weights` would give, and those weights without their numbers where they need not be read."""
    known = shapes(file.path)
    if known is not None and file.part is None and averages_in(known) is None:
        return _renamed(known), Weights({})
    weights = read_weights(file)
    return {name: tuple(tensor.shape) for name, tensor in weights.state.items()}, weights


def _averaged_first(weights: Weights, file: WeightsFile) -> Weights:
    """The averages in place of the raw weights where a state dict holds both under its names, with a note that says so."""
    part = averages_in(weights.state)
    if part is None:
        return weights
    heads = [head for head in _heads(weights.state) if head != part.partition(".")[0]]
    raw = weights.part or (heads[0] if len(heads) == 1 else None)
    how = f"{file.path.name}{PART}{raw} means the raw ones" if raw else f"for the raw ones save a file without {part}"
    note = (
        f"{file.path.name} holds raw weights and their averages ({part}): the averaged ones are taken, as "
        f"{file.path.name}{PART}{part} says too; {how}"
    )
    return Weights(
        averaged(weights.state, part, file.path),
        f"{weights.part or ''}{PART}{part}",
        weights.about,
        (*weights.notes, note),
    )


def _no_weights(path: Path, held: str) -> ModelError:
    return ModelError(
        f"{path} is no checkpoint: wanted a state dict, or one under {' or '.join(map(repr, PLAIN))}; found {held}"
    )


def _tensors(state: Mapping[str, Any]) -> list[torch.Tensor]:
    return [value for value in state.values() if isinstance(value, torch.Tensor)]


def _candidates(content: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Key -> state dict, for every one the file keeps; optimizer states and the like are none."""
    states: dict[str, Mapping[str, Any]] = {}
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, Mapping) or _BESIDE.search(key):
            continue
        if is_mapping_of_tensors(value):
            states[key] = value
        elif key in (*RAW, *AVERAGED):
            inner = [value[name] for name in RAW if is_mapping_of_tensors(value.get(name))]
            if inner:
                states[key] = inner[0]
    return states


def _chosen(candidates: Mapping[str, Mapping[str, Any]], path: Path) -> tuple[str, tuple[str, ...]]:
    """The key that is meant where none was named, and what to say of it."""
    averaged = [key for key in candidates if key in AVERAGED]
    raw = [key for key in candidates if key in RAW]
    if len(candidates) == 1:
        return next(iter(candidates)), ()
    if len(averaged) == 1 and len(raw) == 1 and len(candidates) == 2:
        return averaged[0], (
            f"{path.name} holds raw ({raw[0]}) and averaged weights ({averaged[0]}): the averaged ones are taken, as timm "
            f"takes them; {path.name}{PART}{raw[0]} means the raw ones",
        )
    if len(raw) == 1 and not averaged:
        others = [key for key in candidates if key not in raw]
        if not set(candidates[raw[0]]) & set().union(*(candidates[key] for key in others)):
            return raw[0], ()  # the others are no copies of this network
    raise ModelError(
        f"{path} holds several sets of weights, {listed(list(candidates))}: name one after a {PART}, "
        f"as {path}{PART}{next(iter(candidates))}"
    )


def _named(candidates: Mapping[str, Mapping[str, Any]], file: WeightsFile) -> tuple[str, Mapping[str, Any]]:
    """The state dict under the part that was named: a key of the file, or a prefix of the names inside one."""
    assert file.part is not None
    if file.part in candidates:
        return file.part, candidates[file.part]
    head, _, rest = file.part.partition(".")
    if rest and head in candidates:
        return head, _under(candidates[head], rest, file)
    for key, state in candidates.items():
        if any(name.startswith(f"{file.part}.") for name in _cleaned(state)):
            return key, _under(state, file.part, file)
    raise ModelError(
        f"{file.path} has no part {file.part!r}: it holds {listed(list(candidates))}, "
        f"with names under {listed(_heads(next(iter(candidates.values()))))}"
    )


def _under(state: Mapping[str, Any], part: str, file: WeightsFile) -> Mapping[str, Any]:
    prefix = f"{part}."
    cleaned = _cleaned(state)
    if averages_in(cleaned) == part:
        return averaged(cleaned, part, file.path)
    chosen = {name.removeprefix(prefix): value for name, value in cleaned.items() if name.startswith(prefix)}
    if not chosen:
        raise ModelError(f"{file.path} has no names under {prefix!r}: it has {listed(_heads(cleaned))}")
    return chosen


def _heads(state: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys(name.partition(".")[0] for name in state))


def _cleaned(state: Mapping[str, Any]) -> State:
    """The tensors of a state dict, with the prefixes of wrappers taken off."""
    tensors = {str(name): value for name, value in state.items() if isinstance(value, torch.Tensor)}
    tensors.pop("n_averaged", None)  # torch.optim.swa_utils.AveragedModel counts in it
    return _renamed(tensors)


def _renamed(state: dict[str, Any]) -> dict[str, Any]:
    state = {_INSIDE_NAMES.sub("", name): value for name, value in state.items()}
    while state and (wrapper := next((w for w in WRAPPERS if all(name.startswith(w) for name in state)), None)):
        state = {name.removeprefix(wrapper): value for name, value in state.items()}
    return state


def _about(content: Mapping[str, Any]) -> dict[str, Any]:
    """The plain values beside the weights; a Namespace of arguments as a dictionary."""
    plain: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, argparse.Namespace):
            plain[str(key)] = dict(vars(value))
        elif isinstance(value, (str, int, float, bool)) or (key in ("args", "hyper_parameters", "config")):
            plain[str(key)] = value
    return plain
