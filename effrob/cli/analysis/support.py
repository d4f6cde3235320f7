"""`effrob support`: which shifted images lie where clean images do, and the line on each part."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from effrob.cli.options import data_folder, json_option, line_options, print_rows, reading_options, records_option

if TYPE_CHECKING:
    from effrob.robustness.lines import LineOptions


@click.command("support")
@click.argument("models", nargs=-1, required=True, metavar="MODEL …")
@click.option("--shift", required=True, metavar="NAME", help="The shift.")
@click.option(
    "--features", "space", metavar="MODEL", help="Whose features tell near from far. [default: the first model's]"
)
@click.option(
    "--threshold",
    default=0.2,
    show_default=True,
    metavar="RATIO",
    help="An image is in support where clean images are at least so dense as shifted ones.",
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Draw both lines: .png, .pdf or .svg.")
@click.option("--data", type=click.Path(path_type=Path), help="Folder of the data sets. [default: $EFFROB_DATA]")
@records_option
@click.option("--cache", type=click.Path(path_type=Path), help="Features. [default: the user's cache folder]")
@click.option("--partial", is_flag=True, help="Accept a set whose counts differ from the official ones.")
@reading_options
@json_option
@line_options
def command(
    models: tuple[str, ...],
    shift: str,
    space: str | None,
    threshold: float,
    out: Path | None,
    data: Path | None,
    results: Path,
    cache: Path | None,
    partial: bool,
    head: str | None,
    prompts: str | None,
    as_json: bool,
    line: LineOptions,
) -> None:
    """Split a shift's images into those that lie where clean images do and those that do not, and fit the line on each part.

    Reads features that `effrob eval` cached and answers it kept; nothing is evaluated again. The baseline must keep answers an
    image: `pocket`, or one made by `effrob baseline build`.
    """
    import shifts
    from effrob.analysis.support_rows import support_document
    from effrob.evaluation.request import Request
    from effrob.explain.replay import own_features
    from shifts.storage.kept_places import cache_folder

    spec = space or models[0]
    request = Request(
        (spec,),
        None,
        shifts.suite_of(shift).name,
        data=data_folder(data),
        cache=cache or cache_folder(),
        partial=partial,
        progress=False,
    )

    def features(name: str) -> tuple[Any, Any]:
        found, loaded = own_features(request, name)
        return found.array, loaded.source.ids

    document = {"features": spec} | support_document(models, shift, results, line, threshold, features, head, prompts)
    if out is not None:
        from effrob.analysis.support_chart import draw_parts

        draw_parts(document, out)
        click.echo(f"both lines in {out}", err=True)
    print_rows(document, as_json, lambda: _table(document))


def _table(document: dict[str, Any]) -> list[str]:
    from effrob.leaderboard.formatting import percent

    lines = [
        f"{document['shift']}: {document['n_in_support']} of {document['n']} images lie where clean images do, by the "
        f"features of {document['features']}",
        f"  (density ratio at least {document['threshold']:g}; a classifier tells the two sets apart with AUC "
        f"{document['auc']:.3f})",
    ]
    for model in document["models"]:
        lines.append(model["model"])
        lines.append(
            f"  {'support':<7} {'images':>6} {'accuracy':>8} {'clean':>6}  {'effective robustness [95 %]':<27} "
            f"{'slope':>5} {'R2':>5}"
        )
        for part in model["parts"]:
            accuracies = f"{percent(part['accuracy'], digits=1):>8} {percent(part['clean_accuracy'], digits=1):>6}"
            shown = f"  {part['support']:<7} {part['n']:>6} {accuracies}  "
            if part["line"] is None:
                lines.append(f"{shown}no line: {part['why']}")
                continue
            lines.append(
                f"{shown}{_with_ends(part['effective_robustness'], part['effective_robustness_ci95']):<27} "
                f"{part['line']['slope']:>5.2f} {part['line']['r2']:>5.2f}"
            )
            lines += [f"          no line to judge by: {flaw}" for flaw in part["line"]["flaws"]]
        if model["difference"] is not None:
            lines.append(f"  in minus out: {_with_ends(model['difference'], model['difference_ci95'])}")
    return [
        *lines,
        "points; clean: on the part's classes, each weighed by its images there; intervals: the baseline's families, images",
        "of the part and clean images drawn anew",
    ]


def _with_ends(value: float, ends: list[float] | None) -> str:
    from effrob.leaderboard.formatting import interval, joined, points

    return joined(points(value, 1), interval(ends, signed=True) or "[-]")
