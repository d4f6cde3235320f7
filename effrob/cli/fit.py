"""`effrob fit`: parse, fit, print."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from effrob.cli.options import add_option, given, line_options

if TYPE_CHECKING:
    from effrob.robustness.lines import LineOptions


@click.command("fit")
@click.option(
    "--shift", "shifts", multiple=True, metavar="NAME", help="A shift, or mean-of-four. [default: all the baseline has]"
)
@click.option(
    "--segments",
    type=click.Choice(["auto", "single"]),
    default="auto",
    show_default=True,
    help="auto splits ImageNet-A at its zero model.",
)
@click.option(
    "--results", type=click.Path(), default="effrob-results", show_default=True, help="For --baseline measured."
)
@click.option(
    "--multiverse",
    "model",
    metavar="MODEL",
    help="Judge this model by every baseline, axis, scale and prompt set instead; --baseline names the only one.",
)
@click.option(
    "--hierarchical",
    "repeated",
    metavar="MODEL",
    help="This model's effective robustness over repeated measurements: other baseline families, images or classes.",
)
@click.option("--json", "as_json", is_flag=True, help="Print strict JSON on standard output.")
@add_option
@line_options
def fit(
    shifts: tuple[str, ...],
    segments: str,
    results: str,
    model: str | None,
    repeated: str | None,
    as_json: bool,
    add: tuple[Path, ...],
    line: LineOptions,
) -> None:
    """Fit the line ordinary ImageNet models fall on, shift by shift, with its bootstrap intervals.

    A line that is not one says so below the table. With --multiverse MODEL, how far the model's place depends on the choice
    of line: each analysis, and the share of them that its verdict survives. With --hierarchical MODEL, its intervals where the
    whole measurement is repeated; the baseline must keep answers an image.
    """
    from effrob.errors import UsageProblem
    from effrob.files import strict_json
    from effrob.robustness.baselines.baseline import default_baseline, in_suite
    from effrob.robustness.baselines.catalogue import baseline as find
    from effrob.robustness.diagnostics import diagnose
    from effrob.robustness.fit import fit as fit_line

    if model is not None and repeated is not None:
        raise UsageProblem("--multiverse and --hierarchical are two analyses: name one")
    if repeated is not None:
        _hierarchical(repeated, shifts, Path(results), line, as_json)
        return
    if model is not None:
        _multiverse(model, shifts, line, Path(results), as_json, add)
        return
    chosen = find(line.baseline or default_baseline(shifts[0] if shifts else ""), Path(results), line.families)
    wanted = shifts or tuple(filter(in_suite, chosen.shifts)) or chosen.shifts
    fits = [
        fit_line(
            shift, chosen if line.baseline or not shifts else default_baseline(shift), line.axis, line.scale, segments
        )
        for shift in wanted
    ]
    rows: list[dict[str, Any]] = [row for each in fits for row in each.as_json()]
    checks = [diagnose(segment) for each in fits for segment in each.segments]
    if as_json:
        click.echo(strict_json([{**row, **check.as_json()} for row, check in zip(rows, checks)]), nl=False)
        return
    for text in _table(rows):
        click.echo(text)
    for row, check in zip(rows, checks):
        for warning in check.warnings:
            click.echo(f"{row['shift']}{'' if row['segment'] is None else ' ' + row['segment']}: {warning}", err=True)


def _hierarchical(model: str, shifts: tuple[str, ...], results: Path, line: Any, as_json: bool) -> None:
    from effrob.analysis.repeated import repeated_rows
    from effrob.files import strict_json

    rows = repeated_rows(model, shifts, results, line)
    if as_json:
        click.echo(strict_json(rows), nl=False)
        return
    click.echo(
        f"{model}: effective robustness, points; 95 % where the measurement is repeated {rows[0]['draws']} times"
    )
    click.echo(f"  {'shift':<20} {'estimate':>8} {'other images':>18} {'other classes':>18} {'slope':>6} [95 %]")
    for row in rows:
        same, other = (
            "{:+.1f} to {:+.1f}".format(*(100 * end for end in row[key]))
            for key in ("ci95_same_classes", "ci95_other_classes")
        )
        slope = "{:.2f} to {:.2f}".format(*row["slope_ci95"])
        click.echo(
            f"  {row['shift']:<20} {100 * row['effective_robustness']:>+8.1f} {same:>18} {other:>18} "
            f"{row['slope']:>6.2f} [{slope}]"
        )
    click.echo(
        "other images of the same classes, or other classes with theirs; the baseline's families are drawn anew in both"
    )


def _multiverse(
    model: str, shifts: tuple[str, ...], line: LineOptions, results: Path, as_json: bool, add: tuple[Path, ...]
) -> None:
    from effrob.files import strict_json
    from effrob.leaderboard.formatting import points
    from effrob.robustness.multiverse import multiverse_of

    every = multiverse_of(model, shifts, (line.baseline,) if line.baseline else (), results, given(add), line.families)
    if as_json:
        click.echo(strict_json([each.as_json() for each in every]), nl=False)
        return
    for each in every:
        verdict, share = each.most_common
        low, high = map(points, each.span)
        click.echo(f"{each.shift}: {low} to {high} points; {verdict} in {share:.0%} of {len(each.analyses)} analyses")
        for one in each.analyses:
            text = points(one.effective.effective_robustness)
            flag = " (extrapolated)" if one.effective.extrapolated else ""
            click.echo(
                f"  {one.baseline:<14} {one.axis:<6} {one.scale:<7} {one.prompts:<22} {text:>7}  {one.effective.verdict}{flag}"
            )
        for reason in each.skipped:
            click.echo(f"  left out: {reason}", err=True)


def _table(rows: list[dict[str, Any]]) -> list[str]:
    from effrob.leaderboard.formatting import columns

    names = [
        "shift",
        "segment",
        "axis",
        "n",
        "slope",
        "95 % of slope",
        "by family",
        "intercept",
        "R2",
        "residual",
        "clean range",
    ]
    cells = [
        [
            row["shift"],
            row["segment"] or "-",
            row["axis"],
            str(row["n"]),
            f"{row['slope']:.4f}",
            "{:.3f} to {:.3f}".format(*row["slope_ci95"]),
            "{:.3f} to {:.3f}".format(*row["slope_ci95_by_family"]),
            f"{row['intercept']:.4f}",
            f"{row['r2']:.4f}",
            f"{row['residual_std']:.4f}",
            f"{100 * row['x_min']:.1f} to {100 * row['x_max']:.1f} %",
        ]
        for row in rows
    ]
    if not rows:
        return ["this baseline has no shift of either suite: name one by --shift"]
    bases = dict.fromkeys(row["baseline"] for row in rows)
    return [f"baseline {' and '.join(bases)}, scale {rows[0]['scale']}", *columns([names, *cells])]
