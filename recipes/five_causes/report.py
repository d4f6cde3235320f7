"""The report of a grid: report.json for machines, report.md with three figures for people. Every number comes from records.

report.json, schema 2. `causes` holds one object a cause, its headline question; `contrasts` every contrast; both have

    cause, question, contrast   the cause's name, what is asked, and which arms are compared
    unit, value, ci95, margin   "logit": the difference of logit residuals above the line, its interval, and what counts as none
    at_most                     the smallest margin within which it would be equivalent to none
    p_value, p_adjusted         of the same t as the interval; after Holm's correction over the list it stands in
    verdict, why                "moves it", "equivalent" or "cannot tell", and why it cannot
    differs                     what else differs between the arms than the factor, in words
    value_points, ci95_points   value and ci95 as a difference of accuracy for a model of clean accuracy `points_at`
    seeds, seeds_ci95           how many, and the interval without the line's uncertainty
    spread, parts               smallest and largest effect of the contrasts it is the mean of, and how many they are
    by_shift, without           the same on each shift alone, and over the others where one is left out
    note                        of a headline: its contrasts that cannot be told alone, and arms whose accuracy is near chance
    effect, scale_of_effect     value and unit by the names of schema 1

`arms`, `reference.shifts` and `baseline.lines.*.points` hold every accuracy, seed by seed and classifier by classifier: all
other numbers follow from them.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from effrob.robustness.fit import RobustnessFit
from model_zoo.sources.from_pocket import cards
from recipes.drawn.pool import STYLED
from recipes.five_causes import figures
from recipes.five_causes.contrasts import (
    ALPHA,
    MARGIN_SHARE,
    POINTS_AT,
    Answer,
    Estimate,
    answer,
    estimate,
    translated,
)  # fmt: skip
from recipes.five_causes.evaluation import REFERENCE, Measured
from recipes.five_causes.grid import Grid, Read
from recipes.five_causes.pages import page
from recipes.five_causes.questions import QUESTIONS
from recipes.five_causes.standings import MEAN, SHIFTS, Board, board, wide_baseline
from recipes.five_causes.work import processor_seconds
from shifts.classes import pocket
from shifts.synthetic.draw import WEB_IMAGES, WEB_STYLES

SCHEMA = 2
NEAR_CHANCE = 2.0  # times chance: below it an accuracy says little of what was learned


def write_report(grid: Grid, measured: Sequence[Measured], out: Path, folder: Path) -> dict[str, Any]:
    """Write report.md, report.json and the figures into `folder`; the report as JSON."""
    wide = board(grid, measured, wide_baseline(grid, measured))
    report = content(grid, wide, processor_seconds(out, grid.seeds))
    folder.mkdir(parents=True, exist_ok=True)
    figures.draw_lines(wide, folder / "lines.png")
    figures.draw_contrasts(report, folder / "contrasts.png")
    figures.draw_doses(report, folder / "doses.png")
    text = json.dumps(report, indent=1, allow_nan=False) + "\n"
    (folder / "report.json").write_text(text, encoding="utf-8")
    (folder / "report.md").write_text(page(report), encoding="utf-8")
    return report


def content(grid: Grid, wide: Board, seconds: Mapping[str, float]) -> dict[str, Any]:
    """The report as plain data."""
    heads, each = answer(QUESTIONS, wide, grid)
    return {
        "schema": SCHEMA,
        "scale": "pocket",
        "unit": "logit",
        "causes": [_headline(one, wide, each) for one in heads],
        "contrasts": [_contrast(one, wide, grid) for one in each],
        "margin": MARGIN_SHARE * abs(wide.reference),
        "reference": {
            "model": REFERENCE,
            "value": wide.reference,
            "margin_share": MARGIN_SHARE,
            "styles": WEB_STYLES,
            "pictures": WEB_IMAGES,
            "side": int(cards()[REFERENCE.partition(":")[2]]["side"]),
            "shifts": {shift: dataclasses.asdict(cell) for shift, cell in wide.reference_cells.items()},
        },
        "styled_share": STYLED,
        "alpha": ALPHA,
        "baseline": _lines(wide),
        "arms": [_arm(wide, read, grid) for read in wide.reads()],
        "grid": dataclasses.asdict(grid),
        "processor_seconds": dict(seconds),
    }


def _shared(found: Answer, wide: Board) -> dict[str, Any]:
    points = [translated(value, wide) for value in (found.effect.value, *found.effect.ci95)]
    return {
        "unit": "logit",
        "value": found.effect.value,
        "ci95": list(found.effect.ci95),
        "ci90": list(found.effect.ci90),
        "margin": found.margin,
        "at_most": found.at_most,
        "p_value": found.effect.p,
        "p_adjusted": found.p_adjusted,
        "df": found.effect.df,
        "verdict": found.verdict,
        "why": found.why,
        "differs": list(found.differs),
        "extrapolated": found.extrapolated,
        "value_points": points[0],
        "ci95_points": points[1:],
        "points_at": POINTS_AT,
        "seeds": found.seeds,
        "seeds_ci95": list(found.over_seeds.ci95),
        "spread": list(found.spread),
        "parts": len(found.parts),
        "by_shift": {
            shift: {**_estimate(one), "value_points": translated(one.value, wide, (shift,))}
            for shift, one in found.by_shift.items()
        },
        "without": {shift: _estimate(one) for shift, one in found.without.items()},
        "effect": found.effect.value,
        "scale_of_effect": "logit",
    }


def _estimate(found: Estimate) -> dict[str, Any]:
    return {"value": found.value, "ci95": list(found.ci95), "p_value": found.p}


def _headline(found: Answer, wide: Board, each: Sequence[Answer]) -> dict[str, Any]:
    question = found.question
    told = {"cause": question.cause, "question": question.text, "contrast": question.text}
    return {**told, **_shared(found, wide), "note": _note(found, wide, each)}


def _note(found: Answer, wide: Board, each: Sequence[Answer]) -> str | None:
    """What a headline does not show: contrasts of it that cannot be told alone, and arms whose accuracy is near chance."""
    said = []
    if found.verdict == "moves it":
        for one in each:
            if one.question == found.question and one.verdict == "cannot tell":
                size = "{:+.2f} [{:+.2f}, {:+.2f}]".format(one.effect.value, *one.effect.ci95)
                alone = one.effect.p < ALPHA <= one.p_adjusted and not one.differs
                corrected = " once corrected for several questions" if alone else ""
                said.append(f"{one.contrasts[0].text} is {size} alone, cannot tell{corrected}")
    chance = 1 / len(pocket().names)
    sides: dict[Read, str] = {}
    for contrast in found.contrasts:
        high, _, low = contrast.text.partition(" minus ")
        sides |= {contrast.high: high, contrast.low: low}
    for read, name in sides.items():
        for shift in SHIFTS:
            accuracy = sum(wide.of(read, seed, shift).accuracy for seed in range(wide.seeds)) / wide.seeds
            if accuracy < NEAR_CHANCE * chance:
                said.append(f"{name} has {accuracy:.1%} on {shift}, near chance ({chance:.0%}), where logits bend")
    return "; ".join(said) or None


def _contrast(found: Answer, wide: Board, grid: Grid) -> dict[str, Any]:
    (one,) = found.contrasts
    factor = [grid.configuration(read)[one.factor] for read in (one.high, one.low)]
    return {
        "cause": found.question.cause,
        "question": found.question.text,
        "contrast": one.text,
        **_shared(found, wide),
        "factor": one.factor,
        "factor_values": factor,
        "high": dataclasses.asdict(one.high),
        "low": dataclasses.asdict(one.low),
    }


def _arm(wide: Board, read: Read, grid: Grid) -> dict[str, Any]:
    def row(shift: str) -> dict[str, Any]:
        cells = [wide.of(read, seed, shift) for seed in range(wide.seeds)]
        residuals = wide.values(read, shift)
        return {
            "clean": [c.clean for c in cells],
            "accuracy": [c.accuracy for c in cells],
            "logit": residuals.tolist(),
            **_estimate(estimate(residuals)),
            "extrapolated": any(c.extrapolated for c in cells),
        }

    shifts = {shift: row(shift) for shift in (*SHIFTS, MEAN)}
    return {**dataclasses.asdict(read), "name": read.name, "configuration": grid.configuration(read), "shifts": shifts}


def _points(fit: RobustnessFit) -> dict[str, Any]:
    """The classifiers a line is drawn through, in their order."""
    line = fit.line
    return {"family": list(line.families), "clean": line.x.tolist(), "accuracy": line.y.tolist()}


def _lines(wide: Board) -> dict[str, Any]:
    first = next(iter(wide.lines.values()))
    fields = (
        "n",
        "slope",
        "intercept",
        "r2",
        "residual_std",
        "slope_ci95_by_family",
        "families",
        "x_min",
        "x_max",
        "dropped",
    )
    return {
        "name": first.baseline.name,
        "digest": first.baseline.digest,
        "members": list(first.baseline.models),
        "lines": {
            shift: {**{name: fit.as_json()[0][name] for name in fields}, "points": _points(fit)}
            for shift, fit in wide.lines.items()
        },
    }
