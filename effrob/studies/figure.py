"""Figure of a finding: above, each arm's distance from the line, shift by shift; below, each contrast with its margin.

Needs matplotlib (the extra `plots`). Hollow published, filled measured; equal findings give equal bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from effrob.errors import UsageProblem
from effrob.files import whole_file
from effrob.leaderboard.figure import FORMATS, PAGE, STYLE
from effrob.leaderboard.formatting import title
from effrob.studies.answer import EQUIVALENT, MOVES, UNKNOWN, Answer
from effrob.studies.arms import WIDER
from effrob.studies.finding import Finding

ROW = 0.17  # inches an arm or a contrast takes
COLOURS = {MOVES: "#D55E00", EQUIVALENT: "#0072B2", UNKNOWN: "#6b7280"}  # Okabe and Ito's; the marker says the same
MARKERS = {MOVES: "D", EQUIVALENT: "s", UNKNOWN: "o"}


def draw(finding: Finding, out: Path) -> None:
    """Write PNG, PDF or SVG by the name of `out`. Raises UsageProblem for another ending, no arms, or no matplotlib."""
    study = finding.study
    if out.suffix.lower() not in FORMATS:
        raise UsageProblem(f"a figure is written as {', '.join(FORMATS)}; got {out.name!r}")
    if not study.arms:
        raise UsageProblem(f"study {study.name} has no arms, so there is nothing to draw")
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageProblem("figures need matplotlib: pip install 'effrob[plots]'") from None
    shifts = [shift for shift, cells in finding.cells.items() if cells]
    models = list(dict.fromkeys((cell["arm"], cell["model"]) for shift in shifts for cell in finding.cells[shift]))
    contrasts = [contrast.name for contrast in study.contrasts]
    with mpl.rc_context({**STYLE, "axes.labelsize": 7, "ytick.labelsize": 6, "xtick.labelsize": 6}):
        heights = [len(models) + 1, len(contrasts) + 1] if contrasts else [len(models) + 1]
        size = (1.15 * len(shifts) + 3.2, ROW * sum(heights) + 1.6)
        figure = Figure(figsize=(max(size[0], PAGE), size[1]), layout="constrained")
        axes = figure.subplots(len(heights), len(shifts), squeeze=False, height_ratios=heights, sharey="row")
        for column, shift in enumerate(shifts):
            _arms(axes[0, column], finding.cells[shift], models, title(shift))
            if contrasts:
                _contrasts(axes[1, column], finding.at(shift), contrasts)
        labels = [arm if len({m for a, m in models if a == arm}) == 1 else f"{arm}: {model}" for arm, model in models]
        _labels(axes[0, 0], labels)
        if contrasts:
            _labels(axes[1, 0], [_short(name) for name in contrasts])
        _legend(figure, [cell for shift in shifts for cell in finding.cells[shift]], bool(contrasts))
        figure.suptitle(f"{study.title or study.name}: {finding.verdict}", fontsize=9)
        stamp = {".png": {"Software": None}, ".pdf": {"CreationDate": None}, ".svg": {"Date": None}}
        with whole_file(out) as file:
            kind = out.suffix.lower()
            figure.savefig(file, format=kind[1:], metadata=stamp[kind])


def _short(name: str, most: int = 52) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"


def _labels(axis: Any, names: Sequence[str]) -> None:
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(len(names) - 0.4, -0.6)


def _frame(axis: Any, x_label: str) -> None:
    axis.axvline(0, color="black", linewidth=0.6)
    axis.grid(axis="x", color="#e5e7eb", linewidth=0.4)
    axis.set_axisbelow(True)
    axis.tick_params(axis="y", length=0)
    axis.set_xlabel(x_label)


def _arms(axis: Any, cells: Sequence[dict[str, Any]], models: Sequence[tuple[str, str]], heading: str) -> None:
    for cell in cells:
        row, x = models.index((cell["arm"], cell["model"])), 100 * cell["effective_robustness"]
        for ends, width in ((cell["effective_robustness_pi95"], 0.6), (cell["effective_robustness_ci95"], 1.8)):
            if ends is not None:
                axis.plot([100 * end for end in ends], [row, row], color="#6b7280", linewidth=width, zorder=2)
        face = "#0072B2" if cell["source"] == "measured" else "white"
        axis.plot([x], [row], marker="o", markersize=3.5, markerfacecolor=face, markeredgecolor="#0072B2", zorder=3)
        for each in _wide(cell):
            x = 100 * each["effective_robustness"]
            axis.plot([x], [row], marker="x", markersize=3.5, color="black", zorder=4)
    lines = {f"{cell['baseline']}, {cell['axis']}" for cell in cells}
    axis.set_title(heading)
    _frame(axis, f"points above the line of\n{'; '.join(sorted(lines))}")


def _wide(cell: dict[str, Any]) -> list[dict[str, Any]]:
    """The same arm on the wider baseline, where it lies outside the narrow one's range."""
    near = [each for each in cell["beside"] if each["axis"] == cell["axis"]] if cell["extrapolated"] else []
    return [each for each in near if each["baseline"].startswith(WIDER["testbed"])]


def _contrasts(axis: Any, answers: Sequence[Answer], names: Sequence[str]) -> None:
    if not answers:
        axis.set_axis_off()
        return
    for answer in answers:
        row, size = names.index(answer.contrast.name), answer.size
        if answer.margin is not None:
            axis.barh(row, 2 * answer.margin, left=-answer.margin, height=1.0, color="#e5e7eb", zorder=1)
        if size is None or answer.effect is None:
            continue
        colour, ends = COLOURS[answer.verdict], answer.effect.interval()
        axis.plot(list(ends), [row, row], color=colour, linewidth=1.6, zorder=2)
        face = "white" if answer.contrast.confounded else colour
        look = {"marker": MARKERS[answer.verdict], "markersize": 4, "markerfacecolor": face, "markeredgecolor": colour}
        axis.plot([size], [row], zorder=3, **look)
    lines = {f"{answer.baseline}, {answer.axis}" for answer in answers}
    _frame(axis, f"difference, logits, by\n{'; '.join(sorted(lines))}")


def _legend(figure: Any, cells: Sequence[dict[str, Any]], contrasts: bool) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    def dot(marker: str, colour: str, label: str, filled: bool = True) -> Any:
        face = colour if filled else "white"
        return Line2D(
            [], [], linestyle="none", marker=marker, markersize=4, color=colour, markerfacecolor=face, label=label
        )

    measured = {cell["source"] == "measured" for cell in cells}
    entries = [dot("o", "#0072B2", "measured arm" if own else "published arm", own) for own in sorted(measured)]
    if any(_wide(cell) for cell in cells):
        entries.append(dot("x", "black", "the same on testbed-wide"))
    entries.append(Line2D([], [], color="#6b7280", linewidth=1.8, label="95 %"))
    entries.append(Line2D([], [], color="#6b7280", linewidth=0.6, label="95 % with the scatter of models"))
    if contrasts:
        entries += [dot(MARKERS[verdict], COLOURS[verdict], verdict) for verdict in COLOURS]
        entries += [dot("o", "#6b7280", "confounded", False), Patch(color="#e5e7eb", label="margin")]
    figure.legend(handles=entries, loc="outside lower center", ncols=5, frameon=False, fontsize=6)
