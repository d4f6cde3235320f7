"""`effrob eval`: parse, call the library, print."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from effrob.cli.collector import uncollected
from effrob.cli.options import at_option, follow_option, line_options
from effrob.errors import UsageProblem

if TYPE_CHECKING:
    from effrob.robustness.lines import LineOptions


def _models(values: tuple[str, ...]) -> tuple[str, ...]:
    """`@FILE` stands for the specs in it, one a line; blank lines and lines that start with # do not count."""
    from shifts.bounds.files import read_text

    specs: list[str] = []
    for value in values:
        if not value.startswith("@"):
            specs.append(value)
            continue
        path = Path(value[1:])
        if not path.is_file():
            raise UsageProblem(f"--model {value} wants a file of model specs, one a line; {path} is not there")
        try:
            lines = [line.strip() for line in read_text(path).splitlines()]
        except UnicodeDecodeError:
            raise UsageProblem(
                f"--model {value} wants a text file of model specs, one a line; {path} is no text"
            ) from None
        specs += [line for line in lines if line and not line.startswith("#")]
    return tuple(specs)


@click.command("eval")
@click.option(
    "--model", "models", multiple=True, required=True, metavar="SPEC", help="A model, or @FILE with one a line."
)
@click.option(
    "--head", "heads", multiple=True, metavar="NAME", help="native, zero-shot, ... [default: what the model has]"
)
@click.option(
    "--prompts",
    multiple=True,
    metavar="NAME-or-FILE",
    help="openai, simple, name-only, photo-only, or a JSON list. [default: the suite's]",
)
@click.option("--protocol", default="effrob", show_default=True, help="effrob, clip-benchmark or testbed.")
@click.option(
    "--shift", "shifts", multiple=True, metavar="NAME", help="A test set. [default: all of the suite that is found]"
)
@click.option(
    "--suite",
    default="imagenet",
    show_default=True,
    metavar="NAME-or-FILE",
    help="imagenet, pocket, one that was added, or FILE.toml.",
)
@click.option("--data", type=click.Path(path_type=Path), help="Folder of the data sets. [default: $EFFROB_DATA]")
@at_option
@follow_option
@click.option(
    "--results", type=click.Path(path_type=Path), default=Path("effrob-results"), show_default=True, help="Records."
)
@click.option("--cache", type=click.Path(path_type=Path), help="Features. [default: the user's cache folder]")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--precision", default="fp32", show_default=True, help="fp32, bf16 or fp16.")
@click.option(
    "--compile",
    "through_compile",
    is_flag=True,
    help="Run networks through torch.compile: a minute or so for each model, then faster where passes are long.",
)
@click.option(
    "--pixels",
    default="exact",
    show_default=True,
    help="exact: the model's own transform of the picture as RGB, bit for bit; fast: JPEGs resized on tensors, a level off in "
    "some pixels; nvjpeg: JPEGs decoded and resized on a GPU, some levels off.",
)
@click.option("--batch-size", default=64, show_default=True, metavar="N", help="Images a forward pass.")
@click.option(
    "--limit", type=int, metavar="N", help="At most N images a set, spread over its classes; rows say partial."
)
@click.option(
    "--partial", is_flag=True, help="Accept a set whose counts differ from the official ones; rows say partial."
)
@click.option("--train", metavar="NAME", help="Labelled set for heads that learn. [default: the suite's training set]")
@click.option("--train-limit", type=int, metavar="N", help="At most N training images a class for heads that learn.")
@click.option("--engine", default="local", show_default=True, help="local, torchrun or ray.")
@click.option("--address", metavar="ADDR", help="Ray cluster to use; auto for the one this machine belongs to.")
@click.option(
    "--pixel-cache", type=click.Path(path_type=Path), metavar="DIR", help="Keep decoded crops here for later models."
)
@click.option(
    "--allow-nondeterminism",
    is_flag=True,
    help="Record answers that depend on batch, order, calls or chance, with their spread, in place of refusing them.",
)
@click.option("--dry-run", is_flag=True, help="Print the jobs and what they and their probes will cost; run nothing.")
@click.option("-v", "--verbose", is_flag=True, help="Print every interval, logits, p-values and flags, however wide.")
@click.option("--json", "as_json", is_flag=True, help="Print the rows as strict JSON on standard output.")
@line_options
def command(
    models: tuple[str, ...],
    as_json: bool,
    verbose: bool,
    dry_run: bool,
    through_compile: bool,
    line: LineOptions,
    **options: Any,
) -> None:
    """Evaluate models on ImageNet and its natural shifts: accuracy and effective robustness, each with its interval.

    Every image is read once a model; features are kept, so that another head, prompt set or line costs no second pass. A
    run that was interrupted goes on where it stopped.
    """
    from effrob.evaluation.request import Request
    from effrob.features.precision import compiled
    from effrob.files import strict_json
    from effrob.robustness.rows import rows_of
    from shifts.storage.kept_places import cache_folder

    if through_compile:
        options["precision"] = compiled(options["precision"])
    options["shifts"] = options["shifts"] or None
    options["cache"] = options["cache"] or cache_folder()
    request = Request(models=_models(models), **options)
    if dry_run:
        _print_plan(request, as_json)
        return
    with redirect_stdout(sys.stderr):  # a user's loader or network may print
        with uncollected():
            from effrob.evaluation.evaluator import Evaluation, engine_for, say

            evaluation = Evaluation(request)
        report = evaluation.run(engine_for(request))
    rows = rows_of(report.stored, line)
    say(report)
    if as_json:
        click.echo(strict_json([row.as_json() for row in rows]), nl=False)
    elif rows:
        from effrob.leaderboard.terminal import table

        click.echo(table(rows, verbose))
        click.echo(f"records in {request.results}")
    if report.failures:
        sys.exit(1)


def _print_plan(request: Any, as_json: bool) -> None:
    from dataclasses import asdict

    from effrob.evaluation.evaluator import Evaluation
    from effrob.evaluation.needs import cost, needs_of, pending, unread
    from effrob.evaluation.plan import plan
    from effrob.evaluation.probe_costs import planned_probes, told
    from effrob.files import strict_json

    with redirect_stdout(sys.stderr):
        evaluation = Evaluation(request, read=False)
        refused = evaluation.refused(fetch=False)
    left = pending(evaluation.resolved, evaluation.store)
    kept = {id(task) for task in left}
    left = [task for number, task in enumerate(evaluation.tasks) if id(task) in kept and number not in refused]
    needs = needs_of(evaluation.resolved, left, evaluation.cache)
    planned = plan(needs)
    price = cost(evaluation.resolved, needs, planned)
    probes = planned_probes(evaluation.resolved, left, evaluation.cache)
    fresh = unread(evaluation.resolved)
    if as_json:
        counts = {"cells": len(evaluation.tasks), "pending": len(left), "unread": fresh}
        why = list(dict.fromkeys(refused.values()))
        costs = {**price.as_json(), "probes": [probe.as_json() for probe in probes]}
        click.echo(strict_json({**asdict(planned), **counts, "refused": why, "forecast": costs}), nl=False)
        sys.exit(1 if refused else 0)
    for notice in (*evaluation.notices, *evaluation.resolved.broken):
        click.echo(notice, err=True)
    if fresh:
        click.echo(f"not read yet, and counted as new: {', '.join(fresh)}", err=True)
    for job in planned.jobs:
        click.echo(f"{job.source} rows {job.start}-{job.stop}: {', '.join(job.models)}")
    for sentence in dict.fromkeys(refused.values()):
        click.echo(sentence, err=True)
    done = len(evaluation.tasks) - len(left) - len(refused)
    click.echo(
        f"{len(planned.jobs)} jobs, {planned.decodes} images to decode, {planned.forwards} through networks; "
        f"{done} cells are done"
    )
    click.echo(str(price))
    for sentence in told(probes):
        click.echo(sentence)
    if refused:
        sys.exit(1)
