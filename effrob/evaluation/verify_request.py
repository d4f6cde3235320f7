"""What a record was asked, as a request that asks it again: its set, head, prompts, and what its head learnt from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import numpy as np

import shifts
from effrob.errors import UsageProblem
from effrob.evaluation.data import load_set
from effrob.evaluation.request import Request
from effrob.results.record import EvalRecord


def request_of(record: EvalRecord, spec: str, suite: str | None = None, **options: Any) -> Request:
    """The request that asks a model what the record was asked; options are fields of Request, None for what the record says.

    Raises UsageProblem for a record of answers made elsewhere, and where its training set is not at hand.
    """
    asked = record.asked
    if record.origin != "measured":
        raise UsageProblem(
            "the record's answers were made elsewhere and imported: effrob does not know how the model was asked, so it cannot "
            f"ask again; evaluate it with `effrob eval --model SPEC --shift {asked.shift}`"
        )
    made = Request(
        (spec,),
        (asked.shift,),
        suite or shifts.suite_of(asked.shift).name,
        (asked.head,),
        () if asked.prompts is None else (options.pop("prompts", None) or asked.prompts,),
        protocol=asked.protocol,
        precision=asked.precision,
        pixels=cast(Any, asked.pixel_path),
        partial=True,
        allow_nondeterminism=bool(record.resolved.get("nondeterminism")),
        **{name: value for name, value in options.items() if name != "prompts"},
    )
    learnt = learnt_from(record)
    return made if learnt is None else _with_training(made, learnt)


def learnt_from(record: EvalRecord) -> Mapping[str, Any] | None:
    """What a record says of the set that its head learnt from (`name`, `rows`, ...); None for a head that learnt nothing."""
    told = [facts.get("train") for facts in record.resolved.values() if isinstance(facts, Mapping)]
    return next((each for each in told if isinstance(each, Mapping) and isinstance(each.get("name"), str)), None)


def _with_training(request: Request, learnt: Mapping[str, Any]) -> Request:
    """With the training set of the record, where none was named, and the limit a class by which it has so many images."""
    name, rows = request.train or str(learnt["name"]), learnt.get("rows")
    request = replace(request, train=name)
    try:
        targets = load_set(request, name).targets
    except (shifts.DataMissing, shifts.DataError) as error:
        raise UsageProblem(
            f"the record's head learnt from {learnt['name']}, and {name} cannot be read ({error}); name the set or the "
            "folder of the list with --train"
        ) from None
    if request.train_limit is not None or type(rows) is not int or rows >= len(targets):
        return request
    counts = np.bincount(targets)
    limits = np.arange(1, int(counts.max(initial=1)) + 1)
    fitting = limits[[int(np.minimum(counts, limit).sum()) == rows for limit in limits]]
    return replace(request, train_limit=int(fitting[0])) if len(fitting) else request
