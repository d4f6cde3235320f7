"""Two pictures of the report: every arm beside the line on the four shifts, and the contrasts with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from recipes.five_causes.contrasts import MARGIN, Answer
from recipes.five_causes.questions import CAUSES
from recipes.five_causes.standings import SHIFTS, Board, Read

KINDS = {
    "clip-web": ("CLIP on the web", "#0072B2", "o"),
    "clip-titles": ("CLIP on narrow titles", "#D55E00", "s"),
    "clip-names": ("CLIP on narrow class names", "#E69F00", "s"),
    "labels-web": ("classifier, text-matched web", "#56B4E9", "^"),
    "head-web": ("text-free head on the web's CLIP", "#009E73", "D"),
    "labels": ("classifier on narrow labels", "#555555", "^"),
    "simclr": ("SimCLR and a probe", "#CC79A7", "v"),
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
        if read.prompts not in (None, "openai"):
            continue
        name, colour, marker = kind_of(read)
        cells = [board.of(read, seed, shift) for seed in range(board.seeds)]
        x, y = logit.forward([c.clean for c in cells]), logit.forward([c.accuracy for c in cells])
        hollow = "none" if read.head == "linear-probe" and not read.arm.startswith("simclr") else colour
        label = name if name not in seen else None
        seen.add(name)
        axes.plot(x, y, marker, color=colour, markerfacecolor=hollow, markersize=4, alpha=0.8, label=label)
    places = logit.forward(TICKS)
    axes.set(title=f"{shift} (R² of the line {line.r2:.2f})", xlabel="clean accuracy, class-matched", ylabel="accuracy")
    axes.set_xticks(places, [f"{100 * p:.0f} %" for p in TICKS])
    axes.set_yticks(places, [f"{100 * p:.0f} %" for p in TICKS])
    axes.grid(alpha=0.25)


def draw_contrasts(answers: Sequence[Answer], file: Path) -> None:
    """Sizes on the mean of the four in logits with 95 % intervals over seeds; the margin as a band; headlines filled."""
    with mpl.rc_context({"font.size": 8}):
        figure = Figure(figsize=(9, 0.6 + 0.42 * len(answers)), layout="constrained")
        axes = figure.subplots()
        axes.axvspan(-MARGIN, MARGIN, color="#eeeeee")
        axes.axvline(0, color="#888888", linewidth=0.8)
        seen: set[str] = set()
        for row, answer in enumerate(answers):
            cause, found = answer.contrast.cause, answer.logit
            head = cause not in seen
            seen.add(cause)
            colour = "#0072B2" if head else "#777777"
            axes.plot(answer.with_line_ci95, [row, row], "-", color=colour, linewidth=0.8, alpha=0.6)
            axes.plot(found.ci95, [row, row], "-", color=colour, linewidth=2.6)
            axes.plot([found.effect], [row], "o", color=colour, markerfacecolor=colour if head else "white")
        labels = [f"{CAUSES[a.contrast.cause]}:\n{a.contrast.text}" for a in answers]
        axes.set_yticks(range(len(answers)), labels, fontsize=6.5)
        axes.invert_yaxis()
        axes.set_xlabel("difference of effective robustness, logits, mean of the four shifts")
        figure.savefig(file, dpi=DPI, metadata={"Software": None})
