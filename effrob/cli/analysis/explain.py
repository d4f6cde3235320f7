"""`effrob explain`: which settings give an accuracy that a paper prints and a run does not."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import click

from effrob.cli.options import data_folder, json_option, print_rows, records_option

SHOWN = 5


@click.command("explain")
@click.argument("model", metavar="MODEL")
@click.option("--shift", required=True, metavar="NAME", help="The test set of the accuracy.")
@click.option("--expect", required=True, metavar="ACCURACY", help="The accuracy to explain, as printed: 44.3 or 0.443.")
@click.option(
    "--unit",
    type=click.Choice(["auto", "percent", "fraction"]),
    default="auto",
    show_default=True,
    help="Of --expect; auto: at most 1 is a fraction.",
)
@click.option("--head", metavar="NAME", help="zero-shot or native. [default: what the model has]")
@click.option(
    "--pixels-too", is_flag=True, help="Prepare the pictures anew: crop, border, interpolation, decoder, precision."
)
@click.option("--suite", default=None, metavar="NAME-or-FILE", help="Of the set. [default: the one that has it]")
@click.option("--data", type=click.Path(path_type=Path), help="Folder of the data sets. [default: $EFFROB_DATA]")
@records_option
@click.option("--cache", type=click.Path(path_type=Path), help="Features. [default: the user's cache folder]")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--partial", is_flag=True, help="Accept a set whose counts differ from the official ones.")
@click.option("--all", "show_all", is_flag=True, help=f"Print every setting, not the first {SHOWN}.")
@json_option
def command(
    model: str,
    shift: str,
    expect: str,
    unit: str,
    head: str | None,
    pixels_too: bool,
    suite: str | None,
    data: Path | None,
    results: Path,
    cache: Path | None,
    device: str,
    partial: bool,
    show_all: bool,
    as_json: bool,
) -> None:
    """Say why a model's accuracy is not the one expected: try the settings papers differ in, and show which give it.

    Replays cached features over class names, templates, the classes that compete and how several become one; with --pixels-too
    also over preprocessing. A model that was not evaluated here is looked up in the published tables.
    """

    with redirect_stdout(sys.stderr):  # a user's loader may print
        explanation = _explained(model, shift, expect, unit, head, pixels_too, suite, data, cache, device, partial)
    print_rows(explanation.as_json(), as_json, lambda: _text(explanation, show_all))


def _explained(
    model: str,
    shift: str,
    expect: str,
    unit: str,
    head: str | None,
    pixels_too: bool,
    suite: str | None,
    data: Path | None,
    cache: Path | None,
    device: str,
    partial: bool,
) -> Any:
    import shifts
    from effrob.explain.setting import expected
    from effrob.explain.tables import explain_published, published_of

    rows = published_of(model)
    target = expected(expect, unit)
    suite = suite or shifts.suite_of(shift).name
    data = data_folder(data)
    if rows and not pixels_too and (":" not in model or not _may_replay(model, shift, suite, data, cache, partial)):
        return explain_published(model, shift, target)
    from effrob.evaluation.request import Request
    from effrob.explain.replay import explain_model
    from shifts.storage.kept_places import cache_folder

    heads = () if head is None else (head,)
    request = Request(
        (model,),
        (shift,),
        suite,
        heads,
        data=data,
        cache=cache or cache_folder(),
        device=device,
        partial=partial,
        progress=pixels_too,
    )
    return explain_model(request, shift, target, pixels_too)


def _may_replay(model: str, shift: str, suite: str, data: Path | None, cache: Path | None, partial: bool) -> bool:
    """Whether the model's features on the set are cached here; a published model whose are not is explained by the tables."""
    import model_zoo
    import shifts
    from effrob.evaluation.request import Request
    from shifts.storage.kept_places import cache_folder

    try:
        request = Request((model,), (shift,), suite, data=data, cache=cache or cache_folder(), partial=partial)
        from effrob.explain.replay import is_cached

        return is_cached(request, shift)
    except (shifts.DataMissing, model_zoo.ModelError, model_zoo.UnknownModel):
        return False


def _text(explanation: Any, show_all: bool) -> list[str]:
    answer = explanation.as_json()
    agreeing = answer["n_agreeing"]
    lines = [
        f"{explanation.model} on {explanation.shift}: {100 * explanation.target.accuracy:.2f} expected; {agreeing} of "
        f"{len(answer['settings'])} settings are within {100 * explanation.target.tolerance:.2f} points"
    ]
    default = answer["default"]
    if default is not None:
        lines.append(
            f"  default  {100 * default['accuracy']:6.2f} ({100 * default['difference']:+.2f})  {_words(default)}"
        )
    for row in answer["settings"] if show_all else answer["settings"][:SHOWN]:
        mark = "agrees" if row["agrees"] else ""
        lines.append(
            f"  {mark:<7}  {100 * row['accuracy']:6.2f} ({100 * row['difference']:+.2f})  {_words(row, default)}"
        )
        lines += [f"           {text}" for text in row.get("account", [])]
    change = answer["single_change"]
    if change is not None:
        lines.append(
            f"the one change that closes most: {change['key']} from {change['from']} to {change['to']}, "
            f"{100 * change['accuracy']:.2f}, {change['closes']:.0%} of the gap"
        )
    return lines + [f"note: {note}" for note in answer["notes"]]


def _words(row: dict[str, Any], base: dict[str, Any] | None = None) -> str:
    """The setting; beside a default, what it changes of it."""
    keys = ("source", "protocol", "names", "templates", "answer", "collapse", "axis", "classes", "average", "pixels")
    if base is not None:
        changed = [f"{key} {row[key]}" for key in row["changes"]]
        return "; ".join(changed) or "the default"
    return ", ".join(str(row[key]) for key in keys if row[key] is not None and row[key] != "images")
