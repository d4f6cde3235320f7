"""`effrob place`: effective robustness of accuracies that are already there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from effrob.cli.options import line_options

if TYPE_CHECKING:
    from effrob.robustness.lines import LineOptions


@click.command("place")
@click.argument("given", nargs=-1, required=True, metavar="FILE | SHIFT=ACCURACY ...")
@click.option("--name", metavar="NAME", help="Name of the model, or of the table. [default: given; the file's name]")
@click.option(
    "--unit", default="auto", show_default=True, metavar="auto|percent|fraction", help="Of all the accuracies."
)
@click.option("--n", "counts", multiple=True, metavar="SHIFT=N", help="Images of a set. [default: the official number]")
@click.option(
    "--protocol", metavar="NAME", help="How they were measured: effrob, clip-benchmark, testbed. [default: unstated]"
)
@click.option("--suite", metavar="NAME-or-FILE", help="A suite of your own, whose sets then go by their short names.")
@click.option("--json", "as_json", is_flag=True, help="Print the rows as strict JSON on standard output.")
@line_options
@click.pass_context
def command(
    ctx: click.Context,
    given: tuple[str, ...],
    name: str | None,
    unit: str,
    counts: tuple[str, ...],
    protocol: str | None,
    suite: str | None,
    as_json: bool,
    line: LineOptions,
) -> None:
    """Set accuracies you already have beside the line: a few numbers of one model, or a table of models.

    Numbers are given as imagenet=76.4 imagenet-r=71.2, a table as a CSV file with a column `model` and a column a set. Clean
    accuracy among a set's own classes goes by imagenet-r-clean; without it a model is judged on the full axis, and the row
    says so. Files that CLIP_benchmark (JSON) and UniBench (aggregate.f) write are read too.
    """
    from effrob.files import strict_json
    from effrob.results.given.table import GivenOptions
    from effrob.robustness.given_rows import axis_notices, given_rows, named_suite

    asked = None if ctx.get_parameter_source("axis") is ParameterSource.DEFAULT else line.axis
    stated: dict[str, Any] = {} if protocol is None else {"protocol": _protocol(protocol)}
    own = named_suite(suite)
    table = _table(given, GivenOptions(unit, _counts(counts, own), name=name, suite=own, **stated))
    rows = given_rows(table, line, asked)
    for notice in (*table.notices, *(axis_notices(rows) if asked is None else ())):
        click.echo(notice, err=True)
    if as_json:
        click.echo(strict_json([row.as_json() for row in rows]), nl=False)
        return
    from effrob.leaderboard.terminal import table as terminal_table

    click.echo(terminal_table(rows, more="--json has every interval"))
    click.echo()
    for row in rows:
        click.echo(row.sentence)


def _protocol(name: str) -> str:
    from shifts.protocol import protocol

    return name if name == "unstated" else protocol(name).name


def _table(given: tuple[str, ...], options: Any) -> Any:
    from effrob.errors import UsageProblem
    from effrob.results.given.table import given_numbers, read_given

    files = [text for text in given if "=" not in text or Path(text).is_file()]
    if not files:
        numbers: dict[str, float | str] = {}
        for text in given:
            shift, _, value = text.partition("=")
            if shift.strip() in numbers:
                raise UsageProblem(f"{shift.strip()} is given twice: keep one of the two")
            numbers[shift.strip()] = value
        return given_numbers(numbers, options)
    if len(given) > 1:
        raise UsageProblem(f"one file, or numbers as SHIFT=ACCURACY, are wanted; found {', '.join(given)}")
    return read_given(Path(files[0]), options)


def _counts(given: tuple[str, ...], suite: Any) -> dict[str, int]:
    from effrob.errors import UsageProblem
    from effrob.results.given.columns import read_heading

    per_set: dict[str, int] = {}
    for text in given:
        shift, _, value = text.partition("=")
        column = read_heading(shift, suite)
        if column is None or column.kind not in ("accuracy", "clean"):
            raise UsageProblem(f"--n wants SHIFT=N with the name of a test set; found {text!r}: see `effrob shifts`")
        if not (value.isascii() and value.isdigit() and int(value)):
            raise UsageProblem(f"--n {text}: a number of images was wanted, found {value!r}")
        if per_set.setdefault(column.understood, int(value)) != int(value):
            raise UsageProblem(f"--n gives {column.understood} twice: keep one of the two")
    return per_set
