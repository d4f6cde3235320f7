"""Figures for paper: accuracy under shift against clean accuracy on the line's own scale, hollow published, filled measured.

Needs matplotlib (the extra `plots`). Text stays text in PDF and SVG; equal boards give equal bytes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from effrob.errors import UsageProblem, suggest
from effrob.files import whole_file
from effrob.leaderboard.formatting import title
from effrob.leaderboard.panel import Panel
from effrob.leaderboard.points import GROUPS, Point, curves, family, label, series, ticks
from effrob.results.model_result import ORIGINS
from effrob.robustness.fit import RobustnessFit
from effrob.robustness.scale import Scale
from effrob.robustness.scale import scale as scale_named
from shifts import suite_of

COLUMN, PAGE = 3.4, 7.0  # inches: one column and the width of a page
FORMATS = (".png", ".pdf", ".svg")
MARGIN = 0.2  # logits of air around the points
FILLED = ("measured", "imported")
EDGES = {"measured": "black", "given": "black"}  # others have the colour of their group
SAID = {
    "measured": "measured (filled)",
    "imported": "imported (filled, no edge)",
    "given": "given (hollow, black edge)",
}
NAMES_HELD = 20  # names a panel has room for
TITLES = {"mean-of-four": "mean of V2, R, Sketch and ObjectNet"}

STYLE: dict[str, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "effrob",
    "savefig.dpi": 300,
}


@dataclass(frozen=True)
class Emphasis:
    """Models that stand out: `highlight` are patterns of names, `label` writes names beside points."""

    highlight: tuple[str, ...] = ()
    label: bool = False

    def stands_out(self, point: Point) -> bool:
        return any(fnmatchcase(point.row.model, pattern) for pattern in self.highlight)

    def named(self, drawn: Sequence[Point]) -> list[Point]:
        """The points whose names are written."""
        if not self.label:
            return []
        return [p for p in drawn if (self.stands_out(p) if self.highlight else p.row.origin != "published")]

    def check(self, panels: Sequence[Panel]) -> None:
        """Raises UsageProblem for a pattern that no point drawn matches, and for more names than a picture holds."""
        models = [p.row.model for each in panels for p in each.points]
        for pattern in self.highlight:
            if not any(fnmatchcase(model, pattern) for model in models):
                why = f" on this axis (--axis full may){suggest(pattern, models)}"
                raise UsageProblem(f"--highlight {pattern!r} matches no model drawn{why}")
        most = max((len(self.named(each.points)) for each in panels), default=0)
        if most > NAMES_HELD:
            raise UsageProblem(
                f"--label would write {most} names, and a picture holds {NAMES_HELD}: choose by --highlight"
            )


def draw(
    panels: Sequence[Panel],
    out: Path,
    scale: str = "logit",
    connect: bool = False,
    emphasis: Emphasis = Emphasis(),
) -> None:
    """Write PNG, PDF or SVG by the name of `out`. Raises UsageProblem for another ending, or without matplotlib."""
    if out.suffix.lower() not in FORMATS:
        raise UsageProblem(f"a figure is written as {', '.join(FORMATS)}; got {out.name!r}")
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageProblem("figures need matplotlib: pip install 'effrob[plots]'") from None
    emphasis.check(panels)
    columns = min(len(panels), 3)
    rows = math.ceil(len(panels) / columns)
    width = COLUMN if columns == 1 else PAGE
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, 0.95 * width / columns * rows + 0.75), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for axis, each in zip(axes, panels):
            _draw_panel(axis, each, scale_named(scale))
            _emphasise(axis, each, emphasis)
            for run in series(each.points) if connect else ():
                look = {"color": GROUPS[run[0].group].colour, "linewidth": 0.8, "zorder": 3.5}
                axis.plot([p.x for p in run], [p.y for p in run], **look)
        for axis in axes[len(panels) :]:
            axis.set_axis_off()
        _legend(figure, panels, 2 if columns == 1 else 4)
        stamp = {".png": {"Software": None}, ".pdf": {"CreationDate": None}, ".svg": {"Date": None}}
        with whole_file(out) as file:
            kind = out.suffix.lower()
            figure.savefig(file, format=kind[1:], metadata=stamp[kind])


def _draw_panel(axis: Any, each: Panel, scale: Scale) -> None:
    xs, ys = [p.x for p in each.points], [p.y for p in each.points]
    low, high = _beyond(min(xs), -MARGIN), _beyond(max(xs), MARGIN)
    bottom, top = _beyond(min(ys), -MARGIN), _beyond(max(ys), MARGIN)
    for which, ends in (("x", (low, high)), ("y", (bottom, top))):
        getattr(axis, f"set_{which}scale")("function", functions=_functions(scale))
        getattr(axis, f"set_{which}lim")(*ends)
        marks = ticks(scale, *ends)
        getattr(axis, f"set_{which}ticks")(marks, [f"{100 * mark:g}" for mark in marks], minor=False)
        getattr(axis, f"set_{which}ticks")([], minor=True)
    axis.grid(color="#e5e7eb", linewidth=0.4)
    axis.set_axisbelow(True)
    same = [max(low, bottom), min(high, top)]
    if same[0] < same[1]:
        axis.plot(same, same, color="black", linewidth=0.7, linestyle=(0, (4, 3)))
    if isinstance(each.fit, RobustnessFit):
        for curve in curves(each.fit, low, high):
            axis.fill_between(curve.x, curve.low, curve.high, color="#D55E00", alpha=0.15, linewidth=0)
            axis.plot(curve.x, curve.y, color="#D55E00", linewidth=1.2)
    for group, (_, colour, _, marker) in GROUPS.items():
        for origin in reversed(ORIGINS):
            chosen = [p for p in each.points if p.group == group and p.row.origin == origin]
            filled, own = origin in FILLED, origin != "published"
            axis.scatter(
                [p.x for p in chosen],
                [p.y for p in chosen],
                s=22 if own else 9,
                marker=marker,
                facecolors=colour if filled else "none",
                edgecolors=EDGES.get(origin, colour),
                linewidths=0.6,
                zorder=4 if own else 3,
            )
    for p in each.disputed:
        look = {"xytext": (3, 3), "textcoords": "offset points", "fontsize": 5, "zorder": 4}
        axis.annotate("†", (p.x, p.y), annotation_clip=True, **look)
    axis.set_xlabel(_x_label(each))
    axis.set_ylabel(f"{TITLES.get(each.shift) or title(each.shift)} (%)")


def _beyond(value: float, logits: float) -> float:
    """An accuracy that many logits farther out, so that markers are not cut."""
    return 1 / (1 + math.exp(-(math.log(value / (1 - value)) + logits)))


def _emphasise(axis: Any, each: Panel, emphasis: Emphasis) -> None:
    """Fade what does not stand out, ring what does, and write names, each on the side of its point that has room."""
    from matplotlib.collections import PathCollection

    out = [p for p in each.points if emphasis.stands_out(p)]
    if emphasis.highlight:
        for drawn in axis.collections:
            if isinstance(drawn, PathCollection):  # the points; a band is a PolyCollection
                drawn.set_alpha(0.25)
        for p in out:
            look = GROUPS[p.group]
            axis.plot(p.x, p.y, look.marker, markersize=6, color=look.colour, markeredgecolor="black", zorder=5)
    middle = sorted(p.x for p in each.points)[len(each.points) // 2]
    for place, p in enumerate(sorted(emphasis.named(each.points), key=lambda p: p.y)):
        left = p.x > middle
        name = axis.annotate(
            label(p.row.model),
            (p.x, p.y),
            xytext=(-7 if left else 7, 5 if place % 2 else -5),
            textcoords="offset points",
            ha="right" if left else "left",
            va="center",
            fontsize=6,
            zorder=6,
        )
        name.set_in_layout(False)  # a long name must not squeeze the picture


def _functions(chosen: Scale) -> tuple[Any, Any]:
    """matplotlib probes a scale outside (0, 1); there it is held at the edge."""
    import numpy as np

    edge = 1e-9
    return (lambda p: chosen.forward(np.clip(p, edge, 1 - edge))), chosen.inverse


def _x_label(each: Panel) -> str:
    clean = suite_of(each.shift).axis_title
    own = any(p.row.clean_full is None or p.x != p.row.clean_full.value for p in each.points)
    return f"{clean}, {title(each.shift).partition(' ')[0]}'s classes (%)" if own else f"{clean} (%)"


def _legend(figure: Any, panels: Sequence[Panel], columns: int) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    def dot(marker: str, colour: str, label: str, origin: str = "published") -> Any:
        face, edge = colour if origin in FILLED else "none", EDGES.get(origin, colour)
        look: dict[str, Any] = {"marker": marker, "markersize": 4.5, "markerfacecolor": face, "markeredgecolor": edge}
        return Line2D([], [], linestyle="none", markeredgewidth=0.8, label=label, **look)

    seen = {p.group for each in panels for p in each.points}
    suite = panels[0].points[0].row.suite if panels and panels[0].points else "imagenet"
    entries = [dot(look.marker, look.colour, family(key, suite)) for key, look in GROUPS.items() if key in seen]
    origins = {p.row.origin for each in panels for p in each.points}
    entries += [dot("o", "#6b7280", label, origin) for origin, label in SAID.items() if origin in origins]
    fits = [each.fit for each in panels if isinstance(each.fit, RobustnessFit)]
    if fits:
        names = ", ".join(sorted({fit.baseline.name for fit in fits}))
        entries.append(Line2D([], [], color="#D55E00", linewidth=1.2, label=f"line of {names}"))
        entries.append(Patch(color="#D55E00", alpha=0.15, label="95 % of baseline models"))
    if any(each.disputed for each in panels):
        dagger: dict[str, Any] = {"marker": "$†$", "markersize": 4.5, "color": "black", "linestyle": "none"}
        entries.append(Line2D([], [], label="disputed accuracy", **dagger))
    entries.append(Line2D([], [], color="black", linewidth=0.7, linestyle=(0, (4, 3)), label="y = x"))
    figure.legend(handles=entries, loc="outside lower center", ncols=columns, frameon=False, handletextpad=0.4)
