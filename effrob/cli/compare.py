"""`effrob compare`: two models, the same images, the same line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from effrob.cli.options import add_option, given, json_option, line_options, reading_options

if TYPE_CHECKING:
    from effrob.robustness.lines import LineOptions


@click.command("compare")
@click.argument("first", metavar="SPEC")
@click.argument("second", metavar="SPEC")
@click.option("--shift", "shifts", multiple=True, metavar="NAME", help="A shift. [default: all that both models have]")
@click.option(
    "--results", type=click.Path(), default="effrob-results", show_default=True, help="Where records are looked for."
)
@reading_options
@click.option("--protocol", metavar="NAME", help="Which protocol's records, where a model has several.")
@json_option
@add_option
@line_options
def compare(
    first: str,
    second: str,
    shifts: tuple[str, ...],
    results: str,
    head: str | None,
    prompts: str | None,
    protocol: str | None,
    as_json: bool,
    add: tuple[Path, ...],
    line: LineOptions,
) -> None:
    """Compare two models: accuracy (McNemar, paired bootstrap) and effective robustness, first minus second.

    Where there is no line, as for a clean set or before a baseline is built, accuracies alone are compared.

    Measured models are found among the records, others in the published tables (write SOURCE:MODEL to choose one). Shared
    images and the shared line are taken into account; p-values are adjusted for all the shifts of one command (Holm).
    """
    from effrob.files import strict_json
    from effrob.robustness.compare import compare as compare_models

    comparison = compare_models(
        first,
        second,
        shifts,
        Path(results),
        head,
        line.baseline,
        line.axis,
        line.scale,
        prompts,
        given(add),
        protocol,
        line.families,
    )
    for notice in comparison.notices:
        click.echo(notice, err=True)
    if as_json:
        click.echo(strict_json(comparison.as_json()), nl=False)
        return
    click.echo(
        f"{comparison.first.model} ({comparison.first.source}) minus {comparison.second.model} ({comparison.second.source})"
    )
    for row in comparison.as_json():
        click.echo(_accuracy_sentence(row) if "why" in row else _sentence(row))


def _accuracy_sentence(row: dict[str, Any]) -> str:
    from effrob.leaderboard.formatting import points

    low, high = row["accuracy_difference_ci95"]
    found = "not told apart"
    if low > 0 or high < 0:
        found = "the first is more accurate" if low > 0 else "the second is more accurate"
    mcnemar = "" if row["mcnemar_p"] is None else f", McNemar p {row['mcnemar_p']:.2g}"
    how = "paired" if row["paired"] else "not paired: conservative"
    return (
        f"{row['shift']:<16} accuracy {points(row['accuracy_difference'])} points ({points(low)} to {points(high)}){mcnemar}: "
        f"{found} [{how}; no effective robustness: {row['why']}]"
    )


def _sentence(row: dict[str, Any]) -> str:
    from effrob.leaderboard.formatting import p_text, percent, points

    ends = row["effective_robustness_difference_ci95"]
    between = "no interval" if ends is None else f"{points(ends[0])} to {points(ends[1])}"
    same = row["equivalence"]
    words = {
        "first": "the first stands higher",
        "second": "the second stands higher",
        "no difference shown": "not told apart",
        "cannot-tell": "cannot tell",
    }[row["verdict"]]
    if row["verdict"] in ("first", "second") and not row["in_kind"]:
        words += ", by no more than two ordinary models differ"
    if same["equivalent"] and row["verdict"] != "cannot-tell":
        words += f", equivalent within {percent(same['margin'])}"
    how = "paired" if row["paired"] else "not paired: conservative"
    p = "" if row["p_adjusted"] is None else f", p {p_text(row['p_adjusted'])} (Holm)"
    mcnemar = "" if row["mcnemar_p"] is None else f", McNemar p {row['mcnemar_p']:.2g}"
    outside = [f"the {which} model lies outside the line" for which in row["outside_line"]]
    flawed = row["first"]["why"] or "" if "no-line" in row["first"]["flags"] else ""
    where = "; ".join(
        [
            f"line of {row['baseline']}, {row['axis']} axis, {row['n_baseline']} models",
            *outside,
            *([flawed] if flawed else []),
        ]
    )
    return (
        f"{row['shift']:<16} accuracy {points(row['accuracy_difference'])} points{mcnemar}; effective robustness "
        f"{points(row['effective_robustness_difference'])} ({between}){p}: {words} [{how}; {where}]"
        + "".join(f"\n{'':<16} † {said}" for said in row["disputed"])
    )
