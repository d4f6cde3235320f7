"""`effrob agreement`: accuracy under shift without labels, from how often models agree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from effrob.cli.options import json_option, print_rows, reading_options, records_option


@click.command("agreement")
@click.argument("models", nargs=-1, metavar="[MODEL …]")
@click.option("--shift", "shifts", multiple=True, required=True, metavar="NAME", help="A shift; may be given again.")
@records_option
@reading_options
@json_option
def command(
    models: tuple[str, ...],
    shifts: tuple[str, ...],
    results: Path,
    head: str | None,
    prompts: str | None,
    as_json: bool,
) -> None:
    """Predict accuracy under shift without its labels, from how often models agree (agreement on the line).

    Labels of the clean images and predictions on the shift are read, and at least three models wanted; with none named, all
    below --results. The true accuracies stand beside, since the records hold them.
    """
    from effrob.analysis.unlabelled import agreement_rows

    rows = agreement_rows(models, shifts, results, head, prompts)
    for row in rows:
        for warning in row["warnings"]:
            click.echo(f"{row['shift']}: {warning}", err=True)
    print_rows(rows, as_json, lambda: (line for row in rows for line in _table(row)))


def _table(row: dict[str, Any]) -> list[str]:
    holds = (
        "the agreements lie on a line" if row["holds"] else "the agreements are no line: do not believe the predictions"
    )
    lines = [
        f"{row['shift']}: R2 {row['r2']:.3f} over {row['pairs']} pairs, {holds}; mean error {100 * row['error_aline_s']:.1f} "
        f"points by the line, {100 * row['error_aline_d']:.1f} by every pair",
        f"  {'model':<32} {'clean':>6} {'by line':>8} {'by pairs':>8} {'true':>6}",
    ]
    for each in row["models"]:
        lines.append(
            f"  {each['model'][:32]:<32} {100 * each['clean_accuracy']:>6.2f} {100 * each['aline_s']:>8.2f} "
            f"{100 * each['aline_d']:>8.2f} {100 * each['accuracy']:>6.2f}"
        )
    return lines
