"""`effrob data`: which sets are found, getting those that are not, and whether they are what they should be."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import click

from effrob.cli.options import at_option, follow_option

SAMPLE = 16  # images that `check` decodes without --all


@click.group("data")
def command() -> None:
    """See which data sets are found, get those that are not, and check them against the official counts."""


_DATA = click.option("--data", type=click.Path(path_type=Path), help="Folder of the data sets. [default: $EFFROB_DATA]")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print strict JSON on standard output.")


@command.command("list")
@_DATA
@at_option
@follow_option
@_JSON
def list_sets(data: Path | None, at: tuple[tuple[str, Path], ...], follow_links: bool, as_json: bool) -> None:
    """Say of every set where it was found, in what form and with how many images, or which command gets it."""
    import shifts
    from effrob.files import strict_json

    sets = shifts.find(data, at=dict(at), follow_links=follow_links)
    if as_json:
        listed = [
            {
                "name": each.name,
                "path": None if each.path is None else str(each.path),
                "form": each.form,
                "images": each.images,
                "note": each.note,
                "get": each.command,
            }
            for each in sets
        ]
        click.echo(strict_json(listed))
        return
    for each in sets:
        images = "" if each.images is None else f", {each.images:,} images"
        place = f"not found; get it with: {each.command}" if each.path is None else f"{each.path} ({each.form}{images})"
        click.echo(f"{each.name:<28} {place}")
        if each.note:
            click.echo(f"{'':<28} passed over: {each.note}")


@command.command("where")
@click.argument("place", metavar="SET=PATH", required=False)
@click.option("--forget", metavar="SET", help="Forget where a set lies.")
def where(place: str | None, forget: str | None) -> None:
    """Keep where a set lies, SET=PATH, in your configuration: as --at for every command. Without it: show what is kept."""
    from effrob.errors import UsageProblem
    from shifts.layout import keep_place
    from shifts.storage.kept_places import config_file, expanded, kept_places

    if forget is not None:
        click.echo(f"{forget} is looked for in the data folder again, says {keep_place(forget, None)}")
    if place is not None:
        name, _, path = place.partition("=")
        if not name or not path:
            raise UsageProblem(f"name a set and its place, as imagenet-r=/disk/imagenet-r; got {place!r}")
        click.echo(f"{name} is read from {expanded(path)} from now on, says {keep_place(name, expanded(path))}")
    if place is None and forget is None:
        for name, kept in kept_places().items():
            click.echo(f"{name:<28} {kept}")
        if not kept_places():
            click.echo(f"no place of a set is kept in {config_file()}")


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
    from effrob.errors import UsageProblem
    from shifts.layout import locate, locate_set

    root = _folder(data)
    located = locate_set(name, root) if _known(name) else None
    if located is not None and located.opened is not None:
        click.echo(f"{name} is there already: {located.opened.path}; `effrob data check {name}` counts its images")
        return
    for passed in located.passed if located is not None else ():
        click.echo(f"passed over: {passed}", err=True)
    if shifts.suite_of(name).generated:
        from shifts.synthetic.draw import FOLDERS, generate

        generate(root, [name])
        drawn = locate(name, root)
        if drawn is None:
            raise UsageProblem(
                f"{FOLDERS[name]} in {root} holds something else than {name}; move it away and run this again"
            )
        click.echo(f"{name} was drawn into {drawn}")
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
    from shifts.storage.kept_places import expanded

    if data is not None:
        expanded(data).mkdir(parents=True, exist_ok=True)
    return data_root(data)


def _fetch(name: str, root: Path, mirror: str | None, accepted: bool) -> None:
    from effrob.errors import UsageProblem
    from shifts.layout import SAME_FILES
    from shifts.storage.archives import archive_of
    from shifts.storage.fetch import check_file, download

    archive = archive_of(name)
    wanted = archive.wanted(mirror)
    target = root / archive.file
    if target.is_file() and (wanted.sha256 or wanted.md5) and check_file(target, wanted) is None:
        click.echo(f"{name} is there already: {target}, its checksum is right")
        return
    terms = _terms(SAME_FILES.get(name, name))
    click.echo(f"{name} is under: {terms}", err=True)
    if not accepted:
        if not sys.stdin.isatty():
            raise UsageProblem(
                f"{name} is under its own licence ({terms}); say --accept-licence if you accept it, and run this again"
            )
        if not click.confirm("Do you accept this?", err=True):
            raise UsageProblem(f"the licence of {name} was not accepted; nothing was fetched")
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

    def __init__(self, label: str, unit: str = "B") -> None:
        from tqdm import tqdm

        self._bar = tqdm(unit=unit, unit_scale=True, unit_divisor=1000, desc=label)

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
@at_option
@follow_option
def index(name: str, data: Path | None, at: tuple[tuple[str, Path], ...], follow_links: bool) -> None:
    """Read where each image lies in a set's archive or shards, once; later runs open them at once."""
    from shifts.catalogue import check_names
    from shifts.layout import Places, data_root, open_set
    from shifts.storage.kept_places import expanded, kept_places

    check_names(dict(at))
    _known(name)
    begun = time.monotonic()
    named = {**kept_places(), **{each: expanded(place) for each, place in at}}
    tree = open_set(name, Places(None if name in named else data_root(data), named, follow_links))
    images = len(tree.paths)
    click.echo(f"{name}: {images:,} images in {tree.where}, listed in {time.monotonic() - begun:.1f} s")


@command.command("check")
@click.argument("name")
@_DATA
@at_option
@follow_option
@click.option("--partial", is_flag=True, help="Accept counts that differ from the official ones.")
@click.option("--all", "--every", "every", is_flag=True, help="Read and decode every image, not a sample.")
@_JSON
def check(
    name: str,
    data: Path | None,
    at: tuple[tuple[str, Path], ...],
    follow_links: bool,
    partial: bool,
    every: bool,
    as_json: bool,
) -> None:
    """Count the images of a set a class, against the official table, and decode a sample of them, or with --all each one."""
    import shifts
    from effrob.files import strict_json
    from shifts.catalogue import check_names
    from shifts.storage.kept_places import cache_folder
    from shifts.storage.tree import TreeSource, unread_images

    check_names(dict(at))
    pocket = cache_folder() / "pocket"
    shift = shifts.load(name, data, partial=partial, generate_into=pocket, places=dict(at), follow_links=follow_links)
    with _Bar("decoded", "img") if every else nullcontext() as told:
        problems = shifts.check_shift(shift, len(shift) if every else SAMPLE, told)
    decoded = len(shift) if every else min(SAMPLE, len(shift))
    unread = unread_images(shift.source.tree) if isinstance(shift.source, TreeSource) else None
    said = f"{decoded:,} of {len(shift):,} images were decoded"
    if as_json:
        facts = {"name": name, "n": len(shift), "n_expected": shift.n_expected, "classes": len(shift.labels)}
        facts |= {"partial": shift.partial, "decoded": decoded, "notes": list(shift.notes), "problems": list(problems)}
        click.echo(strict_json(facts), nl=False)
    else:
        for said_too in (*problems, *([unread] if unread else [])):
            click.echo(said_too, err=True)
        verdict = (
            "not the whole set" if shift.partial else "as it should be" if every else "the counts are as they should be"
        )
        if not problems:
            more = "" if every else "; --all decodes each one"
            click.echo(
                f"{name}: {len(shift):,} images of {shift.n_expected:,} in {len(shift.labels):,} classes: {verdict}; "
                f"{said}{more}"
            )
        else:
            click.echo(said, err=True)
    if problems:
        sys.exit(1)
