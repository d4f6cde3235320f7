"""Both parts of a support split: the baseline, its line and the models beside it. Needs matplotlib (extra `plots`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from effrob.analysis.reliability_chart import check_format
from effrob.errors import UsageProblem
from effrob.files import whole_file
from effrob.robustness.scale import scale as find_scale

TITLES = {"in": "where clean images lie", "out": "where they do not"}


def draw_parts(document: Mapping[str, Any], out: Path) -> None:
    """Draw the document of `support_document`: a panel a part, on the line's scale, both with the same axes.

    Raises UsageProblem for another format, and where neither part has a line.
    """
    check_format(out)
    scale = find_scale(document["scale"])
    models = document["models"]
    if not any(part["line"] for model in models for part in model["parts"]):
        raise UsageProblem(f"neither part of {document['shift']} has a line to draw: {models[0]['parts'][0]['why']}")
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    style = {"font.size": 8, "axes.spines.top": False, "axes.spines.right": False, "svg.hashsalt": "effrob"}
    with pyplot.rc_context(style):
        figure, axes = pyplot.subplots(1, 2, figsize=(6.4, 3.4), sharex=True, sharey=True)
        for place, axis in enumerate(axes):
            first = models[0]["parts"][place]
            axis.set_title(f"{TITLES[first['support']]} ({first['n']} images)", fontsize=8)
            members = np.array([each for each in first["members"] if min(each) > 0 and max(each) < 1]).reshape(-1, 2)
            axis.scatter(*scale.forward(members).T, s=8, color="0.6", label="baseline")
            if first["line"] is not None:
                x = scale.forward(members[:, 0])
                ends = np.array([x.min(), x.max()])
                axis.plot(ends, first["line"]["intercept"] + first["line"]["slope"] * ends, color="0.3", linewidth=1)
            for number, model in enumerate(models):
                part = model["parts"][place]
                point = part["clean_accuracy"], part["accuracy"]
                if None in point or not min(point) > 0 or not max(point) < 1:
                    continue
                axis.scatter(*scale.forward(point), s=36, marker="*", color=f"C{number}", label=model["model"])
            axis.set_xlabel(f"clean accuracy ({scale.name})", fontsize=8)
        axes[0].set_ylabel(f"accuracy on {document['shift']} ({scale.name})", fontsize=8)
        handles = dict(reversed(pair) for axis in axes for pair in zip(*axis.get_legend_handles_labels()))
        figure.legend(handles.values(), handles.keys(), loc="upper center", ncols=3, frameon=False, fontsize=7)
        figure.tight_layout(rect=(0, 0, 1, 0.92))
        with whole_file(out) as file:
            figure.savefig(file, format=out.suffix[1:].lower(), dpi=200)
        pyplot.close(figure)
