"""Accuracies a user already has, taken on trust: a CSV of models, or a few numbers, as ModelResults of origin `given`.

A number without its axis stays off the line it may not belong to: the clean axis wants class-matched clean accuracy.
Evaluation results of CLIP_benchmark and UniBench's table of means are read too (`formats`).
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from effrob.errors import UsageProblem, describe_error, suggest
from effrob.results.accuracy import Accuracy
from effrob.results.given.columns import Column, GivenRow, columns, known_sets, read_heading, set_size
from effrob.results.given.formats import FEATHER, read_results_file
from effrob.results.given.unit import UNITS, GivenNumber, check_unit, number, unit_of
from effrob.results.model_result import ModelResult
from shifts.bounds.files import read_csv
from shifts.bounds.text import csv_text
from shifts.declared.suite import Suite

UNSTATED = "unstated"
CELLS = 1_000_000  # of a table of accuracies: a hundred thousand models


@dataclass(frozen=True)
class GivenTable:
    """Models with the accuracies given of them. notices: what a reader must know of how the file was understood."""

    name: str
    unit: str
    results: tuple[ModelResult, ...]
    notices: tuple[str, ...] = ()


@dataclass(frozen=True)
class GivenOptions:
    """How a table is to be read.

    unit  auto, percent or fraction;  counts  set -> number of images, over what the file and the official sets say
    protocol  how the numbers were measured, where that is known;  name  of the table, its file's name by default
    suite  the user's own, whose sets may go by their short names
    """

    unit: str = "auto"
    counts: Mapping[str, int] = field(default_factory=dict)
    protocol: str = UNSTATED
    name: str | None = None
    suite: Suite | None = None


def read_given(path: Path, options: GivenOptions = GivenOptions()) -> GivenTable:
    """The models of a CSV file (or of a results file of CLIP_benchmark or UniBench).

    Raises UsageProblem, naming line and column, for what is no table of accuracies, for two units in one file, a model
    given twice with other numbers, and ordinary clean accuracy in a class-matched column.
    """
    if path.suffix.lower() in (".json", ".jsonl", *FEATHER):
        stated = (
            options.protocol if options.protocol != UNSTATED or path.suffix.lower() in FEATHER else "clip-benchmark"
        )
        return table_of(
            read_results_file(path), str(path), replace(options, protocol=stated), options.name or path.stem
        )
    rows, notices = _csv_rows(path, options.suite)
    return table_of(rows, str(path), options, options.name or path.stem, notices)


def given_numbers(accuracies: Mapping[str, float | str], options: GivenOptions = GivenOptions()) -> GivenTable:
    """One model of a few numbers, by the same names that a CSV's columns have."""
    name = options.name or "given"
    cells: dict[Column, str] = {}
    for heading, value in accuracies.items():
        column = read_heading(heading, options.suite)
        if column is None:
            raise UsageProblem(f"no test set is named {heading!r}{suggest(heading, known_sets())}")
        twin = next((each for each in cells if each.understood == column.understood), None)
        if twin is not None:
            raise UsageProblem(
                f"{column.understood} is given twice, as {twin.heading} and {heading}: keep one of the two"
            )
        cells[column] = value if isinstance(value, str) else repr(float(value))
    if not any(column.kind == "accuracy" for column in cells):
        raise UsageProblem("an accuracy a set was wanted, as in imagenet=0.764 imagenet-r=0.712; none was given")
    return table_of([GivenRow(name, "given", cells)], "the numbers given", options, name)


def table_of(
    rows: Sequence[GivenRow], where: str, options: GivenOptions, name: str, notices: Sequence[str] = ()
) -> GivenTable:
    """Rows as written -> results, in their order; a row repeated word for word counts once."""
    check_unit(options.unit)
    for named in options.counts:
        set_size(named.removesuffix("-clean"))
    numbers = []
    for row in rows:
        for column, text in row.cells.items():
            if column.kind in ("accuracy", "clean"):
                value = number(text, f"{row.where}, {column.heading}")
                if value is not None:
                    numbers.append(GivenNumber(f"{row.where}, {column.heading}", column.heading, column.set, value))
    if not numbers:
        raise UsageProblem(f"{where}: no accuracy was found; give a number a model and set")
    unit = unit_of(numbers, options.unit, where)
    made: dict[str, ModelResult] = {}
    for row in rows:
        result = _result(row, unit, options, name)
        if made.setdefault(row.model, result) != result:
            raise UsageProblem(f"{row.where} gives {row.model} a second time with other numbers: keep one of the two")
    said = [f"{column.heading} is read as {column.understood}" for column in dict.fromkeys(c for r in rows for c in r.cells)
            if column.heading.lower() != column.understood]  # fmt: skip
    lacking = [model for model, result in made.items() if not result.accuracies]
    if said:
        notices = [*notices, f"{where}: {'; '.join(said)}"]
    if lacking and len(lacking) < len(made):
        notices = [*notices, f"{where}: no accuracy on a shifted set, so no row: {', '.join(lacking)}"]
    return GivenTable(name, unit, tuple(made.values()), (*notices, *_swapped(made, where)))


def _csv_rows(path: Path, suite: Suite | None) -> tuple[list[GivenRow], list[str]]:
    try:
        lines = [
            (number, cells) for number, cells in read_csv(path, cells=CELLS) if any(cell.strip() for cell in cells)
        ]
    except csv.Error as error:
        raise UsageProblem(f"{path} cannot be read as CSV ({error}): save it as comma-separated UTF-8 text") from None
    except UnicodeDecodeError:
        raise UsageProblem(f"{path} is not a CSV file in UTF-8: save it as comma-separated UTF-8 text") from None
    except OSError as error:
        raise UsageProblem(f"a CSV file of accuracies was wanted: {describe_error(error)}") from None
    if not lines:
        raise UsageProblem(f"{path} is empty: give a line of headings (model, imagenet, ...) and a line a model")
    known, model_at, ignored = columns([csv_text(name) for name in lines[0][1]], str(path), suite)
    rows = []
    for line, cells in lines[1:]:
        where = f"{path} line {line}"
        if len(cells) != len(lines[0][1]):
            raise UsageProblem(
                f"{where} has {len(cells)} cells, its heading {len(lines[0][1])}: leave a cell empty where there is no "
                "number, and quote one that holds a comma"
            )
        model = csv_text(cells[model_at].strip())
        if not model:
            raise UsageProblem(f"{where} names no model: fill its cell under `model`")
        rows.append(GivenRow(model, where, {column: cells[i] for i, column in known.items()}))
    if not rows:
        raise UsageProblem(f"{path} has headings and no line below them: give a line a model")
    return rows, [f"{path}: not read, as no test set has that name: {', '.join(ignored)}"] if ignored else []


def _result(row: GivenRow, unit: str, options: GivenOptions, name: str) -> ModelResult:
    given: dict[tuple[str, str], float] = {}
    counts: dict[tuple[str, str], int] = {}
    for column, text in row.cells.items():
        where = f"{row.where}, {column.heading}"
        if column.kind in ("count", "clean count"):
            if text.strip():
                counts["accuracy" if column.kind == "count" else "clean", column.set] = _count(text, where)
            continue
        value = number(text, where)
        if value is not None:
            given[column.kind, column.set] = value / UNITS[unit]
            if column.images is not None:
                counts.setdefault((column.kind, column.set), column.images)

    def known_images(kind: str, of: str) -> int | None:
        size = set_size(of)
        official = size.images if kind == "accuracy" else size.clean_images
        return options.counts.get(of if kind == "accuracy" else f"{of}-clean") or counts.get((kind, of)) or official

    lacking = [of if kind == "accuracy" else f"{of}-clean" for kind, of in given if known_images(kind, of) is None]
    if lacking:
        raise UsageProblem(
            f"how many images {' and '.join(lacking)} {'has' if len(lacking) == 1 else 'have'} is not known here: give "
            f"{' '.join(f'--n {what}=N' for what in lacking)}, or in a table the column {lacking[0]}-n, or set EFFROB_DATA to "
            "the folder that the sets lie in"
        )

    def images(kind: str, of: str) -> int:
        return known_images(kind, of) or 0

    accuracies = {of: Accuracy.of(v, images("accuracy", of)) for (kind, of), v in given.items() if kind == "accuracy"}
    shifts = {of: accuracy for of, accuracy in accuracies.items() if set_size(of).clean_set is not None}
    whole = {of: accuracy for of, accuracy in accuracies.items() if set_size(of).clean_set is None}
    clean = {of: Accuracy.of(v, images("clean", of)) for (kind, of), v in given.items() if kind == "clean"}
    for of in [*shifts, *clean]:
        size = set_size(of)
        full = whole.get(size.clean_set or "")
        if size.same_classes:
            if of in clean and full is not None and clean[of] != full:
                raise UsageProblem(
                    f"{row.where}: {of} has all classes of {size.clean_set}, so {of}-clean and {size.clean_set} are one "
                    "number, and two are given: keep one of the two"
                )
            if full is not None:
                clean[of] = full
        elif of in clean and full is not None and clean[of].value == full.value:
            raise UsageProblem(
                f"{row.where}: {of}-clean equals {size.clean_set} ({full.value:g}): that is ordinary accuracy, over all "
                f"classes, and the clean axis wants accuracy among {of}'s own classes; empty {of}-clean to be judged on "
                "the full axis"
            )
    _check_row(row, unit, options, shifts, whole)
    first = next((of for of in ("imagenet", *whole) if of in whole), "")
    return ModelResult(
        model=row.model,
        family=row.model,
        accuracies=shifts,
        clean_full=whole.get(first),
        clean=clean,
        other_full={s: whole[c] for s in shifts if (c := set_size(s).clean_set or "") != first and c in whole},
        source=f"given:{name}",
        protocol=options.protocol,
        head=UNSTATED,
    )


def _check_row(
    row: GivenRow, unit: str, options: GivenOptions, shifts: Mapping[str, Accuracy], whole: Mapping[str, Accuracy]
) -> None:
    """Raises UsageProblem where a row's clean accuracy reads as a fraction among percents."""
    for of, accuracy in shifts.items():
        clean = whole.get(set_size(of).clean_set or "")
        if unit == "percent" != options.unit and clean is not None and 0 < clean.value <= 0.01 < accuracy.value / 10:
            raise UsageProblem(
                f"{row.where}: fractions and percents at once, it seems: {100 * clean.value:g} on the clean set beside "
                f"{100 * accuracy.value:g} on {of}: write all in one unit, or declare --unit percent if "
                f"{100 * clean.value:g} is a percentage"
            )


HARDER = ("imagenet-v2", "imagenet-sketch")  # no published model, of 2,139, is more accurate on these than on ImageNet


def _swapped(results: Mapping[str, ModelResult], where: str) -> list[str]:
    """A sentence for models that stand higher on a harder set than on ImageNet: error rates, or columns exchanged."""
    return [
        f"{where}: {', '.join(names[:3])}{' …' if len(names) > 3 else ''} {'has' if len(names) == 1 else 'have'} a higher "
        f"accuracy on {of} than on imagenet, which no published model has: look whether the two are exchanged, or are error "
        "rates"
        for of in HARDER
        if (
            names := [
                model
                for model, each in results.items()
                if of in each.accuracies and each.clean_full and each.accuracies[of].value > each.clean_full.value
            ]
        )
    ]


def _count(text: str, where: str) -> int:
    try:
        value = float(text)
        whole = int(value)
    except (ValueError, OverflowError):
        value, whole = 0.5, 0
    if whole != value or whole < 1:
        raise UsageProblem(f"{where}: a number of images was wanted, found {text.strip()!r}: correct or empty the cell")
    return whole
