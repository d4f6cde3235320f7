"""The reliability chart: accuracy against confidence, a panel a shift, a line a model. Needs matplotlib (extra `plots`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from effrob.errors import UsageProblem
from effrob.files import whole_file

FORMATS = (".png", ".pdf", ".svg")
WIDTH = 2.3  # inches a panel
COLUMNS = 3


def check_format(out: Path) -> None:
    """Raises UsageProblem for a file that no picture can be written to."""
    if out.suffix.lower() not in FORMATS:
        raise UsageProblem(f"--out {out} wants a file name that ends in {', '.join(FORMATS)}")


def draw_reliability(rows: Sequence[Mapping[str, Any]], out: Path) -> None:
    """Draw rows of `confidence_row`; the diagonal is perfect calibration, bars are exact 95 % intervals of a bin's accuracy.

    Raises UsageProblem for another format, and where no row holds bins.
    """
    check_format(out)
    rows = [row for row in rows if row.get("bins")]
    if not rows:
        raise UsageProblem("a reliability chart wants confidences, and these records hold none")
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shifts = list(dict.fromkeys(row["shift"] for row in rows))
    models = list(dict.fromkeys(row["model"] for row in rows))
    columns = min(COLUMNS, len(shifts))
    lines = -(-len(shifts) // columns)
    style = {"font.size": 8, "axes.spines.top": False, "axes.spines.right": False, "svg.hashsalt": "effrob"}
    with pyplot.rc_context(style):
        size = (WIDTH * columns, WIDTH * lines + 0.5)
        figure, axes = pyplot.subplots(lines, columns, figsize=size, squeeze=False, sharex=True, sharey=True)
        for axis in axes.flat[len(shifts) :]:
            axis.set_visible(False)
        for axis, shift in zip(axes.flat, shifts):
            axis.plot([0, 1], [0, 1], color="0.6", linewidth=0.8, linestyle="--")
            for row in (row for row in rows if row["shift"] == shift):
                bins = row["bins"]
                x, y = [each["confidence"] for each in bins], [each["accuracy"] for each in bins]
                ends = [[v - each["accuracy_ci95"][0], each["accuracy_ci95"][1] - v] for v, each in zip(y, bins)]
                axis.errorbar(
                    x, y, yerr=list(zip(*ends)), color=f"C{models.index(row['model'])}", marker="o", markersize=2.5,
                    linewidth=1, elinewidth=0.5, label=row["model"],
                )  # fmt: skip
            axis.set_title(shift, fontsize=8)
            axis.set_xlim(0, 1)
            axis.set_ylim(0, 1)
            axis.set_aspect("equal")
        figure.supxlabel("confidence", fontsize=8)
        figure.supylabel("accuracy", fontsize=8)
        handles, labels = axes.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="upper center", ncols=min(2, len(labels)), frameon=False, fontsize=7)
        figure.tight_layout(rect=(0, 0, 1, 1 - 0.3 / size[1]))
        with whole_file(out) as file:
            figure.savefig(file, format=out.suffix[1:].lower(), dpi=200)
        pyplot.close(figure)
