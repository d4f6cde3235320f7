"""`effrob baseline`: list, show and build the sets of models a line is fitted to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from effrob.robustness.baselines.baseline import Baseline


@click.group("baseline")
def baseline() -> None:
    """The models a line is fitted to: list them, show one, or build one from models evaluated here."""


@baseline.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print strict JSON on standard output.")
def list_baselines(as_json: bool) -> None:
    """Every baseline at hand."""
    from effrob.files import strict_json
    from effrob.robustness.baselines.catalogue import baseline as find
    from effrob.robustness.baselines.catalogue import baseline_names

    rows = [_summary(find(name)) for name in baseline_names() if name != "measured"]
    if as_json:
        click.echo(strict_json(rows), nl=False)
        return
    for row in rows:
        click.echo(
            f"{row['name']:<14} {row['models']:>4} models, {row['families']} families, {row['harness']}"
            f"{', per-image answers' if row['answers'] else ''}: {', '.join(row['shifts'])}"
        )
    click.echo(f"{'measured':<14} your own complete records with the native head (--results)")


@baseline.command("show")
@click.argument("name")
@click.option("--results", type=click.Path(), default="effrob-results", show_default=True, help="For `measured`.")
@click.option(
    "--family", "families", multiple=True, metavar="GLOB=NAME", help="For `measured`, as in `baseline build`."
)
@click.option("--json", "as_json", is_flag=True, help="Print strict JSON on standard output.")
def show(name: str, results: str, families: tuple[str, ...], as_json: bool) -> None:
    """Members, families, shifts and digest of one baseline."""
    from effrob.errors import UsageProblem
    from effrob.files import strict_json
    from effrob.robustness.baselines.catalogue import baseline as find

    if families and name != "measured":
        raise UsageProblem("--family groups the models of `measured`; another baseline's are in it")
    chosen = find(name, Path(results), families)
    if as_json:
        members = [
            {
                "model": m.model,
                "family": m.family,
                "clean_full": None if m.clean_full is None else m.clean_full.value,
                "accuracies": {shift: a.value for shift, a in m.accuracies.items()},
                "clean": {shift: a.value for shift, a in m.clean.items()},
            }
            for m in chosen.members
        ]
        click.echo(strict_json({**_summary(chosen), "members": members}), nl=False)
        return
    summary = _summary(chosen)
    click.echo(
        f"{chosen.name}: {summary['models']} models of {summary['families']} families, "
        f"{chosen.harness}, protocol {chosen.protocol}"
    )
    if chosen.note:
        click.echo(chosen.note)
    click.echo(f"digest {chosen.digest}")
    for m in chosen.members:
        full = "    -" if m.clean_full is None else f"{100 * m.clean_full.value:5.1f}"
        click.echo(f"{full} %  {m.family:<20} {m.model}")


@baseline.command("build")
@click.argument("name")
@click.option(
    "--model", "models", multiple=True, required=True, metavar="SPEC", help="A model, or @FILE with one a line."
)
@click.option(
    "--family",
    "families",
    multiple=True,
    metavar="GLOB=NAME",
    help="The family of models that stand or fall together: epochs of a run, one architecture and data. [default: found]",
)
@click.option("--shift", "shifts", multiple=True, metavar="NAME", help="A test set. [default: all of the suite found]")
@click.option(
    "--suite",
    default="imagenet",
    show_default=True,
    metavar="NAME-or-FILE",
    help="imagenet, pocket, one that was added, or FILE.toml.",
)
@click.option(
    "--head",
    default="native",
    show_default=True,
    help="The one head every member is read with; imported answers have their own.",
)
@click.option(
    "--train", metavar="NAME", help="Labelled set for a head that learns. [default: the suite's training set]"
)
@click.option("--train-limit", type=int, metavar="N", help="At most N training images a class for a head that learns.")
@click.option("--data", type=click.Path(path_type=Path), help="Folder of the data sets. [default: $EFFROB_DATA]")
@click.option(
    "--results", type=click.Path(path_type=Path), default=Path("effrob-results"), show_default=True, help="Records."
)
@click.option("--cache", type=click.Path(path_type=Path), help="Features. [default: the user's cache folder]")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--batch-size", default=64, show_default=True, metavar="N", help="Images a forward pass.")
@click.option("--partial", is_flag=True, help="Accept sets whose counts differ from the official ones.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of baselines. [default: $EFFROB_BASELINES or your data folder]",
)
def build(name: str, models: tuple[str, ...], shifts: tuple[str, ...], cache: Path | None, **options: Any) -> None:
    """Evaluate models with this harness and keep line and per-image answers under NAME.

    Models of one family are one witness to the line. In @FILE, a line `# family: NAME` gives the family of the specs below it;
    otherwise it is found: timm and torchvision names say it, a series (a glob among files, mixtures of a range) is one, and so
    are weights that differ in digits alone, files of one run's folder, and registered models of one architecture and data.
    """
    from effrob.evaluation.baselines import build_baseline, family_notices
    from shifts.storage.kept_places import cache_folder

    options["cache"] = cache or cache_folder()
    folder, made = build_baseline(name, models, shifts=shifts or None, **options)
    for notice in family_notices(made):
        click.echo(f"notice: {notice}", err=True)
    many = "1 family" if len(made.families) == 1 else f"{len(made.families)} families"
    click.echo(f"baseline {name}: {len(made.members)} models of {many} in {folder}")


def _summary(chosen: Baseline) -> dict[str, Any]:
    return {
        "name": chosen.name,
        "models": len(chosen.members),
        "families": len(chosen.families),
        "shifts": list(chosen.shifts),
        "protocol": chosen.protocol,
        "harness": chosen.harness,
        "answers": chosen.answers is not None,
        "note": chosen.note,
        "digest": chosen.digest,
    }
