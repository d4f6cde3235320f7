"""Evaluating an object: a copy of it is run, and nothing that a training loop depends on is left changed.

Random states, autocast and torch's threads are as they were, also where the pass fails.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch

from effrob.errors import UsageProblem
from effrob.evaluation.evaluator import Evaluation, EvaluationReport
from effrob.evaluation.request import Request
from effrob.evaluation.worker import ENCODERS
from model_zoo.memory.model import from_memory
from model_zoo.memory.random_states import kept_random_states
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

    Where several evaluations run at once, in threads, the last restores the states of before the first.
    """
    with (
        kept_random_states(),
        torch.autocast("cpu", enabled=False),
        torch.autocast("cuda", enabled=False),
    ):
        yield
