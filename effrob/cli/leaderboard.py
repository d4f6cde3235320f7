"""`effrob leaderboard`: gather, rank, render."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from effrob.cli.collector import UncollectedCommand
from effrob.cli.options import add_option, line_options

if TYPE_CHECKING:
    from effrob.robustness.lines import LineOptions

FORMATS = ["md", "latex", "csv", "json", "html"]


@click.command("leaderboard", cls=UncollectedCommand)
@click.option(
    "--results",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Folder of records, recounted from their predictions; may be given again. [default: effrob-results]",
)
@click.option(
    "--published", default="all", show_default=True, metavar="NAME,...", help="Published tables to show, all, or none."
)
@click.option("--format", "form", type=click.Choice(FORMATS), default="md", show_default=True, help="How to write it.")
@click.option("--out", type=click.Path(path_type=Path), help="File, or for html a folder. [default: standard output]")
@click.option("--top", type=click.IntRange(min=1), metavar="N", help="In md and latex, at most N rows a table.")
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="GLOB",
    help="Rows whose model matches, as in 'openclip:ViT-B-32*'. [default: all]",
)
@click.option(
    "--shift", "shifts", multiple=True, metavar="NAME", help="Sets to show; means and ranks stay. [default: all]"
)
@click.option("--ci", is_flag=True, help="In latex, 95 % intervals and marks beside the numbers.")
@add_option
@line_options
def command(
    results: tuple[Path, ...],
    published: str,
    add: tuple[Path, ...],
    form: str,
    out: Path | None,
    top: int | None,
    models: tuple[str, ...],
    shifts: tuple[str, ...],
    ci: bool,
    line: LineOptions,
) -> None:
    """Rank measured and published models by effective robustness, the two apart.

    A measured row is shown only after its record's digests were checked and its accuracies recomputed from the
    predictions, so --results also takes folders that others sent; a record that fails is left out and named, with exit 1.
    The page (html) opens on the axis that ranks most rows together, the other one click away; --axis chooses.
    """
    from effrob.errors import UsageProblem
    from effrob.leaderboard.gather import gather
    from effrob.leaderboard.write import write_board

    if ci and form != "latex":
        raise UsageProblem("--ci is of --format latex; the other formats hold intervals always")
    if shifts and form == "html":
        raise UsageProblem("--shift is of md, latex, csv and json; on the page a reader chooses the sets")
    named = click.get_current_context().get_parameter_source("axis") is not ParameterSource.DEFAULT
    gathered = gather(results, published, add, models, shifts, leave_out=True)
    text = write_board(gathered, line, form, out, top, ci, named)
    if text is not None:
        click.echo(text, nl=False)
    else:
        click.echo(f"the leaderboard is in {out / 'index.html' if form == 'html' and out else out}", err=True)
    for sentence in gathered.refused:
        click.echo(sentence, err=True)
    if gathered.refused:
        sys.exit(1)
