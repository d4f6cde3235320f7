"""A board as Markdown, CSV or JSON. Percent in Markdown, fractions in CSV and JSON; what does not exist stays empty or null."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from effrob.leaderboard.board import Board
from effrob.leaderboard.formatting import interval, joined, logit_interval, logits, percent, points, reading, title
from effrob.leaderboard.row import BoardRow
from effrob.leaderboard.scored_shift import ScoredShift
from effrob.results.accuracy import Accuracy
from effrob.robustness.rows import ROBUSTNESS
from shifts import suite
from shifts.bounds.text import csv_cell

RULE = (
    "Ranked by the mean logit residual over the suite's ranked shifts; the mean in points stands beside it. A diagnostic set "
    "is shown and ranks nothing. A row without all ranked shifts has no mean and no rank. Each table ranks for itself: "
    "measured, imported, given and published rows, the two axes, and rows beyond the baseline's clean accuracies do not "
    "compare."
)
RANKS = "Ranks in brackets are those the interval of the logit mean leaves open."
READING = (
    "A cell is accuracy [95 % confidence interval], then effective robustness in points [95 % confidence interval: sampling "
    "of both accuracies, and the line]: accuracy minus what the line gives a baseline model of the same clean accuracy. Marks "
    "read the wider prediction interval, which adds the scatter of baseline models. No mark: it leaves 0 out. `●` on the line: "
    "it holds 0. `?` cannot tell: there is no usable line, or too much uncertainty for a verdict. `*` extrapolated beyond the "
    "baseline's clean accuracies, so it cannot be told either. `!` it leaves 0 out, but so it would for some on a "
    "board so long: the departure does not stand at a false discovery rate of 5 % (over all cells within the baseline's "
    "range, rows of one origin together, without diagnostic sets); `≈` answers depend on more than the image; `†` other "
    f"evidence contradicts the accuracy, or one that a mean rests on, which `effrob models MODEL` shows. {RANKS} "
    "Intervals of means are the means of the intervals, the widest case."
)


DISPUTED = "†"
REACH = {
    "within": "",
    "above": ", above the baseline's clean accuracies on a shift: the line is extrapolated",
    "below": ", below the baseline's clean accuracies on a shift: the line is extrapolated",
    "unranked": ", not ranked for want of a ranked shift",
}


@dataclass(frozen=True)
class Section:
    """Rows that can be compared, with what they stand on."""

    title: str
    stands: str
    suite: str
    rows: tuple[BoardRow, ...]
    shifts: tuple[str, ...]


def sections(ranking: Board, top: int | None = None) -> list[Section]:
    """The board's groups, measured first, then imported, given and published; `top` keeps that many rows of each."""
    made = []
    for group, rows in ranking.groups.items():
        protocols = ", ".join(sorted({row.protocol for row in rows}))
        sources = (
            "; recounted from the records' answers"
            if group.kind in ("measured", "imported")
            else f"; sources: {', '.join(sorted({row.source for row in rows}))}"
        )
        mixed = " (rows of different protocols are not comparable to the last point)" if ", " in protocols else ""
        left = "" if top is None or top >= len(rows) else f"; the first {top} of {len(rows)} rows"
        made.append(
            Section(
                title=f"{group.kind.capitalize()}, {group.suite} suite, {group.axis} axis{REACH[group.reach]}",
                stands=f"{_stands(rows)}; protocols: {protocols}{mixed}{sources}{left}",
                suite=group.suite,
                rows=rows[:top],
                shifts=_shown(ranking, group.suite, rows),
            )
        )
    return made


def _stands(rows: Iterable[BoardRow]) -> str:
    lines = {
        f"line of baseline {cell.baseline}, {cell.axis} axis, {cell.scale} scale"
        for row in rows
        for cell in row.cells.values()
        if cell.effective is not None
    }
    return "; ".join(sorted(lines)) or "no line"


def marks(cell: ScoredShift, by_chance: bool) -> str:
    """`*` extrapolated; `●` on the line, `?` cannot tell, as the page has them; `!` off it, yet not among so many; `~` part of
    the set only, `≈` answers that depend on more than the image,
    `†` disputed by other evidence.

    by_chance  whether the departure does not stand at the board's false discovery rate
    """
    effective = cell.effective
    verdict = "" if effective is None or effective.verdict is None else effective.verdict
    extrapolated = "*" if effective is not None and effective.extrapolated else ""
    unsure = "" if extrapolated else {"on": "●", "cannot-tell": "?"}.get(verdict, "")
    chance = "!" if verdict in ("above", "below") and by_chance else ""
    return (
        extrapolated
        + unsure
        + chance
        + ("~" if cell.partial else "")
        + ("≈" if cell.nondeterministic else "")
        + (DISPUTED if cell.disputed else "")
    )


def rank_text(ranking: Board, row: BoardRow) -> str:
    ranks = ranking.rank_range(row)
    if ranks.rank is None:
        return "-"
    return str(ranks.rank) if ranks.best == ranks.worst else f"{ranks.rank} ({ranks.best}-{ranks.worst})"


def _shown(ranking: Board, of_suite: str, rows: Sequence[BoardRow]) -> tuple[str, ...]:
    """The suite's ranked and diagnostic sets, or of those that were named the ones that a row has."""
    if not ranking.shifts:
        return suite(of_suite).shifts
    return tuple(shift for shift in ranking.shifts if any(shift in row.cells for row in rows))


def how(row: BoardRow) -> str:
    """Head, prompts and protocol in a few words."""
    return f"{reading(row.head, row.prompts)}, {row.protocol}"


def name(row: BoardRow) -> str:
    return row.model if row.img_size is None or row.measured else f"{row.model} ({row.img_size} px)"


def markdown(ranking: Board, top: int | None = None) -> str:
    """A pipe table a section, with the rule and the reading above and what was left out below."""
    lines = ["# Effective robustness", "", RULE, "", READING]
    for section in sections(ranking, top):
        lines += ["", f"## {_text(section.title)}", "", _text(f"{section.stands}.")]
        shifts = section.shifts
        head = ["rank", "model", "source", "head, protocol", "clean", "logit mean", "mean, points"]
        lines += ["", _pipe([*head, *map(title, shifts)])]
        lines.append(_pipe(["---:", "---", "---", "---", *["---:"] * (3 + len(shifts))]))
        lines += [_pipe(_cells(ranking, row, shifts)) for row in section.rows]
    for problem in ranking.problems:
        lines += ["", _text(problem)]
    if not ranking.rows:
        lines += ["", "No rows: evaluate a model with `effrob eval`, or name published tables with --published."]
    return "\n".join(lines) + "\n"


_LITERAL = {ord(character): f"\\{character}" for character in "\\`*_{}[]<>|~#&!"}


def _pipe(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _text(text: str) -> str:
    """Any text as literal Markdown inside a table cell."""
    flat = " ".join(text.split())
    return flat.translate(_LITERAL)


def _cells(ranking: Board, row: BoardRow, shifts: Sequence[str]) -> list[str]:
    dagger = DISPUTED if row.disputed and row.mean is not None else ""
    logit = joined(logits(row.mean_logit), logit_interval(row.mean_logit_ci95)) + dagger
    mean = joined(points(row.mean), interval(row.mean_ci95, signed=True)) + dagger
    clean = "-" if row.clean_full is None else percent(row.clean_full.value)
    facts = [rank_text(ranking, row), name(row), row.source, how(row), clean, logit, mean]
    return [_text(text) for text in (*facts, *(_shift(ranking, row.cells.get(shift)) for shift in shifts))]


def _shift(ranking: Board, cell: ScoredShift | None) -> str:
    if cell is None:
        return "-"
    accuracy = joined(percent(cell.accuracy.value), interval(cell.accuracy_ci95))
    if cell.effective is None or cell.effective.effective_robustness is None:
        return accuracy + (DISPUTED if cell.disputed else "")
    robustness = joined(points(cell.effective.effective_robustness), interval(cell.effective.ci95, True))
    return f"{accuracy}; {robustness}{marks(cell, ranking.discovery(cell).by_chance)}"


def shown(ranking: Board, shift: str) -> bool:
    """Whether a set is among those that were named; all are where none was."""
    return not ranking.shifts or shift in ranking.shifts


def as_json(ranking: Board) -> list[dict[str, Any]]:
    """The interface's list of rows, in order of rank."""
    return [row_json(ranking, row) for row in ranking.rows]


def row_json(ranking: Board, row: BoardRow, wider: bool = True) -> dict[str, Any]:
    """One row, with all that is known of it; `wider`: of cells beyond the line's range, what a wider line says too."""
    ranks, of_mean = ranking.rank_range(row), row.of_mean
    return {
        "model": row.model,
        "img_size": row.img_size,
        "source": row.source,
        "head": row.head,
        "prompts": row.prompts,
        "protocol": row.protocol,
        "suite": row.suite,
        "axis": row.axis,
        "partial": row.partial,
        "clean_full": _value(row.clean_full),
        "clean_full_ci95": None if row.clean_full is None else list(row.clean_full.clopper_pearson()),
        "shifts": {
            shift: _cell_json(ranking, cell, wider) for shift, cell in row.cells.items() if shown(ranking, shift)
        },
        "mean_effective_robustness": row.mean,
        "mean_effective_robustness_ci95": None if row.mean_ci95 is None else list(row.mean_ci95),
        "mean_effective_robustness_logit": row.mean_logit,
        "mean_effective_robustness_logit_ci95": None if row.mean_logit_ci95 is None else list(row.mean_logit_ci95),
        "effective_robustness_of_mean": None if of_mean is None else of_mean.effective_robustness,
        "reach": row.reach,
        "rank": ranks.rank,
        "rank_range": None if ranks.rank is None else [ranks.best, ranks.worst],
        "ranked_among": ranks.of,
        "disputed": list(row.disputed),
        **row.details,
    }


def _cell_json(ranking: Board, cell: ScoredShift, wider: bool) -> dict[str, Any]:
    p, q = ranking.discovery(cell)
    return {**cell.as_json(wider), "p_value": p, "q_value": q}


def _value(accuracy: Accuracy | None) -> float | None:
    return None if accuracy is None else accuracy.value


def json_text(ranking: Board) -> str:
    """Strict JSON, keys sorted, a line a row: that reads well in a diff, and indenting a board costs seconds."""
    rows = (row_json(ranking, row) for row in ranking.rows)
    lines = (json.dumps(row, allow_nan=False, sort_keys=True, ensure_ascii=False) for row in rows)
    return "[\n" + ",\n".join(lines) + "\n]\n"


PLAIN = (
    "rank",
    "model",
    "img_size",
    "source",
    "head",
    "prompts",
    "protocol",
    "suite",
    "axis",
    "partial",
    "clean_full",
    "mean_effective_robustness",
    "mean_effective_robustness_logit",
    "effective_robustness_of_mean",
    "disputed",
)


def csv_text(ranking: Board) -> str:
    """One line a row, fractions; `SHIFT.field` columns for every shift on the board; empty where there is no number."""
    every = dict.fromkeys(shift for row in ranking.rows for shift in row.cells)
    shifts = [shift for shift in every if shown(ranking, shift)]
    fields = ("accuracy", "accuracy_ci95", "clean_accuracy", *ROBUSTNESS, "p_value", "q_value", "disputed")
    ends = {field: ("_low", "_high") if field.endswith(("ci95", "pi95")) else ("",) for field in fields}
    empty = [""] * sum(map(len, ends.values()))
    pairs = [(field, len(ends[field]) == 2) for field in fields]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    heading = [*PLAIN, *(f"{shift}.{field}{end}" for shift in shifts for field in fields for end in ends[field])]
    writer.writerow(map(csv_cell, heading))
    for row in ranking.rows:
        facts = row_json(ranking, row, wider=False)
        line = [_plain(facts[key]) for key in PLAIN]
        for shift in shifts:
            cell = facts["shifts"].get(shift)
            if cell is None:
                line += empty
                continue
            for field, is_pair in pairs:
                line += (cell[field] or ("", "")) if is_pair else (_plain(cell[field]),)
        writer.writerow(line)
    return text.getvalue()


def _plain(value: Any) -> Any:
    return "" if value is None else csv_cell("; ".join(value) if isinstance(value, list) else value)
