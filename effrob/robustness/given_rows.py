"""Rows of accuracies a user gives: each judged on the axis its clean accuracy is of, and told in a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import shifts
from effrob.errors import UsageProblem
from effrob.results.accuracy import Accuracy
from effrob.results.given.columns import set_size
from effrob.results.given.table import GivenOptions, GivenTable, given_numbers, read_given
from effrob.results.model_result import AXES, ModelResult
from effrob.robustness.effective import Effective
from effrob.robustness.lines import LineOptions, Lines, judge
from effrob.robustness.rows import ROBUSTNESS, Row
from effrob.robustness.sentences import disputed_words, result_sentence
from effrob.robustness.significance import adjust
from shifts.declared.suite import Suite


def place(
    accuracies: Mapping[str, float | str] | str | PathLike[str],
    name: str | None = None,
    *,
    unit: str = "auto",
    n: Mapping[str, int] | None = None,
    protocol: str | None = None,
    suite: str | None = None,
    baseline: str | None = None,
    axis: str | None = None,
    scale: str = "logit",
) -> list[Row]:
    """Effective robustness of accuracies you already have: {set: accuracy} of one model, or the path of a CSV of models.

    name   of the model, or of the table;  n  set -> number of images, the official one by default
    suite  one of your own, by name or TOML file, whose sets then go by their short names
    axis   None: class-matched clean accuracy where it is given (`imagenet-r-clean`), else all classes; each row says which

    Raises UsageProblem for what is no accuracy, for two units at once, and where the axis asked for is not given.
    """
    stated: dict[str, Any] = {} if protocol is None else {"protocol": protocol}
    options = GivenOptions(unit, dict(n or {}), name=name, suite=named_suite(suite), **stated)
    if isinstance(accuracies, Mapping):
        table = given_numbers(accuracies, options)
    else:
        table = read_given(Path(accuracies), options)
    if axis is not None and axis not in AXES:
        raise UsageProblem(f"axis is clean or full; got {axis!r}")
    return given_rows(table, LineOptions(baseline, axis or "clean", scale), axis)


def named_suite(name: str | None) -> Suite | None:
    """A suite by name or file, known from now on to every table of this process; None for None."""
    if name is None:
        return None
    outcome = shifts.suite(name)
    if outcome.declares_places:
        shifts.declare(outcome)
    return outcome


def given_rows(table: GivenTable, options: LineOptions, axis: str | None = None) -> list[Row]:
    """A row a model and shift, in the table's order; p-values adjusted (Holm) for all of them.

    axis  the one asked for, or None: clean where a shift's class-matched accuracy is given, else full
    """
    lines = Lines(options)
    judged = [_judged(result, shift, options, lines, axis) for result in table.results for shift in result.accuracies]
    rows = [row for row, _ in judged]
    if not rows:
        raise UsageProblem(
            f"{table.name} has clean accuracies alone: effective robustness wants a shifted set too, as in imagenet-r=0.712"
        )
    adjusted = adjust([row.robustness["p_value"] for row in rows], "holm")
    return [
        replace(
            row,
            robustness={**row.robustness, "p_adjusted": p},
            sentence=" ".join([_sentence(row, effective, p), *disputed_words(row.disputed)]),
        )
        for (row, effective), p in zip(judged, adjusted)
    ]


def _sentence(row: Row, effective: Effective | None, p_adjusted: float | None) -> str:
    counts = Accuracy(row.n_correct, row.n)
    return result_sentence(row.model, row.shift, counts, effective, row.why_not, p_adjusted)


def axis_notices(rows: Sequence[Row]) -> list[str]:
    """A sentence for each shift whose axis the numbers decided, where that was the full one."""
    outcome: dict[str, int] = {}
    for row in rows:
        if row.axis == "full" and row.robustness["effective_robustness"] is not None:
            outcome[row.shift] = outcome.get(row.shift, 0) + 1
    return [
        f"{shift}: {'the model stands' if k == 1 else f'{k} models stand'} on the full axis, ordinary accuracy over all "
        f"classes, as {shift}-clean is not given"
        for shift, k in outcome.items()
        if not set_size(shift).same_classes
    ]


def axis_of(result: ModelResult, shift: str, asked: str | None) -> str:
    """The axis a given accuracy is judged on. Raises UsageProblem where the clean one is asked for and not given."""
    if asked != "clean":
        return asked or ("clean" if shift in result.clean else "full")
    if shift in result.clean:
        return "clean"
    size = set_size(shift)
    if size.same_classes:
        raise UsageProblem(f"{result.model}: {shift} wants the accuracy on {size.clean_set} beside it: give it")
    ordinary = (
        f"; {size.clean_set} is ordinary accuracy, over all classes, and does not belong there"
        if result.full(shift) is not None
        else ""
    )
    raise UsageProblem(
        f"{result.model}: the clean axis of {shift} wants {size.clean_set} accuracy among its own classes{ordinary}: give "
        f"{shift}-clean, or use --axis full"
    )


def _judged(
    result: ModelResult, shift: str, options: LineOptions, lines: Lines, asked: str | None
) -> tuple[Row, Effective | None]:
    axis = axis_of(result, shift, asked)
    line = lines.at(shift, axis)
    effective, why_not = (None, line) if isinstance(line, str) else (judge(line, result), None)
    if why_not is None and effective is None:
        wanted = set_size(shift).clean_set
        why_not = f"no clean accuracy is given: add {wanted} or {shift}-clean"
    robustness: dict[str, Any] = dict.fromkeys((*ROBUSTNESS, "p_value", "p_adjusted", "equivalence"))
    robustness |= {"baseline": options.baseline_for(shift), "axis": axis, "scale": options.scale}
    if effective is not None:
        robustness |= effective.as_json() | effective.equivalence().as_json() | {"p_value": effective.p_value}
    accuracy, official = result.accuracies[shift], set_size(shift).images
    clean, full = result.clean.get(shift), result.full(shift)
    whole = round(accuracy.n_correct)
    row = Row(
        model=result.model,
        weights=None,
        shift=shift,
        head=result.head,
        prompts=result.prompts,
        protocol=result.protocol,
        n=int(accuracy.n),
        n_expected=int(accuracy.n) if official is None else official,
        partial=official is not None and accuracy.n < official,
        n_correct=whole if abs(whole - accuracy.n_correct) < 1e-6 else accuracy.n_correct,
        accuracy=accuracy.value,
        accuracy_ci95=accuracy.clopper_pearson(),
        accuracy_top5=None,
        accuracy_1000way=None,
        clean_accuracy=None if clean is None else clean.value,
        clean_accuracy_full=None if full is None else full.value,
        robustness=robustness,
        why_not=why_not,
        pixels={},
        precision="unstated",
        record=None,
        origin=result.origin,
        source=result.source,
        disputed=result.disputed(shift),
    )
    return row, effective
