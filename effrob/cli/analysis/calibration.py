"""`effrob calibration`: read records, measure, print, draw."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from effrob.cli.options import json_option, print_rows, reading_options, records_option


@click.command("calibration")
@click.argument("models", nargs=-1, required=True, metavar="MODEL …")
@click.option("--shift", "shifts", multiple=True, metavar="NAME", help="A shift. [default: all that the model has]")
@records_option
@reading_options
@click.option("--bins", default=15, show_default=True, metavar="N", help="Bins of the calibration error.")
@click.option(
    "--score",
    type=click.Choice(["confidence", "entropy", "margin"]),
    default="confidence",
    show_default=True,
    help="What orders images for selective prediction.",
)
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Draw the reliability chart: .png, .pdf or .svg."
)
@json_option
def command(
    models: tuple[str, ...],
    shifts: tuple[str, ...],
    results: Path,
    head: str | None,
    prompts: str | None,
    bins: int,
    score: str,
    out: Path | None,
    as_json: bool,
) -> None:
    """Ask whether a model's confidence means anything under shift: calibration error and selective prediction.

    Reads the confidences that `effrob eval` kept for each image; nothing is evaluated again.
    """
    from effrob.analysis.confidence import confidence_row
    from effrob.analysis.selection import records_of

    records = [stored for model in models for stored in records_of(model, results, shifts, head, prompts)]
    rows = [confidence_row(stored, bins, score) for stored in records]
    print_rows(rows, as_json, lambda: _table(rows, score))
    if out is not None:
        from effrob.analysis.reliability_chart import draw_reliability

        draw_reliability(rows, out)
        click.echo(f"reliability chart in {out}", err=True)


def _table(rows: list[dict[str, Any]], score: str) -> list[str]:
    lines = []
    for model in dict.fromkeys(row["model"] for row in rows):
        lines += [
            model,
            f"  {'shift':<20} {'accuracy':>8} {'confid.':>8} {'ECE [95 %]':>20} {'clean ECE':>9} {'AURC':>6} risk at 80 %",
        ]
        for row in (row for row in rows if row["model"] == model):
            clean = row["clean"] or {}
            ends = row.get("ece_ci95")
            ece = "-" if ends is None else f"{_percent(row['ece'])} [{_percent(ends[0])}, {_percent(ends[1])}]"
            lines.append(
                f"  {row['shift']:<20} {_percent(row['accuracy']):>8} {_percent(row.get('confidence')):>8} {ece:>20} "
                f"{_percent(clean.get('ece')):>9} {_percent(row['aurc']):>6} "
                f"{_percent(row['risk_at_coverage']['0.8']):>12}"
            )
    return [
        *lines,
        "percent; ECE: mean distance of confidence from accuracy over bins of equal width (biased upwards: `ece_if_calibrated`",
        f"in --json is what it would be by chance alone); AURC: mean error of the surest by {score}, over all coverages.",
    ]


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"
