"""Evaluating an object: a copy of it is run, and nothing that a training loop depends on is left changed.

Random states, autocast and torch's threads are as they were, also where the pass fails.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from effrob.errors import UsageProblem
from effrob.evaluation.evaluator import Evaluation, EvaluationReport
from effrob.evaluation.request import Request
from effrob.evaluation.worker import ENCODERS
from model_zoo.memory.model import from_memory
from model_zoo.offered import offering
from model_zoo.registration import check_name


def evaluate_object(
    request: Request, model: Any, preprocess: object, name: str | None, features: str | None
) -> EvaluationReport:
    """Evaluate a module, or (module, tokenizer), under a name; `request` says all else.

    Raises UsageProblem for another engine than the local one, ModelError for an object that is no model.
    """
    if request.engine != "local":
        raise UsageProblem(
            "an object is evaluated in this process: leave engine out, or save the model and register it"
        )
    module, tokenizer = model if isinstance(model, tuple) else (model, None)
    called = name or type(module).__name__
    check_name(called)
    with undisturbed():
        given = from_memory(module, preprocess, called, tokenizer, features)
        try:
            with offering({called: given}):
                return Evaluation(replace(request, models=(called,))).run()
        finally:
            ENCODERS.clear()


@contextmanager
def undisturbed() -> Iterator[None]:
    """Random states restored at the end, and no autocast inside: a training step before and after are as if without.

    Where several evaluations run at once, in threads, the first saves the states and the last restores them.
    """
    with _counting:
        if not _running:
            _before[:] = [_random_states()]
        _running.append(None)
    try:
        with torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
            yield
    finally:
        with _counting:
            _running.pop()
            if not _running:
                _restore(_before.pop())


_counting = threading.Lock()
_running: list[None] = []
_before: list[tuple[Any, Any, torch.Tensor, list[torch.Tensor]]] = []


def _random_states() -> tuple[Any, Any, torch.Tensor, list[torch.Tensor]]:
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    return random.getstate(), np.random.get_state(), torch.random.get_rng_state(), devices


def _restore(states: tuple[Any, Any, torch.Tensor, list[torch.Tensor]]) -> None:
    random.setstate(states[0])
    np.random.set_state(states[1])
    torch.random.set_rng_state(states[2])
    if states[3]:
        torch.cuda.set_rng_state_all(states[3])
