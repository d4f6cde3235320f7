"""The command line: one file a verb, loaded when it is called, so that `effrob --help` loads neither torch nor scipy.

Whatever goes wrong ends in one sentence on standard error: exit 2 for what was asked wrongly, 1 for what failed.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import click

from effrob.errors import EffrobError, describe_error, suggest

VERBS = {
    "eval": ("effrob.cli.evaluate:command", "Evaluate models: accuracy and effective robustness on each shift."),
    "register": ("effrob.cli.register:command", "Give a checkpoint or a loader a name that every command knows."),
    "probe": ("effrob.cli.probe:probe", "Share a trained head, or make a shared one known."),
    "fit": ("effrob.cli.fit:fit", "Fit the line ordinary ImageNet models fall on, shift by shift."),
    "baseline": ("effrob.cli.baseline:baseline", "List, show or build the sets of models a line is fitted to."),
    "place": ("effrob.cli.results.place:command", "Judge accuracies you already have: a few numbers, or a CSV."),
    "import": ("effrob.cli.results.imported:command", "Keep answers made elsewhere as records: no picture is needed."),
    "verify": (
        "effrob.cli.results.verify:command",
        "Run images of a record through its model again, and compare answers.",
    ),
    "cite": ("effrob.cli.results.cite:command", "Write the methods and the result for a paper, with BibTeX."),
    "compare": ("effrob.cli.compare:compare", "Compare two models on the same images and the same line."),
    "leaderboard": ("effrob.cli.leaderboard:command", "Rank measured and published models by effective robustness."),
    "plot": ("effrob.cli.plot:command", "Draw models and the line they are judged by, for print."),
    "explain": (
        "effrob.cli.analysis.explain:command",
        "Say why an accuracy is not the one expected: which settings give it.",
    ),
    "classes": (
        "effrob.cli.analysis.classes:command",
        "Look at a model class by class, or at what a gain is made of.",
    ),
    "factors": ("effrob.cli.analysis.factors:command", "Ask what makes a model err, by ImageNet-X's factors."),
    "agreement": (
        "effrob.cli.analysis.agreement:command",
        "Predict accuracy under shift without labels, from agreement.",
    ),
    "subsets": ("effrob.cli.analysis.subsets:command", "Look for images of a shift on which better models do worse."),
    "support": (
        "effrob.cli.analysis.support:command",
        "Split a shift by whether clean images lie there too; a line on each part.",
    ),
    "calibration": (
        "effrob.cli.analysis.calibration:command",
        "Ask whether confidence means anything under shift, from kept answers.",
    ),
    "study": ("effrob.cli.study:study", "Ask what moves effective robustness; five studies ship."),
    "models": ("effrob.cli.models:command", "List models, or show one: its card, pixels and default weights."),
    "suite": ("effrob.cli.suite:suite", "List suites, or bring a data set of your own as a TOML file."),
    "shifts": ("effrob.cli.shifts:command", "List test sets, or show one."),
    "captions": ("effrob.cli.captions:command", "Check, build and export ImageNet-Captions; label images by captions."),
    "data": ("effrob.cli.data:command", "See which data sets are found, and check them."),
}


class Verbs(click.Group):
    """A group whose commands are imported when they are used, and whose errors are sentences."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        module, _, attribute = VERBS[name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        _refuse_repeats(command)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            raise click.UsageError(f"no command is called {args[0]!r}{suggest(args[0], VERBS)}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in VERBS.items()])

    def main(self, *args: Any, **options: Any) -> Any:
        """Run, with names of others unable to move the cursor, to colour or to turn what is printed round."""
        from shifts.bounds.text import PlainStream

        streams = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = PlainStream(sys.stdout), PlainStream(sys.stderr)
        try:
            return super().main(*args, **options)
        finally:
            sys.stdout, sys.stderr = streams

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except BrokenPipeError:  # the reader has seen enough, as `head` does
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(0)
        except KeyboardInterrupt:
            print(
                "Interrupted: what was finished is whole and kept; run this again to go on from there", file=sys.stderr
            )
            ctx.exit(130)
        except Exception as error:
            status = exit_status(error)
            if status is None and os.environ.get("EFFROB_TRACEBACK"):
                raise
            print(f"Error: {sentence(error)}", file=sys.stderr)
            ctx.exit(1 if status is None else status)


def _refuse_repeats(command: click.Command) -> None:
    """Let a command refuse an option that takes one value and is given twice: click would keep the last, silently."""
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            inner = command.get_command(click.Context(command), name)
            if inner is not None:
                _refuse_repeats(inner)
    if hasattr(command, "refuses_repeats"):
        return
    parse = command.parse_args

    def parse_once(ctx: click.Context, args: list[str]) -> list[str]:
        _, _, order = command.make_parser(ctx).parse_args(args=list(args))
        for parameter in order:
            single = isinstance(parameter, click.Option) and not (
                parameter.multiple or parameter.is_flag or parameter.count
            )
            if single and order.count(parameter) > 1:
                raise click.UsageError(
                    f"{max(parameter.opts, key=len)} takes one value and was given twice: keep one", ctx
                )
        return parse(ctx, args)

    command.parse_args = parse_once  # type: ignore[method-assign]
    command.refuses_repeats = True  # type: ignore[attr-defined]


def exit_status(error: Exception) -> int | None:
    """2 for what was asked wrongly, 1 for what failed, None for what nobody foresaw."""
    if isinstance(error, EffrobError):
        return error.exit_status
    if type(error).__module__.partition(".")[0] in ("shifts", "model_zoo"):
        return int(getattr(error, "exit_status", 2))
    return 1 if isinstance(error, OSError | MemoryError) else None


def sentence(error: Exception) -> str:
    """What a user is told."""
    text = describe_error(error)
    if exit_status(error) is None:
        return f"unexpected {type(error).__name__}: {text or 'no message'} (set EFFROB_TRACEBACK=1 to see where)"
    return text


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="effrob", prog_name="effrob")
def main() -> None:
    """Is an image model robust, or merely accurate?

    effrob measures accuracy on ImageNet and its natural shifts, and how far a model stands above the line on which
    ordinary ImageNet models fall.
    """
