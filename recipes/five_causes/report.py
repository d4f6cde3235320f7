"""The report of a grid: report.json for machines, report.md with two figures for people. Every number comes from records."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recipes.five_causes import figures
from recipes.five_causes.contrasts import ALPHA, MARGIN, Answer, Estimate, answer, over_seeds
from recipes.five_causes.evaluation import Measured
from recipes.five_causes.grid import Grid
from recipes.five_causes.pages import page
from recipes.five_causes.questions import CONTRASTS
from recipes.five_causes.standings import MEAN, SHIFTS, Board, board, wide_baseline
from recipes.five_causes.work import processor_seconds


def write_report(grid: Grid, measured: Sequence[Measured], out: Path, folder: Path) -> dict[str, Any]:
    """Write report.md, report.json, lines.png and contrasts.png into `folder`; the report as JSON."""
    wide = board(grid, measured, wide_baseline(grid, measured))
    answers = answer(CONTRASTS, wide)
    shipped = answer(CONTRASTS, board(grid, measured, "pocket"))
    report = content(grid, wide, answers, shipped, processor_seconds(out))
    folder.mkdir(parents=True, exist_ok=True)
    figures.draw_lines(wide, folder / "lines.png")
    figures.draw_contrasts(answers, folder / "contrasts.png")
    text = json.dumps(report, indent=1, allow_nan=False) + "\n"
    (folder / "report.json").write_text(text, encoding="utf-8")
    (folder / "report.md").write_text(page(report), encoding="utf-8")
    return report


def content(
    grid: Grid, wide: Board, answers: Sequence[Answer], shipped: Sequence[Answer], seconds: dict[str, float]
) -> dict[str, Any]:
    """The report as plain data. `causes` holds the headline contrast of each cause, `contrasts` all of them."""
    every = [_contrast(a, other) for a, other in zip(answers, shipped, strict=True)]
    heads: dict[str, dict[str, Any]] = {}
    for entry in every:
        heads.setdefault(entry["cause"], entry)
    return {
        "scale": "pocket",
        "causes": list(heads.values()),
        "contrasts": every,
        "margin_logit": MARGIN,
        "alpha": ALPHA,
        "baseline": _lines(wide),
        "arms": [_arm(wide, read) for read in wide.reads()],
        "grid": dataclasses.asdict(grid),
        "processor_seconds": seconds,
    }


def _estimate(found: Estimate) -> dict[str, Any]:
    return {"effect": found.effect, "ci95": list(found.ci95), "ci90": list(found.ci90), "p": found.p}


def _contrast(found: Answer, shipped: Answer) -> dict[str, Any]:
    return {
        "cause": found.contrast.cause,
        "effect": found.logit.effect,
        "ci95": list(found.logit.ci95),
        "seeds": found.logit.seeds,
        "verdict": found.verdict,
        "contrast": found.contrast.text,
        "scale_of_effect": "logit",
        "ci90": list(found.logit.ci90),
        "p": found.logit.p,
        "p_adjusted": found.p_adjusted,
        "with_line_ci95": list(found.with_line_ci95),
        "extrapolated": found.extrapolated,
        "points": _estimate(found.points),
        "by_shift": {
            shift: {"logit": _estimate(pair[0]), "points": _estimate(pair[1])} for shift, pair in found.by_shift.items()
        },
        "high": dataclasses.asdict(found.contrast.high),
        "low": dataclasses.asdict(found.contrast.low),
        "caveat": found.contrast.caveat,
        "on_pocket_baseline": {**_estimate(shipped.logit), "verdict": shipped.verdict, "extrapolated": shipped.extrapolated},
    }  # fmt: skip


def _arm(wide: Board, read: Any) -> dict[str, Any]:
    def row(shift: str) -> dict[str, Any]:
        cells = [wide.of(read, seed, shift) for seed in range(wide.seeds)]
        return {
            "clean": [c.clean for c in cells],
            "accuracy": [c.accuracy for c in cells],
            "logit": _estimate(over_seeds(wide.values(read, shift, "logit"))),
            "points": _estimate(over_seeds(wide.values(read, shift, "points"))),
            "extrapolated": any(c.extrapolated for c in cells),
        }

    return {**dataclasses.asdict(read), "name": read.name, "shifts": {shift: row(shift) for shift in (*SHIFTS, MEAN)}}


def _lines(wide: Board) -> dict[str, Any]:
    first = next(iter(wide.lines.values()))
    fields = ("n", "slope", "intercept", "r2", "residual_std", "slope_ci95_by_family", "x_min", "x_max", "dropped")
    return {
        "name": first.baseline.name,
        "digest": first.baseline.digest,
        "members": list(first.baseline.models),
        "lines": {shift: {name: fit.as_json()[0][name] for name in fields} for shift, fit in wide.lines.items()},
    }
