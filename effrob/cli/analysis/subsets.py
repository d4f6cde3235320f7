"""`effrob subsets`: images of a shift on which better models do worse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from effrob.cli.options import json_option, print_rows, records_option

SHOWN = 10


@click.command("subsets")
@click.argument("models", nargs=-1, metavar="[MODEL …]")
@click.option("--shift", required=True, metavar="NAME", help="The shift.")
@records_option
@click.option("--share", default=0.2, show_default=True, metavar="S", help="Share of the images to select.")
@json_option
def command(models: tuple[str, ...], shift: str, results: Path, share: float, as_json: bool) -> None:
    """Look for images that fool the line: on which models that are better on clean images do worse.

    At least eight models with records are wanted; with none named, all below --results. The subset is selected on half of the
    models and scored on the other, beside random subsets of its size.
    """
    from effrob.analysis.fooled import fooled_row

    row = fooled_row(models, shift, results, share)
    print_rows(row, as_json, lambda: _text(row))


def _text(row: dict[str, Any]) -> list[str]:
    low, high = row["correlation_random_ci95"]
    lines = [
        f"{row['shift']}: {row['n_models']} models correlate {row['correlation']:+.2f} with clean accuracy on all "
        f"{row['n']} images, {row['correlation_selected']:+.2f} on {row['n_images']} selected by other models",
        f"random subsets of that size: {low:+.2f} to {high:+.2f} in 95 %; p {row['p_value']:.2g}",
        *(f"  {name}" for name in row["ids"][:SHOWN]),
    ]
    return lines + ([f"  and {row['n_images'] - SHOWN} more; --json lists them"] if row["n_images"] > SHOWN else [])
