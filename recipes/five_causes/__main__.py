"""`python -m recipes.five_causes --scale pocket`: train the grid, evaluate it with effrob, write the report.

`--scale imagenet` prints the published experiment's runs as command lines instead.
"""

from __future__ import annotations

import time
from pathlib import Path

import click


@click.command()
@click.option("--scale", type=click.Choice(["pocket", "imagenet"]), default="pocket", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=Path("five-causes"), show_default=True,
              help="Weights, records and caches; a second start goes on from what is there.")  # fmt: skip
@click.option("--data", type=click.Path(path_type=Path), help="Where the pocket sets are drawn. [default: OUT/data]")
@click.option("--report", type=click.Path(path_type=Path), default=Path("docs/five-causes"), show_default=True,
              help="Where report.md, report.json and the figures are written.")  # fmt: skip
@click.option("--seeds", type=click.IntRange(min=2), default=5, show_default=True, help="Replicates of every arm.")
@click.option("--only-seed", type=int, multiple=True, metavar="N",
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
    from dataclasses import replace

    import torch

    from recipes.five_causes.grid import POCKET
    from recipes.five_causes.work import run_grid

    torch.set_num_threads(threads)
    started = time.time()
    grid = replace(POCKET, seeds=seeds)
    if only_seed:
        run_grid(replace(grid, members=()), data or out / "data", out, click.echo, only_seed)
        return
    measured = run_grid(grid, data or out / "data", out, click.echo)
    from recipes.five_causes.report import write_report

    write_report(grid, measured, out, report)
    click.echo(f"{report / 'report.md'} is written; this start took {time.time() - started:.0f} s")


if __name__ == "__main__":
    main()
