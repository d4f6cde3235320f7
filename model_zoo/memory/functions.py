"""Functions that hang on a module (hooks, a forward of its own), copied with what they read beside their arguments.

`copy.deepcopy` shares functions: a hook that collects activations in a list would collect those of the copy too, and a forward
that closes over the original would run it.
"""

from __future__ import annotations

import copy
import types
from typing import Any

import torch
from torch import nn

_HOOKS = ("_forward_hooks", "_forward_pre_hooks")
_CONTENTS = (list, dict, set, torch.Tensor, nn.Module, types.MethodType)  # what a copy of a function has a copy of


def separate_functions(twin: nn.Module, memo: dict[int, Any]) -> None:
    """Give a copy's functions their own closures.

    memo  deepcopy's own, from the copying of the original into `twin`: what it holds of the original becomes the copy's
    """
    for layer in twin.modules():
        for name, value in vars(layer).items():
            if isinstance(value, types.FunctionType):
                vars(layer)[name] = _copied(value, memo)
        for kind in _HOOKS:
            hooks = vars(layer).get(kind, {})
            for number, hook in hooks.items():
                if isinstance(hook, types.FunctionType):
                    hooks[number] = _copied(hook, memo)


def _copied(function: types.FunctionType, memo: dict[int, Any]) -> Any:
    if id(function) in memo:
        return memo[id(function)]
    compiled = getattr(function, "_torchdynamo_orig_callable", None)
    if compiled is not None:  # torch.compile(module.forward): what was compiled runs uncompiled, to the same answers
        return _contents(compiled, memo)
    around = _of_a_script(function)
    if not function.__closure__ and not around:
        return function
    cells = tuple(types.CellType() for _ in function.__closure__ or ())
    names = {**function.__globals__} if around else function.__globals__
    made = types.FunctionType(function.__code__, names, function.__name__, function.__defaults__, cells or None)
    made.__kwdefaults__, made.__dict__ = function.__kwdefaults__, dict(function.__dict__)
    memo[id(function)] = made
    for name in around:
        names[name] = _contents(names[name], memo)
    for cell, own in zip(cells, function.__closure__ or ()):
        try:
            cell.cell_contents = _contents(own.cell_contents, memo)
        except ValueError:  # a name that is not bound yet
            continue
    return made


def _of_a_script(function: types.FunctionType) -> list[str]:
    """Global collections, tensors and modules that a function of the user's reads by name; none for a library's."""
    if "site-packages" in function.__code__.co_filename:
        return []
    of = function.__globals__
    return [name for name in function.__code__.co_names if isinstance(of.get(name), _CONTENTS)]


def _contents(value: Any, memo: dict[int, Any]) -> Any:
    if isinstance(value, types.FunctionType):
        return _copied(value, memo)
    if not isinstance(value, _CONTENTS):
        return value
    try:
        made = copy.deepcopy(value.detach() if isinstance(value, torch.Tensor) else value, memo)
        return made.eval().requires_grad_(False) if isinstance(made, nn.Module) else made
    except Exception:  # a container of what cannot be copied (an open file, a lock) stays shared
        return value
