"""`effrob suite`: list and show suites, check one of one's own, and make its file known by name."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import shifts


@click.group("suite")
def suite() -> None:
    """A clean set with its shifts: list suites, show one, check a file of one's own, and give it a name."""


@suite.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print strict JSON on standard output.")
def list_suites(as_json: bool) -> None:
    """The shipped suites, and those that were added."""
    import shifts
    from effrob.files import strict_json

    known = {name: shifts.suite(name) for name in shifts.suite_names()}
    rows, broken = [], []
    for name, file in shifts.added_suites().items():
        try:
            known[name] = shifts.suite(name)
        except (shifts.DataMissing, shifts.DataError) as error:
            broken.append(f"{name} ({file}): {error}")
    for name, each in known.items():
        rows.append({"name": name, "clean": each.clean, "shifts": list(each.shifts), "file": str(each.file)})
    if as_json:
        click.echo(strict_json(rows), nl=False)
    else:
        for row in rows:
            click.echo(f"{row['name']:<12} {row['clean']}: {', '.join(row['shifts'])}")
    for sentence in broken:
        click.echo(sentence, err=True)


@suite.command("show")
@click.argument("name", metavar="NAME-or-FILE")
@click.option("--json", "as_json", is_flag=True, help="Print strict JSON on standard output.")
def show(name: str, as_json: bool) -> None:
    """What a suite says: its sets, training part, classes, templates and defaults."""
    import shifts
    from effrob.files import strict_json

    chosen = shifts.suite(name)
    if as_json:
        click.echo(strict_json(chosen.as_json()), nl=False)
        return
    click.echo(f"{chosen.name}: {chosen.title}, read from {chosen.file}")
    for title, value in _facts(chosen).items():
        click.echo(f"  {title:<11} {value}")
    for each in chosen.sets.values():
        place = f"{each.form} {each.place}" if each.form else "found by its name"
        extra = "".join(f", {what} {value}" for what, value in (("map", each.map), ("licence", each.licence)) if value)
        click.echo(f"  {each.name}: {each.title}, {place}{extra}{', trains heads' if each.teaches else ''}")


def _facts(chosen: shifts.Suite) -> dict[str, Any]:
    split = chosen.train if not isinstance(chosen.train, str | None) else None
    train = (
        chosen.train
        if split is None
        else f"{split.share:g} of {split.source}, seed {split.seed}, as {chosen.train_set}"
    )
    return {
        "clean": chosen.clean,
        "ranked": ", ".join(chosen.ranked),
        "diagnostic": ", ".join(chosen.diagnostic) or "-",
        "train": train or "-",
        "classes": chosen.classes if isinstance(chosen.classes, str) else ", ".join(chosen.classes),
        "templates": chosen.templates,
        "reference": chosen.reference or "-",
        "baseline": chosen.baseline or f"{chosen.name}, once it is built",
    }


@suite.command("check")
@click.argument("name", metavar="NAME-or-FILE")
@click.option("--data", type=click.Path(path_type=Path), help="Folder of the data sets. [default: $EFFROB_DATA]")
@click.option("--images", default=16, show_default=True, metavar="N", help="Images a set that are read and decoded.")
@click.option("--json", "as_json", is_flag=True, help="Print strict JSON on standard output.")
def check(name: str, data: Path | None, images: int, as_json: bool) -> None:
    """Read every set of a suite and say what is wrong, a sentence each. Exit 1 where anything is."""
    import shifts
    from effrob.files import strict_json

    chosen = shifts.load_suite(name, data)
    rows: list[dict[str, Any]] = []
    for each in chosen:
        row: dict[str, Any] = {"set": each, "images": None, "classes": None, "problems": []}
        try:
            shift = chosen[each]
            row |= {"images": len(shift), "classes": len(shift.labels)}
            row["problems"] = (
                list(shifts.check_shift(shift, images)) if chosen.suite.sets[each].form != "labels" else []
            )
        except (shifts.DataMissing, shifts.DataError) as error:
            row["problems"] = [str(error)]
        rows.append(row)
    failed = any(row["problems"] for row in rows)
    if as_json:
        click.echo(strict_json(rows), nl=False)
    for row in [] if as_json else rows:
        counted = "not readable" if row["images"] is None else f"{row['images']:,} images, {row['classes']} classes"
        click.echo(f"{row['set']:<24} {counted}")
        for problem in row["problems"]:
            click.echo(f"  {problem}")
    if failed:
        raise SystemExit(1)


@suite.command("add")
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE.toml")
@click.option("--replace", is_flag=True, help="Let another file take the name of one that was added.")
def add(file: Path, replace: bool) -> None:
    """Make a suite file known by the name in it. The file stays where it is and is read anew each time."""
    import shifts

    chosen = shifts.add_suite(file, replace)
    click.echo(f"added {chosen.name}; try: effrob suite check {quote(chosen.name)} --data DIR")
