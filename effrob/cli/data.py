"""`effrob data`: which sets are found, getting those that are not, and whether they are what they should be."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import click


@click.group("data")
def command() -> None:
    """See which data sets are found, get those that are not, and check them against the official counts."""


_DATA = click.option("--data", type=click.Path(path_type=Path), help="Folder of the data sets. [default: $EFFROB_DATA]")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print strict JSON on standard output.")


@command.command("list")
@_DATA
@_JSON
def list_sets(data: Path | None, as_json: bool) -> None:
    """Say of every set where it was found, or which command gets it."""
    import shifts
    from effrob.files import strict_json

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


@command.command("get")
@click.argument("name")
@_DATA
@click.option("--mirror", metavar="URL-or-PATH", help="Take the archive from here: an address, a folder, or the file.")
@click.option("--accept-licence", is_flag=True, help="Accept the licence that is shown, without being asked.")
def get(name: str, data: Path | None, mirror: str | None, accept_licence: bool) -> None:
    """Download a set's official archive into the data folder, going on where an earlier try stopped.

    Size and checksum are verified before it is put in place; it is read there, without being unpacked. Pocket sets are drawn.
    """
    import shifts
    from shifts.layout import locate

    root = _folder(data)
    there = locate(name, root) if _known(name) else None
    if there is not None:
        click.echo(f"{name} is there already: {there}; `effrob data check {name}` counts its images")
    elif shifts.suite_of(name).generated:
        from shifts.synthetic.draw import generate

        generate(root, [name])
        click.echo(f"{name} was drawn into {locate(name, root)}")
    else:
        _fetch(name, root, mirror, accept_licence)


def _known(name: str) -> bool:
    """True for a set with a place of its own; DataMissing, with near matches, for a name nobody knows."""
    from shifts.layout import LAYOUTS
    from shifts.storage.archives import archive_of

    return name in LAYOUTS or archive_of(name) is not None


def _folder(data: Path | None) -> Path:
    """The data folder, made where it was named on the command line and is not there yet."""
    from shifts.layout import data_root

    if data is not None:
        data.expanduser().mkdir(parents=True, exist_ok=True)
    return data_root(data)


def _fetch(name: str, root: Path, mirror: str | None, accepted: bool) -> None:
    from effrob.errors import UsageProblem
    from shifts.layout import SAME_FILES
    from shifts.storage.archives import archive_of
    from shifts.storage.fetch import download

    archive = archive_of(name)
    wanted = archive.wanted(mirror)
    terms = _terms(SAME_FILES.get(name, name))
    click.echo(f"{name} is under: {terms}", err=True)
    if not accepted:
        if not sys.stdin.isatty():
            raise UsageProblem(
                f"{name} is under its own licence ({terms}); say --accept-licence if you accept it, and run this again"
            )
        if not click.confirm("Do you accept this?", err=True):
            raise UsageProblem(f"the licence of {name} was not accepted; nothing was fetched")
    target = root / archive.file
    with _Bar(archive.file) as told:
        download(wanted, target, progress=told)
    checked = (
        "its checksum is right" if wanted.sha256 or wanted.md5 else "no official checksum is known to compare it with"
    )
    click.echo(f"{target} is there, {checked}")
    if archive.by_hand is not None and archive.url is not None:
        click.echo(archive.by_hand)
    else:
        click.echo(f"`effrob data check {name}` counts its images")


def _terms(name: str) -> str:
    from shifts.facts import describe

    about = describe(name)
    return f"{about['licence']} ({about['citation']})"


class _Bar:
    """A progress bar that learns its length from the server."""

    def __init__(self, label: str) -> None:
        from tqdm import tqdm

        self._bar = tqdm(unit="B", unit_scale=True, unit_divisor=1000, desc=label)

    def __enter__(self) -> Callable[[int, int | None], None]:
        return self._told

    def __exit__(self, *about: object) -> None:
        self._bar.close()

    def _told(self, had: int, total: int | None) -> None:
        self._bar.total = total
        self._bar.update(had - self._bar.n)


@command.command("index")
@click.argument("name")
@_DATA
def index(name: str, data: Path | None) -> None:
    """Read where each image lies in a set's archive or shards, once; later runs open them at once."""
    from shifts.layout import data_root, open_set

    _known(name)
    begun = time.monotonic()
    tree = open_set(name, data_root(data))
    images = len(tree.paths)
    click.echo(f"{name}: {images:,} images in {tree.where}, listed in {time.monotonic() - begun:.1f} s")


@command.command("check")
@click.argument("name")
@_DATA
@click.option("--partial", is_flag=True, help="Accept counts that differ from the official ones.")
@click.option("--every", is_flag=True, help="Read and decode every image, not a sample.")
@_JSON
def check(name: str, data: Path | None, partial: bool, every: bool, as_json: bool) -> None:
    """Count the images of a set a class, against the official table, and read a sample of them."""
    import shifts
    from effrob.evaluation.request import cache_folder
    from effrob.files import strict_json

    shift = shifts.load(name, root=data, partial=partial, generate_into=cache_folder() / "pocket")
    problems = shifts.check_shift(shift, len(shift)) if every else shifts.check_shift(shift)
    if as_json:
        found = {"name": name, "n": len(shift), "n_expected": shift.n_expected, "classes": len(shift.labels)}
        click.echo(strict_json({**found, "partial": shift.partial, "problems": list(problems)}), nl=False)
    else:
        for problem in problems:
            click.echo(problem, err=True)
        verdict = "as it should be" if not shift.partial else "not the whole set"
        if not problems:
            click.echo(
                f"{name}: {len(shift):,} images of {shift.n_expected:,} in {len(shift.labels):,} classes: {verdict}"
            )
    if problems:
        sys.exit(1)
