"""`effrob shifts`: which test sets there are."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout

import click


@click.command("shifts")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print strict JSON on standard output.")
def command(name: str | None, as_json: bool) -> None:
    """List the test sets, or show one: classes, images, licence, citation and where it is looked for."""
    import shifts
    from effrob.files import strict_json

    with redirect_stdout(sys.stderr):  # another package's sets are imported here, and may print
        described = [shifts.describe(each) for each in ([name] if name else shifts.names())]
    if as_json:
        click.echo(strict_json(described), nl=False)
        return
    if name:
        for key, value in described[0].items():
            click.echo(f"{key:<12} {', '.join(map(str, value)) if isinstance(value, list) else value}")
        return
    for facts in described:
        images, classes = ("-" if facts[key] is None else f"{facts[key]:,}" for key in ("images", "classes"))
        click.echo(f"{facts['name']:<28} {images:>9} images  {classes:>5} classes  {facts['about']}")
