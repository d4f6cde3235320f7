"""`effrob probe`: share a trained head, and make a shared one known."""

from __future__ import annotations

from pathlib import Path
from shlex import quote

import click


@click.group("probe")
def probe() -> None:
    """Export a trained head as one safetensors file with its record, or import one that was shared."""


@probe.command("export")
@click.argument("record", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="FILE.safetensors")
@click.option(
    "--cache", type=click.Path(path_type=Path), help="Where it was trained. [default: the user's cache folder]"
)
def export_probe(record: Path, out: Path, cache: Path | None) -> None:
    """Write the head of RECORD, the folder of a result (`record` in `effrob eval --json`), to a file."""
    from effrob.heads.shared import export
    from shifts.storage.kept_places import cache_folder

    about = export(record, (cache or cache_folder()).expanduser().resolve(), out)
    click.echo(f"wrote {out}: the {about['head']} of {about['model']}, {about['classes']} classes")


@probe.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--name", metavar="NAME", help="What to call it. [default: the file's stem]")
@click.option("--replace", is_flag=True, help="Overwrite the name if it is taken.")
def import_probe(file: Path, name: str | None, replace: bool) -> None:
    """Make the probe in FILE known as the head probe:NAME; it scores the model it was trained on."""
    from effrob.heads.shared import PREFIX, import_probe

    called = name or file.stem
    about = import_probe(file, called, replace)
    click.echo(f"try: effrob eval --model {quote(about['model'])} --head {quote(PREFIX + called)}")


@probe.command("list")
def list_probes() -> None:
    """Imported probes and what each was trained on."""
    from effrob.heads.shared import describe_probe, imported_names, probes_folder

    for name in imported_names():
        about = describe_probe(probes_folder() / f"{name}.safetensors")
        click.echo(f"probe:{name}  {about['head']} of {about['model']}, {about['classes']} classes")
