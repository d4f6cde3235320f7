"""The Python face of `effrob eval`. Imports torch only when something is evaluated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from effrob.evaluation.request import Request
from effrob.result_rows import ResultRows
from effrob.robustness.given_rows import place as placed
from effrob.robustness.lines import LineOptions
from effrob.robustness.rows import rows_of


def place(
    accuracies: Mapping[str, float | str] | str | PathLike[str], name: str | None = None, **options: Any
) -> ResultRows:
    """Effective robustness of accuracies you already have: {set: accuracy} of one model, or the path of a CSV of models.

    name      of the model, or of the table
    options   unit (auto, percent, fraction), n (set -> number of images), protocol, suite (of your own), baseline, axis, scale.
              axis None: class-matched clean accuracy where it is given (`imagenet-r-clean`), else all classes; rows say which

    Raises UsageProblem for what is no accuracy, for two units at once, and where the axis asked for is not given.
    """
    return ResultRows(placed(accuracies, name, **options))


def evaluate(
    model: Any,
    shifts: str | Sequence[str] | None = None,
    *,
    preprocess: object = None,
    name: str | None = None,
    features: str | None = None,
    suite: str | PathLike[str] = "imagenet",
    data: str | PathLike[str] | None = None,
    head: str | Sequence[str] = (),
    prompts: str | Sequence[str] = (),
    results: str | PathLike[str] = "effrob-results",
    line: LineOptions | None = None,
    **options: Any,
) -> ResultRows:
    """Evaluate one model or several; a row each (model, shift, head, prompts), in the order asked.

    `model` is a spec, several of them, or an object: a torch.nn.Module, or (module, tokenizer) for one with a text tower. An
    object comes with `preprocess` (PIL image -> (3, H, W) tensor, a PixelSpec, or KEY=VALUE,… as `--pixels`) and a `name`
    for its rows; `features` names a layer to take features at. It is left as it is, weights, buffers, mode, gradients, hooks,
    device and random states: what is run is a copy, identified by the digest of what it computes with at that call.

    `options` are the other options of `effrob eval` (protocol, cache, device, precision, pixels, batch_size, limit, partial,
    train, engine, progress, ...). Raises what the command line turns into exit 2; RunFailed where a job failed, once all
    others are done and kept: its `rows` are those that were finished.
    """
    from effrob.errors import RunFailed
    from effrob.evaluation.evaluator import evaluate_request, say

    specs = _specs(model)
    request = Request(
        models=specs or ("object",),
        shifts=None if shifts is None else _several(shifts),
        suite=str(suite),
        data=None if data is None else Path(data),
        heads=_several(head),
        prompts=_several(prompts),
        results=Path(results),
        **options,
    )
    if specs is not None:
        report = evaluate_request(request)
    else:
        from effrob.evaluation.in_memory import evaluate_object

        report = evaluate_object(request, model, preprocess, name, features)
    say(report)
    rows = ResultRows(rows_of(report.stored, line or LineOptions()))
    if report.failures:
        raise RunFailed("; ".join(report.failures), rows)
    return rows


def _specs(model: Any) -> tuple[str, ...] | None:
    """The specs of models that are named; None for an object."""
    if isinstance(model, str):
        return (model,)
    if isinstance(model, Sequence) and all(isinstance(each, str) for each in model):
        return tuple(model)
    return None


def _several(value: str | Sequence[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)
