"""Judging: the line one evaluated model is set beside, and the images it shares with it.

A model measured here is judged without its own pull on the line and, where the baseline kept per-image answers, with the
images both saw. A published row stays on the line as published, so that its numbers are the literature's, and is flagged.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from effrob.errors import UsageProblem
from effrob.results.accuracy import Accuracy
from effrob.robustness.effective import Effective, assess
from effrob.robustness.fit import RobustnessFit
from effrob.robustness.pairing import pairing_from


def line_without(fit: RobustnessFit, models: Iterable[str]) -> RobustnessFit:
    """The line less these models; the whole line where fewer than five members would be left."""
    try:
        return fit.without(models)
    except UsageProblem:
        return fit


def judge(
    fit: RobustnessFit, model: str, clean: Accuracy | None, shift: Accuracy | None, folder: Path | None = None
) -> Effective:
    """A model measured here beside a line that does not contain it.

    clean   on the fit's axis;  folder  of its record, whose `predictions.npz` and `clean.npz` hold the per-image answers
    Both steps are flagged: `in-baseline` where the model was left out, `conservative-interval` where no image is known to
    be shared. Where leaving it out leaves no line, the flag stands beside an empty `left_out`.
    """
    line = line_without(fit, [model])
    return assess(line, clean, shift, None if folder is None else pairing_from(line, folder), model)
