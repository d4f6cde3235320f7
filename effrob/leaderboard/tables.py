"""Published tables as board rows. What a source does not give stays null; nothing is filled in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from effrob.errors import UsageProblem, suggest
from effrob.leaderboard.cell import Lines, cell, robustness_of_mean
from effrob.leaderboard.table import BoardRow
from effrob.results.accuracy import Accuracy
from effrob.robustness.rows import FOUR
from model_zoo.published import PublishedAccuracy, largest_sizes, published, sources

SUITE = "imagenet"


def table_names(asked: str) -> list[str]:
    """`all`, `none`, or names separated by commas. Raises UsageProblem for a name that is no table."""
    known = sources()
    if asked in ("all", "none"):
        return known if asked == "all" else []
    names = [name.strip().replace("-", "_") for name in asked.split(",") if name.strip()]
    for name in names:
        if name not in known:
            raise UsageProblem(f"no published table is named {name!r}{suggest(name, [*known, 'all', 'none'])}")
    return list(dict.fromkeys(names))


def published_rows(names: Sequence[str], lines: Lines) -> Iterator[BoardRow]:
    """Every model of the tables named, at its largest image size."""
    for name in names:
        for row in largest_sizes(published(name)):
            yield _row(row, lines)


def _row(row: PublishedAccuracy, lines: Lines) -> BoardRow:
    # One axis a row: where a shift lacks its class-matched accuracy, the whole row stands on the full one.
    matched = all(shift in row.clean_matched for shift in row.accuracies)
    axis = lines.line.axis if matched else "full"
    full = None if row.clean_full is None else Accuracy.of(row.clean_full, row.images["imagenet"])
    cells = {}
    for shift, value in row.accuracies.items():
        clean = row.clean(shift)
        cells[shift] = cell(
            lines,
            shift,
            axis,
            accuracy=Accuracy.of(value, row.images[shift]),
            clean=None if clean is None else Accuracy.of(*clean),
            clean_full=full,
            model=row.model,
            source=f"published:{row.source}",
        )
    four = [cells[shift].accuracy for shift in FOUR[SUITE] if shift in cells]
    return BoardRow(
        model=row.model,
        img_size=row.img_size,
        source=f"published:{row.source}",
        head=row.head,
        prompts=row.prompts,
        protocol=row.protocol,
        suite=SUITE,
        axis=axis,
        clean_full=full,
        cells=cells,
        of_mean=robustness_of_mean(lines, SUITE, four, full),
        details={"training_data": row.training_data, "note": row.note, "others": dict(row.others)},
    )
