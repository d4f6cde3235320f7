"""The study of the full-scale runs as a report that `effrob study summary --trained` sets beside the published tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from effrob.files import whole_file
from effrob.studies.answer import UNKNOWN
from effrob.studies.finding import Finding, run
from effrob.studies.reader import read
from effrob.studies.study import Contrast
from recipes.five_causes.full_scale.plan import STUDY

CAUSES = ("size", "distribution", "training-language", "test-language", "contrastive-loss")


def write_report(results: Path, file: Path, study: Path = STUDY) -> list[dict[str, Any]]:
    """One entry a cause into `file`. UsageProblem where a run's records are not there, with the command that makes them."""
    entries = headlines(run(read(study), results))
    with whole_file(file) as unfinished:
        unfinished.write((json.dumps({"scale": "imagenet", "causes": entries}, indent=1) + "\n").encode())
    return entries


def headlines(finding: Finding) -> list[dict[str, Any]]:
    """Each cause's first contrast that differs in the factor alone, else its first, which then has no verdict."""
    made = []
    for cause in CAUSES:
        own = [one for one in finding.study.contrasts if one.name.startswith(f"{cause}: ")]
        made.append(_entry(finding, cause, next((one for one in own if one.confounded is None), own[0])))
    return made


def _entry(finding: Finding, cause: str, contrast: Contrast) -> dict[str, Any]:
    overall = finding.overall(contrast)
    if overall is None:
        raise ValueError(f"{contrast.name!r} has no effect: its arms were measured on no shift of the line")
    verdict = finding.judgement(contrast)
    whys = [answer.why for answer in finding.of(contrast.name) if answer.why]
    why = None if verdict != UNKNOWN else next(iter(whys), "the shifts disagree")
    return {
        "cause": cause,
        "contrast": contrast.name.partition(": ")[2],
        "unit": "logit",
        "effect": overall.value,
        "value": overall.value,
        "ci95": list(overall.ci95),
        "seeds": len(finding.study.arm(contrast.arms[0]).models),
        "verdict": verdict,
        "why": why,
        "scale_of_effect": "logit",
    }
