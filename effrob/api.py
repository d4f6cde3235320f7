"""The Python face of `effrob eval`. Imports torch only when something is evaluated."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from effrob.evaluation.request import Request
from effrob.robustness.lines import LineOptions
from effrob.robustness.rows import Row, rows_of


def evaluate(
    model: str | Sequence[str],
    shifts: str | Sequence[str] | None = None,
    *,
    suite: str = "imagenet",
    data: str | PathLike[str] | None = None,
    head: str | Sequence[str] = (),
    prompts: str | Sequence[str] = (),
    results: str | PathLike[str] = "effrob-results",
    line: LineOptions | None = None,
    **options: Any,
) -> list[Row]:
    """Evaluate one model or several; a row each (model, shift, head, prompts), in the order asked.

    `options` are the fields of `effrob.evaluation.request.Request` (protocol, cache, device, precision, pixels,
    batch_size, limit, partial, engine, progress, ...). Raises what the command line turns into exit 2; RunFailed where a
    job failed, once all others are done and kept.
    """
    from effrob.errors import RunFailed
    from effrob.evaluation.evaluator import evaluate_request, say

    request = Request(
        models=_several(model),
        shifts=None if shifts is None else _several(shifts),
        suite=suite,
        data=None if data is None else Path(data),
        heads=_several(head),
        prompts=_several(prompts),
        results=Path(results),
        **options,
    )
    report = evaluate_request(request)
    say(report)
    if report.failures:
        raise RunFailed("; ".join(report.failures))
    return rows_of(report.stored, line or LineOptions())


def _several(value: str | Sequence[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)
