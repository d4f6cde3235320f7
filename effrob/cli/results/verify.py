"""`effrob verify`: a record's answers against the model, on a random sample of its images."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import click

from effrob.cli.options import at_option, data_folder, follow_option, json_option


@click.command("verify")
@click.argument("record", metavar="RECORD", type=click.Path(path_type=Path))
@click.option("--model", required=True, metavar="SPEC", help="The model that is said to have answered.")
@click.option(
    "--images", type=click.IntRange(1), default=200, show_default=True, metavar="N", help="Images of each view."
)
@click.option("--seed", type=click.IntRange(0), metavar="N", help="Of the sample. [default: drawn, and printed]")
@click.option("--prompts", metavar="FILE", help="The prompts, where the record's are a file of one's own.")
@click.option(
    "--train", metavar="NAME", help="Labelled set that the head learnt from. [default: the one the record names]"
)
@click.option(
    "--train-limit", type=int, metavar="N", help="Its training images a class. [default: as many as the record's]"
)
@click.option("--suite", metavar="NAME-or-FILE", help="Of the set. [default: the one that has it]")
@click.option("--data", type=click.Path(path_type=Path), help="Folder of the data sets. [default: $EFFROB_DATA]")
@at_option
@follow_option
@click.option("--cache", type=click.Path(path_type=Path), help="Classifiers. [default: the user's cache folder]")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--batch-size", default=64, show_default=True, metavar="N", help="Images a forward pass.")
@json_option
def command(
    record: Path,
    model: str,
    images: int,
    seed: int | None,
    prompts: str | None,
    train: str | None,
    train_limit: int | None,
    suite: str | None,
    data: Path | None,
    at: tuple[tuple[str, Path], ...],
    follow_links: bool,
    cache: Path | None,
    device: str,
    batch_size: int,
    as_json: bool,
) -> None:
    """Run a random sample of a record's images through its model again, and compare the answers.

    RECORD is a record's folder, as `effrob eval --json` prints it. The record is recounted first. N images are drawn from the
    shift and N from the clean view, prepared and scored as the record says; features that lie in the cache are not used.

    An answer is the best class of the set's, the best of all classes and the five best. One that lies below the model's by less
    than 1 % of the median margin (5 % in bf16 and fp16) is a near tie, counted and let pass. If 1 % of a large file's answers
    were altered, 200 images meet one with probability 0.87.

    Ends with exit status 0 and the word "reproduced", or with 1, how many answers differ and the first of them. Nothing is
    written.
    """
    from effrob.files import strict_json

    with redirect_stdout(sys.stderr):  # a user's loader may print
        found = _verified(
            record,
            model,
            images,
            seed,
            suite,
            prompts=prompts,
            train=train,
            train_limit=train_limit,
            data=data,
            at=at,
            follow_links=follow_links,
            device=device,
            batch_size=batch_size,
            **({} if cache is None else {"cache": cache}),
        )
    if as_json:
        click.echo(strict_json(found.as_json()), nl=False)
    else:
        for line in _text(found):
            click.echo(line)
    sys.exit(0 if found.reproduced else 1)


def _verified(record: Path, model: str, images: int, seed: int | None, suite: str | None, **options: Any) -> Any:
    import secrets

    from effrob.errors import UsageProblem
    from effrob.results.store import read

    folder = record.parent if record.name == "record.json" else record
    if not (folder / "record.json").is_file():
        raise UsageProblem(f"{record} is no record's folder: `effrob eval --json` prints each row's as `record`")
    stored = read(folder)
    from effrob.evaluation.verify import verify_record
    from effrob.evaluation.verify_request import request_of

    options["data"] = data_folder(options["data"])
    request = request_of(stored.record, model, suite, **options)
    return verify_record(stored, request, images, secrets.randbelow(1 << 32) if seed is None else seed)


def _text(found: Any) -> list[str]:
    asked = found.stored.record.asked
    lines = [f"{asked.model} on {asked.shift} ({asked.head}), run again as {found.model}, seed {found.seed}"]
    for view in found.views:
        what = "the shift" if view.file == "predictions.npz" else "the clean view"
        alike, ties = (
            view.n - len(view.differing),
            f"; {len(view.near_ties):,} of them near ties" if view.near_ties else "",
        )
        lines.append(
            f"  {what}: {alike:,} of {view.n:,} images answered alike, of {view.n_record:,} in the record{ties}"
        )
        if view.differing:
            lines.append(f"    {len(view.differing):,} differ, first {', '.join(view.differing[:5])}")
        lines.append(f"    1 % of altered answers would be met with probability {view.caught:.2f}")
    lines += [f"notice: {notice}" for notice in found.notices]
    lines.append("reproduced" if found.reproduced else "not reproduced: the record's answers are not this model's")
    return lines
