"""`effrob cite`: the sentences of a paper, and what they rest on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from effrob.cli.options import add_option, given, line_options, reading_options, records_option

if TYPE_CHECKING:
    from effrob.robustness.lines import LineOptions


@click.command("cite")
@click.argument("model", required=False)
@click.option(
    "--shift", "shifts", multiple=True, metavar="NAME", help="A shift. [default: the ranked ones the model has]"
)
@click.option(
    "--format", "form", default="text", show_default=True, metavar="text|latex|bibtex", help="How to write it."
)
@records_option
@reading_options
@add_option
@line_options
def command(
    model: str | None,
    shifts: tuple[str, ...],
    form: str,
    results: Path,
    head: str | None,
    prompts: str | None,
    add: tuple[Path, ...],
    line: LineOptions,
) -> None:
    """Write the methods of effective robustness for a paper and, for a MODEL, its result with intervals, and cite both.

    MODEL is one of your records, of a published table, or of a file given by --add.
    """
    from effrob.leaderboard.citing.methods import cited

    citation = cited(model, shifts, line, results, given(add), head, prompts)
    click.echo(citation.write(form), nl=False)
