"""What the page reads: the rows once, and the numbers of each analysis apart, so that a view loads only its own.

Fractions, as in the JSON board, rounded to seven digits. The page computes no statistics: it shows and orders these.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from effrob.leaderboard import json_columns
from effrob.leaderboard.analyses import Analysis, SuiteAnalyses
from effrob.leaderboard.discoveries import RATE
from effrob.leaderboard.formatting import title
from effrob.leaderboard.json_columns import DIGITS
from effrob.leaderboard.judging.numbers import NO_VERDICT, VERDICTS, Cells, Numbers
from effrob.leaderboard.points import GROUPS, card_of, curves, family, group_of, line_of
from effrob.leaderboard.render import RULE
from effrob.leaderboard.row import REACHES, BoardRow
from effrob.leaderboard.scored_shift import ScoredShift, mean_of
from effrob.results.accuracy import mean_accuracy
from effrob.results.store import slug
from effrob.robustness.lines import Lines
from model_zoo.cards import notable
from shifts import suite

LOW, HIGH = 0.002, 0.995  # clean accuracies a line is drawn between


def rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS)


def pair(ends: Sequence[float] | None) -> list[float | None]:
    return [None, None] if ends is None else [rounded(end) for end in ends]


def board_data(
    by_suite: Mapping[str, SuiteAnalyses], pages: Mapping[str, str], opens: Mapping[str, str]
) -> dict[str, Any]:
    """What does not change with the analysis: rows, groups, suites.

    `pages` maps a model to its page, `opens` a suite to the key of the analysis it opens with.
    """
    return {
        "groups": {key: look._asdict() for key, look in GROUPS.items()},
        "verdicts": list(VERDICTS),
        "reaches": list(REACHES),
        "rule": RULE,
        "rate": RATE,
        "suites": {name: _suite(each, pages, opens[name]) for name, each in by_suite.items()},
    }


def analysis_file(key: str) -> str:
    """The file of an analysis: its key as a file name."""
    return f"{slug(key.replace('|', '.'))}.js"


def _suite(analyses: SuiteAnalyses, pages: Mapping[str, str], opens: str) -> dict[str, Any]:
    known, shifts = suite(analyses.suite), analyses.shifts
    named = mean_of(known)
    labels = {shift: title(shift) for shift in shifts} | ({named: "Mean of the four"} if named else {})
    return {
        "shifts": list(shifts),
        "four": list(known.ranked),
        "diagnostic": next(iter(known.diagnostic), None),
        "mean": named,
        "families": {key: family(key, analyses.suite) for key in GROUPS},
        "labels": labels,
        "files": {analysis.key: analysis_file(analysis.key) for analysis in analyses.each},
        "opens": opens,
        "ranked": {analysis.key: analyses.ranked(analysis) for analysis in analyses.each},
        "rows": [
            _row(row, dict(zip(shifts, votes)), pages) for row, votes in zip(analyses.rows, analyses.votes.tolist())
        ],
    }


def _row(row: BoardRow, votes: Mapping[str, list[int]], pages: Mapping[str, str]) -> dict[str, Any]:
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
            shift: _accuracy(row.cells[shift], of_shift) for shift, of_shift in votes.items() if shift in row.cells
        },
        **({"series": [told["name"], told["place"]]} if (told := row.details.get("series")) else {}),
        **({"disputed": said} if (said := {s: list(c.disputed) for s, c in row.cells.items() if c.disputed}) else {}),
        **({"named": list(known)} if (known := notable(row.source, row.model)) else {}),
    }


def _accuracy(cell: ScoredShift, votes: list[int]) -> list[Any]:
    """[accuracy, low, high, class-matched clean accuracy or null, images, counts of each verdict over the analyses]."""
    clean = None if cell.clean is None else rounded(cell.clean.value)
    return [rounded(cell.accuracy.value), *pair(cell.accuracy_ci95), clean, round(cell.accuracy.n), votes]


def analysis_text(analysis: Analysis, shifts: Sequence[str]) -> str:
    """The numbers of one analysis, by row, as JSON: means, ranks, cells; and the lines to draw."""
    named = mean_of(suite(analysis.suite))
    lines = {
        f"{shift}|{axis}": _line(analysis.lines, shift, axis)
        for shift in [*shifts, *([named] if named else [])]
        for axis in ("clean", "full")
    }
    cells = ",".join(f"{_json(shift)}:{_cells(analysis.numbers.cells[:, j])}" for j, shift in enumerate(shifts))
    rows = _rows(analysis.numbers)
    return f'{{"key":{_json(analysis.key)},"rows":{rows},"cells":{{{cells}}},"lines":{_json(lines)}}}'


def _rows(numbers: Numbers) -> str:
    """[logit mean, its interval, mean, its interval, of-mean, rank, best, worst, reach, axis] of each."""
    of = numbers.rows
    means = json_columns.fields(of, "logit", "logit_low", "logit_high", "mean", "mean_low", "mean_high", "of_mean")
    ranks = [json_columns.each(of[name], lambda rank: str(rank or "null")) for name in ("rank", "best", "worst")]
    last = json_columns.each(of["reach"], str), json_columns.each(np.array(numbers.axes), _json)
    return json_columns.table(json_columns.rows([*means, *ranks, *last]))


def _cells(of: Cells) -> str:
    """[points, low, high, low and high of the prediction interval, logit residual, verdict, extrapolated, q]; 0 for none."""
    known = of["verdict"] != NO_VERDICT
    some = of[known]
    rows = json_columns.rows(
        [
            *json_columns.fields(some, "points", "low", "high", "wide_low", "wide_high", "logit"),
            json_columns.each(some["verdict"], str),
            json_columns.each(some["extrapolated"].astype(int), str),
            json_columns.each(some["q"], _significant),
        ]
    )
    texts = np.zeros((len(of), rows.shape[1]), np.uint8)
    texts[:, 0] = ord("0")
    texts[known] = rows
    return json_columns.table(texts)


def _significant(q: float) -> str:
    """A probability with DIGITS significant digits, as JSON."""
    return "null" if q != q else repr(float(f"{q:.{DIGITS}g}"))


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
    return script_of(name, _json(value))


def script_of(name: str, text: str) -> str:
    """The same, of JSON text."""
    return f"effrob.{name}({text.replace('<', chr(92) + 'u003c')});\n"


def _json(value: Any) -> str:
    return json.dumps(value, allow_nan=False, ensure_ascii=True, separators=(",", ":"))
