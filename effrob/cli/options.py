"""Options several commands share, as click decorators: where sets and records lie, how rows print, and which line judges."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from effrob.results.model_result import ModelResult

F = TypeVar("F", bound=Callable[..., Any])


def _known(value: str, known: list[str], what: str) -> str:
    from effrob.errors import UsageProblem, suggest

    if value not in known:
        raise UsageProblem(f"no {what} is named {value!r}{suggest(value, known)}")
    return value


def _baseline(ctx: click.Context, option: click.Parameter, value: str | None) -> str | None:
    from effrob.robustness.baselines.catalogue import baseline_names

    return None if value is None else _known(value, baseline_names(), "baseline")


def _axis(ctx: click.Context, option: click.Parameter, value: str) -> str:
    return _known(value, ["clean", "full"], "axis")


def _scale(ctx: click.Context, option: click.Parameter, value: str) -> str:
    return _known(value, ["logit", "probit"], "scale")


def add_option(command: F) -> F:
    """Adds --add FILE.csv, again and again; the command gets `add`, a tuple of paths."""
    return click.option(
        "--add",
        multiple=True,
        type=click.Path(path_type=Path),
        metavar="FILE.csv",
        help="Accuracies of your own beside the others, as `effrob place` reads them; may be given again.",
    )(command)


def given(add: tuple[Path, ...]) -> list[ModelResult]:
    """The models of files of accuracies; how a file was understood is said on standard error."""
    from effrob.errors import UsageProblem
    from effrob.results.given.table import read_given

    results: list[ModelResult] = []
    files: dict[str, Path] = {}
    for path in add:
        table = read_given(path)
        other = files.setdefault(table.name, path)
        if other != path:
            raise UsageProblem(
                f"--add {other} and {path} are both called {table.name}, and their rows could not be told apart: rename one"
            )
        for notice in table.notices:
            click.echo(notice, err=True)
        results += table.results
    return results


def _places(ctx: click.Context, option: click.Parameter, values: tuple[str, ...]) -> tuple[tuple[str, Path], ...]:
    from effrob.errors import UsageProblem

    places: dict[str, Path] = {}
    for value in values:
        name, equals, place = value.partition("=")
        if not equals or not name or not place:
            raise UsageProblem(
                f"--at names a set and its folder or file, as --at imagenet-r=/disk/imagenet-r; got {value!r}"
            )
        if places.setdefault(name, Path(place)) != Path(place):
            raise UsageProblem(f"--at names two places of {name}, {places[name]} and {place}; give one")
    return tuple(places.items())


def at_option(command: F) -> F:
    """Adds --at SET=PATH; the command gets `at`, a tuple of (set, path)."""
    return click.option(
        "--at",
        multiple=True,
        metavar="SET=PATH",
        callback=_places,
        help="A set's own folder or file, in any form that is read; before what --data holds.",
    )(command)


def records_option(command: F) -> F:
    """Adds --results, the one folder that records are read from; the command gets `results`, a path."""
    return click.option(
        "--results", type=click.Path(path_type=Path), default=Path("effrob-results"), show_default=True, help="Records."
    )(command)


def data_folder(given: Path | None) -> Path | None:
    """The folder of the data sets: the one given, else $EFFROB_DATA's, else none."""
    named = os.environ.get("EFFROB_DATA")
    return given or (Path(named) if named else None)


def reading_options(command: F) -> F:
    """Adds --head and --prompts, which say how a model was read, where it was in several ways."""
    command = click.option("--prompts", metavar="NAME", help="Which prompt set's records, where a model has several.")(
        command
    )
    return click.option("--head", metavar="NAME", help="Which head's records, where a model has several.")(command)


def print_rows(rows: Any, as_json: bool, text: Callable[[], Iterable[str]]) -> None:
    """Print `rows` as strict JSON, or the lines of `text`."""
    if as_json:
        from effrob.files import strict_json

        click.echo(strict_json(rows), nl=False)
        return
    for line in text():
        click.echo(line)


def json_option(command: F) -> F:
    """Adds --json; the command gets `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print strict JSON on standard output.")(command)


def follow_option(command: F) -> F:
    """Adds --follow-links."""
    return click.option("--follow-links", is_flag=True, help="Follow links that leave a set's folder.")(command)


def line_options(command: F) -> F:
    """Adds --baseline, --axis, --scale and --family; the command gets `line`, the LineOptions of them.

    What was left to its default is seen by click's `ctx.get_parameter_source`.

    An unknown name ends in one sentence with near matches and exit status 2.
    """

    @functools.wraps(command)
    def with_line(
        *args: Any, baseline: str | None, axis: str, scale: str, families: tuple[str, ...], **options: Any
    ) -> Any:
        from effrob.robustness.lines import LineOptions

        return command(*args, line=LineOptions(baseline, axis, scale, families), **options)

    made: Any = with_line
    for decorate in (
        click.option(
            "--family",
            "families",
            multiple=True,
            metavar="GLOB=NAME",
            help="With --baseline measured: models that stand or fall together are one witness. [default: found]",
        ),
        click.option(
            "--scale",
            default="logit",
            show_default=True,
            metavar="logit|probit",
            callback=_scale,
            help="What an accuracy is turned into before the line is fitted.",
        ),
        click.option(
            "--axis",
            default="clean",
            show_default=True,
            metavar="clean|full",
            callback=_axis,
            help="Clean accuracy on the shift's own classes, or on all of them.",
        ),
        click.option(
            "--baseline",
            metavar="NAME",
            callback=_baseline,
            help="Models the line is fitted to; `effrob baseline list`. [default: the suite's own]",
        ),
    ):
        made = decorate(made)
    outcome: F = made
    return outcome
