"""`effrob subsets`: images of a shift on which better models do worse."""

from __future__ import annotations

from pathlib import Path

import click

from effrob.cli.options import records_option


@click.command("subsets")
@click.argument("models", nargs=-1, metavar="[MODEL …]")
@click.option("--shift", required=True, metavar="NAME", help="The shift.")
@records_option
@click.option("--share", default=0.2, show_default=True, metavar="S", help="Share of the images to select.")
@click.option("--json", "as_json", is_flag=True, help="Print strict JSON on standard output, the images' ids in it.")
def command(models: tuple[str, ...], shift: str, results: Path, share: float, as_json: bool) -> None:
    """Look for images that fool the line: on which models that are better on clean images do worse.

    At least eight models with records are wanted; with none named, all below --results. The subset is selected on half of the
    models and scored on the other, beside random subsets of its size.
    """
    from effrob.analysis.fooled import fooled_row
    from effrob.files import strict_json

    row = fooled_row(models, shift, results, share)
    if as_json:
        click.echo(strict_json(row), nl=False)
        return
    low, high = row["correlation_random_ci95"]
    click.echo(
        f"{shift}: {row['n_models']} models correlate {row['correlation']:+.2f} with clean accuracy on all {row['n']} images, "
        f"{row['correlation_selected']:+.2f} on {row['n_images']} selected by other models"
    )
    click.echo(f"random subsets of that size: {low:+.2f} to {high:+.2f} in 95 %; p {row['p_value']:.2g}")
    for name in row["ids"][:10]:
        click.echo(f"  {name}")
    if row["n_images"] > 10:
        click.echo(f"  and {row['n_images'] - 10} more; --json lists them")
