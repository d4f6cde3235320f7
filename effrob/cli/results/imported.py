"""`effrob import`: answers made elsewhere become records."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from effrob.cli.options import line_options, records_option

if TYPE_CHECKING:
    from effrob.robustness.lines import LineOptions


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--model", required=True, metavar="NAME", help="Name of the model that answered.")
@click.option("--shift", required=True, metavar="NAME", help="Test set: NAME, SUITE/SET, or SET with --suite.")
@click.option("--clean", type=click.Path(path_type=Path), metavar="FILE", help="Its answers on the suite's clean set.")
@click.option("--ids", type=click.Path(path_type=Path), metavar="FILE", help="Ids of FILE's rows, one a line.")
@click.option("--clean-ids", type=click.Path(path_type=Path), metavar="FILE", help="Ids of the clean answers' rows.")
@click.option(
    "--order",
    metavar="official|folders",
    help="Rows without ids: official, by the images' numbers or sorted; folders, as torchvision's ImageFolder lists them.",
)
@click.option("--what", metavar="classes|logits", help="What FILE holds. [default: seen from it]")
@click.option("--protocol", default="effrob", show_default=True, help="effrob, clip-benchmark or testbed.")
@click.option("--suite", metavar="NAME-or-FILE", help="Suite the set is of, where it is one of your own.")
@click.option(
    "--data", type=click.Path(path_type=Path), help="Folder of the data sets, for sets not known by ids alone."
)
@click.option("--partial", is_flag=True, help="Accept answers on a part of the set; the record says partial.")
@click.option("--chance", is_flag=True, help="Accept answers that are right no more often than by chance.")
@records_option
@click.option("--json", "as_json", is_flag=True, help="Print the row as strict JSON on standard output.")
@line_options
def command(
    file: Path,
    model: str,
    shift: str,
    clean: Path | None,
    ids: Path | None,
    clean_ids: Path | None,
    order: str | None,
    what: str | None,
    protocol: str,
    suite: str | None,
    data: Path | None,
    partial: bool,
    chance: bool,
    results: Path,
    as_json: bool,
    line: LineOptions,
) -> None:
    """Keep a model's answers on a set as a record, image by image; no picture is needed.

    FILE is npy, npz (ids, and classes or logits), csv (id,class), parquet or feather: an answer an image, or a score a class;
    classes are numbered over all classes of the suite or over the set's own. Ids are paths inside the set or official file
    names. Whatever shows that the file is of another set, or in another order, is refused.
    """
    from effrob.errors import UsageProblem
    from effrob.files import strict_json
    from effrob.results.answer_match import answered_set, match_answers
    from effrob.results.imported import ImportRequest, import_answers
    from effrob.robustness.rows import row_of
    from shifts.registry import suite_of
    from shifts.storage.kept_places import cache_folder

    if not model.strip():
        raise UsageProblem("--model wants a name for the model that answered")
    cache = cache_folder() / "pocket"
    of = answered_set(shift, suite, data, cache, protocol, partial)
    answers = match_answers(file, of, what, ids, order)
    beside = None
    clean_set = (of.suite or suite_of(of.name)).clean
    if clean is not None and of.name == clean_set:
        raise UsageProblem(f"{of.name} is the clean set itself: leave out --clean")
    if clean is not None:
        whole = answered_set(clean_set, suite, data, cache, protocol, partial)
        beside = match_answers(clean, whole, None, clean_ids, _order(clean, clean_ids, order))
    stored, notices = import_answers(answers, beside, ImportRequest(model.strip(), results, chance), of.suite)
    for notice in notices:
        click.echo(notice, err=True)
    row = row_of(stored, line)
    if as_json:
        click.echo(strict_json(row.as_json()), nl=False)
        return
    from effrob.leaderboard.terminal import table

    click.echo(table([row], more="--json has every interval"))
    click.echo(f"imported into {stored.folder}")


def _order(clean: Path, clean_ids: Path | None, order: str | None) -> str | None:
    """The order of the clean answers: as that of FILE, where they have no ids of their own."""
    from effrob.results.answer_files import read_answers

    return None if clean_ids is not None or read_answers(clean).ids is not None else order
