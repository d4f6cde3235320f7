"""`effrob factors`: errors of models by the annotated factors of ImageNet-X."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from effrob.cli.options import json_option, print_rows, reading_options, records_option


@click.command("factors")
@click.argument("models", nargs=-1, required=True, metavar="MODEL …")
@click.option(
    "--annotations",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="ImageNet-X's JSON lines. [default: the package imagenet-x]",
)
@records_option
@reading_options
@json_option
def command(
    models: tuple[str, ...],
    annotations: Path | None,
    results: Path,
    head: str | None,
    prompts: str | None,
    as_json: bool,
) -> None:
    """Ask what makes a model err on ImageNet: pose, background, texture and thirteen more factors of ImageNet-X.

    Joins its annotations to the answers of the clean pass. An error ratio above 1: more errors than on all annotated images.
    """
    from effrob.analysis.factors import factor_errors, factor_row, load_annotations
    from effrob.analysis.selection import records_of

    records = [records_of(model, results, ("imagenet",), head, prompts)[0] for model in models]
    kept = load_annotations(annotations)
    rows = [
        factor_row(each.record.asked.model, each.record.asked.head, *factor_errors(each.predictions(), kept))
        for each in records
    ]
    print_rows(rows, as_json, lambda: (line for row in rows for line in _table(row)))


def _table(row: dict[str, Any]) -> list[str]:
    lines = [
        f"{row['model']}: {100 * row['accuracy']:.2f} % of {row['n']:,} annotated images right",
        f"  {'factor':<18} {'images':>6} {'accuracy':>8}  error ratio [95 %]",
    ]
    for each in row["factors"]:
        ends = each["error_ratio_ci95"]
        ratio = "-" if ends is None else f"{each['error_ratio']:.2f} [{ends[0]:.2f}, {ends[1]:.2f}]"
        lines.append(f"  {each['factor']:<18} {each['n']:>6} {100 * each['accuracy']:>8.2f}  {ratio}")
    return lines
