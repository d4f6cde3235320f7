"""Three pictures of the report: every arm beside the line, headlines and contrasts with intervals, and the doses of overlap."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from recipes.five_causes.grid import EIGHTY, Read
from recipes.five_causes.pages import dosed
from recipes.five_causes.questions import CAUSES
from recipes.five_causes.standings import MEAN, SHIFTS, Board

KINDS = {
    "clip-web-overlap": ("CLIP on the web, styles shared", "#56B4E9", "o"),
    "clip-web": ("CLIP on the web", "#0072B2", "o"),
    "clip-narrow": ("CLIP on narrow captions", "#D55E00", "o"),
    "names": ("CLIP's loss on class names", "#E69F00", "s"),
    "classes": ("cross-entropy over class names", "#8C564B", "s"),
    "labels": ("classifier on labels", "#555555", "^"),
    "captions": ("captions, then matched labels", "#CC79A7", "D"),
    "views": ("views, then matched labels", "#9467BD", "D"),
    "layer": ("layer on CLIP's tower", "#009E73", "v"),
}  # the first that a name begins with
DPI = 90
TICKS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)


def kind_of(read: Read) -> tuple[str, str, str]:
    """Legend text, colour and marker of a read-out."""
    return next(kind for name, kind in KINDS.items() if read.arm.startswith(name))


def draw_lines(board: Board, file: Path) -> None:
    """Clean (class-matched) against shift accuracy on logit axes: the baseline's classifiers, the line, every run."""
    with mpl.rc_context({"font.size": 8}):
        figure = Figure(figsize=(9, 7.6), layout="constrained")
        for axes, shift in zip(figure.subplots(2, 2).flat, SHIFTS, strict=True):
            _panel(axes, board, shift)
        handles, names = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=4, frameon=False)
        figure.savefig(file, dpi=DPI, metadata={"Software": None})


def _panel(axes: Axes, board: Board, shift: str) -> None:
    fit = board.lines[shift]
    line, logit = fit.line, fit.scale
    axes.plot(line.tx, line.ty, ".", color="#bbbbbb", markersize=5, label="baseline classifiers")
    ends = np.array([line.tx.min(), line.tx.max()])
    axes.plot(ends, line.slope * ends + line.intercept, "-", color="#999999", linewidth=1)
    seen: set[str] = set()
    for read in board.reads():
        if read.prompts == EIGHTY:
            continue
        name, colour, marker = kind_of(read)
        cells = [board.of(read, seed, shift) for seed in range(board.seeds)]
        x, y = logit.forward([c.clean for c in cells]), logit.forward([c.accuracy for c in cells])
        label = name if name not in seen else None
        seen.add(name)
        axes.plot(x, y, marker, color=colour, markersize=3.5, alpha=0.7, label=label)
    places = logit.forward(TICKS)
    axes.set(title=f"{shift} (R² of the line {line.r2:.2f})", xlabel="clean accuracy, class-matched", ylabel="accuracy")
    axes.set_xticks(places, [f"{100 * p:.0f} %" for p in TICKS])
    axes.set_yticks(places, [f"{100 * p:.0f} %" for p in TICKS])
    axes.grid(alpha=0.25)


def draw_contrasts(report: Mapping[str, Any], file: Path) -> None:
    """Headlines filled, each cause's contrasts under it; the margin as a band; contrasts without a verdict in grey."""
    rows = [
        row
        for head in report["causes"]
        for row in (head, *(c for c in report["contrasts"] if c["cause"] == head["cause"]))
    ]
    with mpl.rc_context({"font.size": 8}):
        figure = Figure(figsize=(9, 0.6 + 0.3 * len(rows)), layout="constrained")
        axes = figure.subplots()
        axes.axvspan(-report["margin"], report["margin"], color="#eeeeee")
        axes.axvline(0, color="#888888", linewidth=0.8)
        for place, row in enumerate(rows):
            head = "factor" not in row
            colour = "#bbbbbb" if row["differs"] else "#0072B2" if head else "#777777"
            axes.plot(row["ci95"], [place, place], "-", color=colour, linewidth=2.6 if head else 1.4)
            axes.plot([row["value"]], [place], "o", color=colour, markerfacecolor=colour if head else "white")
        labels = [row["contrast"] if "factor" in row else CAUSES[row["cause"]].upper() for row in rows]
        axes.set_yticks(range(len(rows)), labels, fontsize=6.5)
        axes.invert_yaxis()
        axes.set_xlabel("difference of effective robustness, logits, mean of the four shifts")
        figure.savefig(file, dpi=DPI, metadata={"Software": None})


def draw_doses(report: Mapping[str, Any], file: Path) -> None:
    """Effective robustness of CLIP on the web against the dose of overlap, shift by shift and on their mean."""
    arms = dosed(report)
    with mpl.rc_context({"font.size": 8}):
        figure = Figure(figsize=(6, 3.4), layout="constrained")
        axes = figure.subplots()
        axes.axhline(0, color="#888888", linewidth=0.8)
        for shift in (*SHIFTS, MEAN):
            cells = [arm["shifts"][shift] for _, arm in arms]
            values = np.array([cell["value"] for cell in cells])
            ends = np.array([cell["ci95"] for cell in cells])
            style = {"color": "black", "linewidth": 2.2} if shift == MEAN else {"linewidth": 1.0}
            axes.errorbar(
                [100 * dose for dose, _ in arms], values, np.abs(ends.T - values), capsize=2, label=shift, **style
            )
        axes.set(xlabel="styled web pictures in the test sets' styles, %", ylabel="logits above the line")
        axes.legend(frameon=False, ncols=2)
        figure.savefig(file, dpi=DPI, metadata={"Software": None})
