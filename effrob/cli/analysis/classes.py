"""`effrob classes`: one model class by class, or what the gain of one over another is made of; and a page of the images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from effrob.cli.options import data_folder, json_option, line_options, print_rows, reading_options, records_option

if TYPE_CHECKING:
    from effrob.robustness.lines import LineOptions

SHOWN = 8


@click.command("classes")
@click.argument("models", nargs=-1, required=True, metavar="MODEL [MODEL]")
@click.option("--shift", required=True, metavar="NAME", help="The test set.")
@records_option
@reading_options
@click.option(
    "--gallery",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write a page of the images where one is right and the other wrong, from your own copy.",
)
@click.option("--limit", default=60, show_default=True, metavar="N", help="Images a section of the gallery.")
@click.option("--data", type=click.Path(path_type=Path), help="Folder of the data sets. [default: $EFFROB_DATA]")
@json_option
@line_options
def command(
    models: tuple[str, ...],
    shift: str,
    results: Path,
    head: str | None,
    prompts: str | None,
    gallery: Path | None,
    limit: int,
    data: Path | None,
    as_json: bool,
    line: LineOptions,
) -> None:
    """Look at one model class by class, or at what one model's gain over another is made of.

    Accuracies of classes with few images are shrunk towards the model's mean. Effective robustness a class needs a baseline
    that keeps answers an image: `pocket`, or one made by `effrob baseline build`.
    """
    from effrob.analysis.by_class import class_gain, class_report
    from effrob.analysis.selection import records_of
    from effrob.errors import UsageProblem
    from effrob.robustness.lines import Lines

    if len(models) > 2:
        raise UsageProblem(f"effrob classes takes one model or two, and {len(models)} were named")
    if limit < 1:
        raise UsageProblem(f"--limit wants at least 1 image, found {limit}")
    records = [records_of(model, results, (shift,), head, prompts)[0] for model in models]
    fitted = None if records[0].record.clean is None else Lines(line, results).at(shift)
    reports = [class_report(stored, None if isinstance(fitted, str) else fitted) for stored in records]
    gain = class_gain(records[0], records[1]) if len(records) == 2 else None
    if gallery is not None:
        from effrob.analysis.gallery import write_gallery

        count = write_gallery(records, _images(records[0], data), gallery, limit)
        click.echo(f"{count} images in {gallery / 'index.html'}", err=True)
    document = {
        "models": [report.as_json() for report in reports],
        "gain": None if gain is None else gain.as_json(),
    }
    print_rows(document, as_json, lambda: _gain(gain) if gain is not None else _report(reports[0]))


def _images(stored: Any, data: Path | None) -> Any:
    """The set of a record, from the user's copy; generated sets from the cache."""
    import shifts
    from shifts.storage.kept_places import cache_folder

    asked = stored.record.asked
    return shifts.load(
        asked.shift,
        root=data_folder(data),
        protocol=asked.protocol,
        partial=True,
        generate_into=cache_folder() / "pocket",
    )


def _percent(value: float | None, sign: str = "") -> str:
    return "-" if value is None else f"{100 * value:{sign}.1f}"


def _report(report: Any) -> list[str]:
    from effrob.analysis.by_class import least_and_most

    low, high = least_and_most(report, SHOWN)
    by = "shrunk accuracy" if report.effective_robustness is None else "effective robustness"
    whole = (
        f", effective robustness {_percent(report.effective_robustness, '+')}"
        if report.effective_robustness is not None
        else ""
    )
    lines = [
        f"{report.model} on {report.shift}: accuracy {_percent(report.accuracy)}{whole}; {len(report.classes)} classes"
    ]
    for title, classes in (("highest", high), ("lowest", low)):
        lines.append(f"{title} by {by}")
        lines.append(f"  {'class':<28} {'images':>6} {'accuracy [95 %]':>20} {'shrunk':>6} {'clean':>6} {'robust':>6}")
        for each in classes:
            ends = f"{_percent(each.accuracy)} [{_percent(each.accuracy_ci95[0])}, {_percent(each.accuracy_ci95[1])}]"
            lines.append(
                f"  {each.name[:28]:<28} {each.n:>6} {ends:>20} {_percent(each.shrunk):>6} "
                f"{_percent(each.clean_accuracy):>6} {_percent(each.effective_robustness, '+'):>6}"
            )
    if report.top_share is not None:
        lines.append(f"a tenth of the classes carry {report.top_share:.0%} of the effective robustness")
    for name, indices in report.names.spoken_twice.items():
        lines.append(f"one name, so no telling apart: {name!r} is classes {', '.join(map(str, indices))}")
    return lines + ([] if report.note is None else [f"note: {report.note}"])


def _gain(gain: Any) -> list[str]:
    lines = [
        f"{gain.first} minus {gain.second} on {gain.shift}: {_percent(gain.difference, '+')} points, "
        f"McNemar p {gain.mcnemar_p:.2g}",
        f"  {'class':<28} {'images':>6} {'first':>6} {'second':>6} {'points of the whole':>19} {'p (BH)':>8}",
    ]
    for each in gain.classes[:SHOWN]:
        lines.append(
            f"  {each.name[:28]:<28} {each.n:>6} {_percent(each.first):>6} {_percent(each.second):>6} "
            f"{100 * each.contribution:>+19.2f} {each.p_adjusted:>8.2g}"
        )
    if gain.carried_by is None:
        return [*lines, "no difference of the two is shown, so nothing carries it"]
    return [
        *lines,
        f"{gain.carried_by} of {len(gain.classes)} classes sum to the whole difference; the others cancel out",
    ]
