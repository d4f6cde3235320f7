"""`effrob data`: which sets are found, and whether they are what they should be."""

from __future__ import annotations

from pathlib import Path

import click


@click.group("data")
def command() -> None:
    """See which data sets are found, and check them against the official counts."""


_DATA = click.option("--data", type=click.Path(path_type=Path), help="Folder of the data sets. [default: $EFFROB_DATA]")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print strict JSON on standard output.")


@command.command("list")
@_DATA
@_JSON
def list_sets(data: Path | None, as_json: bool) -> None:
    """Say of every set where it was found, or which command gets it."""
    import shifts
    from effrob.writing import strict_json

    found = shifts.find(data)
    if as_json:
        click.echo(
            strict_json(
                [{"name": f.name, "path": None if f.path is None else str(f.path), "get": f.command} for f in found]
            )
        )
        return
    for each in found:
        click.echo(
            f"{each.name:<28} {each.path if each.path is not None else f'not found; get it with: {each.command}'}"
        )


@command.command("check")
@click.argument("name")
@_DATA
@click.option("--partial", is_flag=True, help="Accept counts that differ from the official ones.")
def check(name: str, data: Path | None, partial: bool) -> None:
    """Count the images of a set a class, against the official table, and read a sample of them."""
    import shifts
    from effrob.request import cache_folder

    shift = shifts.load(name, root=data, partial=partial, generate_into=cache_folder() / "pocket")
    shifts.check_shift(shift)
    click.echo(f"{name}: {len(shift)} images of {shift.n_expected} in {len(shift.labels)} classes: as it should be")
