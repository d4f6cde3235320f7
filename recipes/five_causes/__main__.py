"""`python -m recipes.five_causes --scale pocket`: train the grid, evaluate it with effrob, write the report.

`--scale imagenet` prints the published experiment's runs as command lines instead, and reads their study when they are done.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import click

from effrob.errors import EffrobError
from model_zoo.errors import ModelError
from recipes.five_causes.full_scale.plan import GPUS
from recipes.five_causes.grid import POCKET, Grid
from shifts.errors import DataError, DataMissing

MINUTES = 43  # of one processor core, all ten seeds


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--scale", type=click.Choice(["pocket", "imagenet"]), default="pocket", show_default=True)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("five-causes"), show_default=True,
              help="Pictures, weights, records and caches, 1 GB; a second start goes on from what is there.")  # fmt: skip
@click.option("--data", type=click.Path(path_type=Path, file_okay=False),
              help="Where the pocket sets are, or are drawn. [default: OUT/data]")  # fmt: skip
@click.option("--report", type=click.Path(path_type=Path, file_okay=False), default=Path("docs/five-causes"),
              show_default=True, help="Where report.md, report.json and the figures are written.")  # fmt: skip
@click.option(
    "--seeds", type=click.IntRange(min=2), default=POCKET.seeds, show_default=True, help="Replicates of every arm."
)
@click.option("--only-seed", type=click.IntRange(min=0), multiple=True, metavar="N",
              help="Train and evaluate this seed's runs and write no report: for processes side by side.")  # fmt: skip
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("--gpus", type=click.IntRange(min=1), default=GPUS, show_default=True,
              help="With --scale imagenet: of the machine that the commands are for.")  # fmt: skip
@click.option("--report-to", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="With --scale imagenet: write the finished runs' report, for `effrob study summary --trained`.")  # fmt: skip
@click.option("--study", type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="FILE",
              help="With --report-to: another study than the plan's, of runs by other names.")  # fmt: skip
@click.option("--results", type=click.Path(path_type=Path, file_okay=False), default=Path("effrob-results"),
              show_default=True, help="With --report-to: where the runs' records are.")  # fmt: skip
def main(
    scale: str, out: Path, data: Path | None, report: Path, seeds: int, only_seed: tuple[int, ...], threads: int, gpus: int,
    report_to: Path | None, study: Path | None, results: Path,
) -> None:  # fmt: skip
    """Which of five things makes CLIP robust? Train, evaluate and compare."""
    if scale == "pocket" and report_to is not None:
        raise click.UsageError("--report-to reads runs at full scale: add --scale imagenet, or use --report DIR")
    if study is not None and report_to is None:
        raise click.UsageError("--study says whose runs a report is of: add --report-to FILE")
    if scale == "imagenet":
        at_full_scale(gpus, report_to, study, results)
        return
    if only_seed and max(only_seed) >= seeds:
        raise click.UsageError(f"there are seeds 0 to {seeds - 1}, and --only-seed asks for {max(only_seed)}")
    try:
        started = time.time()
        minutes = MINUTES * (len(set(only_seed)) or seeds) / POCKET.seeds
        click.echo(f"about {minutes:.0f} minutes of one processor core, less what is there already")
        run(replace(POCKET, seeds=seeds), data or out / "data", out, report, only_seed, threads)
        click.echo(f"this start took {time.time() - started:.0f} s")
    except ImportError as error:
        raise click.UsageError(f"{error}: this needs `pip install 'effrob[training,plots]'`") from None
    except (EffrobError, DataError, DataMissing, ModelError) as error:
        raise click.ClickException(str(error)) from None


def at_full_scale(gpus: int, report_to: Path | None, study: Path | None, results: Path) -> None:
    """Print the commands, or write the report of what they made."""
    if report_to is None:
        from recipes.five_causes.full_scale.plan import commands

        if 1024 % gpus:
            raise click.UsageError(
                f"batches of 1024 pictures are shared evenly, which {gpus} GPUs cannot: give a power of two"
            )
        click.echo("\n".join(commands(gpus)))
        return
    from recipes.five_causes.full_scale.plan import STUDY
    from recipes.five_causes.full_scale.report import write_report

    try:
        causes = write_report(results, report_to, study or STUDY)
    except EffrobError as error:
        raise click.UsageError(str(error)) from None
    click.echo(
        f"{len(causes)} causes in {report_to}; `effrob study summary --trained {report_to}` sets them in the table"
    )


def run(grid: Grid, data: Path, out: Path, report: Path, only_seed: tuple[int, ...], threads: int) -> None:
    """The grid and, unless some seeds alone were asked for, the baseline's members and the report."""
    import torch

    from recipes.five_causes.report import write_report  # with all it needs, before the hour of training
    from recipes.five_causes.work import run_grid

    torch.set_num_threads(threads)
    if only_seed:
        run_grid(replace(grid, members=()), data, out, click.echo, only_seed)
    else:
        write_report(grid, run_grid(grid, data, out, click.echo), out, report)
        click.echo(f"{report / 'report.md'} is written")


if __name__ == "__main__":
    main()
