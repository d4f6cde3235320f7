"""`python -m recipes.five_causes --scale pocket`: train the grid, evaluate it with effrob, write the report.

`--scale imagenet` prints the published experiment's runs as command lines instead.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import click

from effrob.errors import EffrobError
from model_zoo.errors import ModelError
from recipes.five_causes.grid import POCKET, Grid
from shifts.errors import DataError, DataMissing


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--scale", type=click.Choice(["pocket", "imagenet"]), default="pocket", show_default=True)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("five-causes"), show_default=True,
              help="Weights, records and caches, 3 GB; a second start goes on from what is there.")  # fmt: skip
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
def main(
    scale: str, out: Path, data: Path | None, report: Path, seeds: int, only_seed: tuple[int, ...], threads: int
) -> None:
    """Which of five things makes CLIP robust? Train, evaluate and compare."""
    if scale == "imagenet":
        from recipes.five_causes.imagenet import commands

        click.echo("\n".join(commands()))
        return
    if only_seed and max(only_seed) >= seeds:
        raise click.UsageError(f"there are seeds 0 to {seeds - 1}, and --only-seed asks for {max(only_seed)}")
    try:
        started = time.time()
        run(replace(POCKET, seeds=seeds), data or out / "data", out, report, only_seed, threads)
        click.echo(f"this start took {time.time() - started:.0f} s")
    except ImportError as error:
        raise click.UsageError(f"{error}: this needs `pip install 'effrob[training,plots]'`") from None
    except (EffrobError, DataError, DataMissing, ModelError) as error:
        raise click.ClickException(str(error)) from None


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
