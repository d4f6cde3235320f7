"""`effrob plot`: gather, draw, say what was left out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from effrob.cli.options import add_option, line_options

if TYPE_CHECKING:
    from effrob.robustness.lines import LineOptions


@click.command("plot")
@click.option(
    "--shift",
    "shifts",
    multiple=True,
    metavar="NAME",
    help="A shift, one panel each; mean-of-four is the mean of V2, R, Sketch and ObjectNet. [default: that mean, or the "
    "suite's shifts]",
)
@click.option(
    "--results", multiple=True, type=click.Path(path_type=Path), help="Folder of records; may be given again."
)
@click.option(
    "--published", default="all", show_default=True, metavar="NAME,...", help="Published tables to show, all, or none."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("effrob.pdf"),
    show_default=True,
    help="FILE.png, FILE.pdf or FILE.svg.",
)
@click.option(
    "--connect", is_flag=True, help="Join the models of a series: checkpoints of a glob, mixtures of a range."
)
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="GLOB",
    help="Rows whose model matches, as in 'openclip:ViT-B-32*'. [default: all]",
)
@click.option(
    "--highlight", multiple=True, metavar="GLOB", help="Models that stand out; the others fade. May be given again."
)
@click.option(
    "--label", is_flag=True, help="Write names beside the highlighted models, else beside those that are not published."
)
@add_option
@line_options
def command(
    shifts: tuple[str, ...],
    results: tuple[Path, ...],
    published: str,
    add: tuple[Path, ...],
    out: Path,
    connect: bool,
    models: tuple[str, ...],
    highlight: tuple[str, ...],
    label: bool,
    line: LineOptions,
) -> None:
    """Draw accuracy under shift against clean accuracy, with the baseline's line, for print.

    Published models are hollow, measured and imported ones filled, given ones large and hollow, and those of --highlight filled
    with a black edge, wherever they are from; both axes are on the line's scale, so the line is straight.
    """
    from effrob.leaderboard.figure import Emphasis, draw
    from effrob.leaderboard.gather import gather
    from effrob.leaderboard.panel import default_shifts, panel

    gathered = gather(results, published, add, models)
    ranking, lines = gathered.board(line), gathered.lines(line)
    panels = [panel(ranking, lines, shift) for shift in dict.fromkeys(shifts or default_shifts(ranking))]
    draw(panels, out, line.scale, connect, Emphasis(highlight, label))
    for problem in gathered.problems if add else ():
        click.echo(problem, err=True)
    for each in panels:
        for notice in each.notices():
            click.echo(notice, err=True)
    click.echo(f"{sum(len(each.points) for each in panels)} points drawn in {out}", err=True)
