"""What the page reads: the rows once, and the numbers of each analysis apart, so that a view loads only its own.

Fractions, as in the JSON board, rounded to seven digits. The page computes no statistics: it shows and orders these.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from effrob.leaderboard.analyses import VERDICTS, Analysis, survival
from effrob.leaderboard.discoveries import RATE
from effrob.leaderboard.formatting import title
from effrob.leaderboard.points import GROUPS, card_of, curves, family, group_of, line_of
from effrob.leaderboard.render import RULE
from effrob.leaderboard.row import REACHES, BoardRow
from effrob.leaderboard.scored_shift import ScoredShift, mean_of
from effrob.results.accuracy import mean_accuracy
from effrob.results.store import slug
from effrob.robustness.lines import Lines
from shifts import suite

DIGITS = 7
LOW, HIGH = 0.002, 0.995  # clean accuracies a line is drawn between


def rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS)


def pair(ends: Sequence[float] | None) -> list[float | None]:
    return [None, None] if ends is None else [rounded(end) for end in ends]


def board_data(by_suite: Mapping[str, Sequence[Analysis]], pages: Mapping[str, str]) -> dict[str, Any]:
    """What does not change with the analysis: rows, groups, suites. `pages` maps a model to its page."""
    return {
        "groups": {key: look._asdict() for key, look in GROUPS.items()},
        "verdicts": list(VERDICTS),
        "reaches": list(REACHES),
        "rule": RULE,
        "rate": RATE,
        "suites": {name: _suite(name, list(each), pages) for name, each in by_suite.items()},
    }


def analysis_file(key: str) -> str:
    """The file of an analysis: its key as a file name."""
    return f"{slug(key.replace('|', '.'))}.js"


def shifts_of(analysis: Analysis) -> list[str]:
    """The ranked and diagnostic shifts, then every other one that a row has."""
    known = suite(analysis.suite).shifts
    present = {shift for row in analysis.rows for shift in row.cells}
    return [*known, *sorted(present - {*known})]


def _suite(name: str, every: list[Analysis], pages: Mapping[str, str]) -> dict[str, Any]:
    first, known = every[0], suite(name)
    shifts = shifts_of(first)
    named = mean_of(known)
    labels = {shift: title(shift) for shift in shifts} | ({named: "Mean of the four"} if named else {})
    return {
        "shifts": shifts,
        "four": list(known.ranked),
        "diagnostic": next(iter(known.diagnostic), None),
        "mean": named,
        "families": {key: family(key, name) for key in GROUPS},
        "labels": labels,
        "files": {analysis.key: analysis_file(analysis.key) for analysis in every},
        "rows": [_row(row, [a.rows[i] for a in every], shifts, pages) for i, row in enumerate(first.rows)],
    }


def _row(
    row: BoardRow, all_of_it: Sequence[BoardRow], shifts: Sequence[str], pages: Mapping[str, str]
) -> dict[str, Any]:
    card = card_of(row)
    clean = row.clean_full
    four = [row.cells[shift].accuracy for shift in row.ranked if shift in row.cells]
    return {
        "model": row.model,
        "page": pages[row.model],
        "source": row.source,
        "head": row.head,
        "prompts": row.prompts,
        "protocol": row.protocol,
        "size": row.img_size,
        "group": group_of(card),
        "trained_on": card.trained_on,
        "images": card.images,
        "partial": row.partial,
        "clean": [None] * 3 if clean is None else [rounded(clean.value), *pair(clean.clopper_pearson())],
        "mean": rounded(mean_accuracy(four).value) if len(four) == len(row.ranked) else None,
        "shifts": {
            shift: _accuracy(row.cells[shift], [each.cells[shift] for each in all_of_it])
            for shift in shifts
            if shift in row.cells
        },
        **({"series": [told["name"], told["place"]]} if (told := row.details.get("series")) else {}),
    }


def _accuracy(cell: ScoredShift, everywhere: Sequence[ScoredShift]) -> list[Any]:
    """[accuracy, low, high, class-matched clean accuracy or null, images, counts of each verdict over the analyses]."""
    clean = None if cell.clean is None else rounded(cell.clean.value)
    counts = survival(everywhere)
    votes = [counts.get(verdict, 0) for verdict in VERDICTS]
    return [rounded(cell.accuracy.value), *pair(cell.accuracy_ci95), clean, round(cell.accuracy.n), votes]


def analysis_data(analysis: Analysis, lines: Lines) -> dict[str, Any]:
    """The numbers of one analysis, by row: means, ranks, cells; and the lines to draw."""
    shifts, named = shifts_of(analysis), mean_of(suite(analysis.suite))
    return {
        "key": analysis.key,
        "rows": [_judged(analysis, row) for row in analysis.rows],
        "cells": {shift: [_cell(analysis, row.cells.get(shift)) for row in analysis.rows] for shift in shifts},
        "lines": {
            f"{shift}|{axis}": _line(lines, shift, axis)
            for shift in [*shifts, *([named] if named else [])]
            for axis in ("clean", "full")
        },
    }


def _judged(analysis: Analysis, row: BoardRow) -> list[Any]:
    """[logit mean, its interval, mean, its interval, of-mean, rank, best, worst, reach, axis]."""
    ranks = analysis.board.rank_range(row)
    of_mean = None if row.of_mean is None else rounded(row.of_mean.effective_robustness)
    means = [rounded(row.mean_logit), *pair(row.mean_logit_ci95), rounded(row.mean), *pair(row.mean_ci95)]
    return [*means, of_mean, ranks.rank, ranks.best, ranks.worst, REACHES.index(row.reach), row.axis]


def _cell(analysis: Analysis, cell: ScoredShift | None) -> list[Any] | int:
    """[points, low, high, low and high of the prediction interval, logit residual, verdict, extrapolated, q]; 0 for none."""
    if cell is None or cell.effective is None or cell.effective.verdict is None:
        return 0
    effective = cell.effective
    ends, logit = [*pair(effective.ci95), *pair(effective.pi95)], rounded(effective.effective_robustness_logit)
    q = analysis.board.discovery(cell).q
    verdict, extrapolated = VERDICTS.index(str(effective.verdict)), int(bool(effective.extrapolated))
    return [
        rounded(effective.effective_robustness),
        *ends,
        logit,
        verdict,
        extrapolated,
        None if q is None else float(f"{q:.{DIGITS}g}"),
    ]


def _line(lines: Lines, shift: str, axis: str) -> dict[str, Any]:
    fit = line_of(lines, shift, axis)
    if isinstance(fit, str):
        return {"why": fit}
    drawn = [
        {name: [rounded(v) for v in getattr(curve, name)] for name in ("x", "y", "low", "high")}
        for curve in curves(fit, LOW, HIGH)
    ]
    return {"n": len(fit.baseline.members), "curves": drawn}


def script(name: str, value: Any) -> str:
    """A JavaScript file that hands `value` to the page: strict JSON, with no `<` that could end a script element."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=True, separators=(",", ":")).replace("<", "\\u003c")
    return f"effrob.{name}({text});\n"
