"""What a training run's report.json says of each cause, to stand beside the published verdicts."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from typing import Any

from effrob.errors import UsageProblem, suggest
from effrob.leaderboard.formatting import joined, logit_interval, logits
from effrob.studies.answer import EQUIVALENT, LIFTS, LOWERS, MOVES, UNKNOWN
from effrob.studies.reader import shipped
from shifts.bounds.files import read_json


@dataclass(frozen=True)
class Reported:
    """One cause in a training run's report; `effect` and `ci95` in logits.

    extrapolated  whether an arm lies outside the range of the line's models
    why           of a verdict `cannot tell`
    note          what stands beside the effect in tables; these three may be left out of the file
    scale         the report's, which names its column: pocket, imagenet
    """

    cause: str
    effect: float
    ci95: tuple[float, float]
    seeds: int
    verdict: str
    contrast: str
    scale_of_effect: str
    extrapolated: bool = False
    why: str | None = None
    note: str | None = None
    scale: str = "pocket"

    @property
    def said(self) -> str:
        """The verdict, with its direction where the interval has one."""
        low, high = self.ci95
        if self.verdict != MOVES or low <= 0 <= high:
            return self.verdict
        return LIFTS if low > 0 else LOWERS

    @property
    def text(self) -> str:
        """Effect, interval and verdict in a few words."""
        effect = joined(logits(self.effect, 2), logit_interval(self.ci95))
        why, note = (f", {self.why}" if self.why else ""), (f"; {self.note}" if self.note else "")
        return f"{effect}: {self.said}{why}; {self.seeds} seeds{note}"


def read_report(path: Path) -> dict[str, tuple[Reported, ...]]:
    """Cause -> what a training run reported of it. Raises UsageProblem with the number of the entry that is wrong."""
    try:
        content = read_json(path, encoding="utf-8-sig")
    except OSError as error:
        raise UsageProblem(
            f"{path} cannot be read ({error.strerror}): name the report.json of a training run"
        ) from None
    except (ValueError, RecursionError) as error:
        raise UsageProblem(f"{path} is not JSON ({error}): name the report.json of a training run") from None
    causes = content.get("causes") if isinstance(content, dict) else None
    if not isinstance(causes, list):
        raise UsageProblem(f"{path} has no list `causes`: name the report.json of a training run")
    scale = content.get("scale", "pocket")
    if not isinstance(scale, str) or not scale.isprintable():
        raise UsageProblem(f"{path}: scale must be one line of text; got {scale!r:.60}")
    by_cause: dict[str, tuple[Reported, ...]] = {}
    for number, entry in enumerate(causes, 1):
        made = replace(_entry(entry, f"{path.name} entry {number}"), scale=scale)
        by_cause[made.cause] = (*by_cause.get(made.cause, ()), made)
    return by_cause


def _entry(entry: Any, where: str) -> Reported:
    keys = [each.name for each in fields(Reported) if each.default is MISSING]
    if not isinstance(entry, Mapping):
        raise UsageProblem(f"{where} is not an object: it must hold {', '.join(keys)}")
    lacking = [key for key in keys if key not in entry]
    if lacking:
        raise UsageProblem(f"{where} lacks {lacking[0]!r}: it must hold {', '.join(keys)}")
    values = {key: entry[key] for key in keys}
    if not _is_number(values["effect"]):
        raise UsageProblem(f"{where}: effect must be a finite number; got {values['effect']!r:.60}")
    if not isinstance(values["seeds"], int) or not 2 <= values["seeds"] < 10**6:
        raise UsageProblem(f"{where}: seeds must be a whole number, 2 or more; got {values['seeds']!r:.60}")
    ends = values["ci95"]
    if not isinstance(ends, list) or len(ends) != 2 or not all(map(_is_number, ends)) or ends[0] > ends[1]:
        raise UsageProblem(f"{where}: ci95 must be two finite numbers, the lower first; got {ends!r:.60}")
    if not isinstance(values["contrast"], str) or not values["contrast"].isprintable():
        raise UsageProblem(f"{where}: contrast must be one line of text; got {values['contrast']!r:.60}")
    beyond = entry.get("extrapolated", False)
    if not isinstance(beyond, bool):
        raise UsageProblem(f"{where}: extrapolated must be true or false; got {beyond!r:.60}")
    verdicts, scales = (MOVES, EQUIVALENT, UNKNOWN), ("logit",)
    for key, known in (("cause", tuple(shipped())), ("verdict", verdicts), ("scale_of_effect", scales)):
        if values[key] not in known:
            said = suggest(str(values[key]), known)
            raise UsageProblem(f"{where}: {key} is {', '.join(known)}; got {values[key]!r}{said}")
    words = {key: entry.get(key) for key in ("why", "note")}
    for key, text in words.items():
        if text is not None and (not isinstance(text, str) or not text.isprintable()):
            raise UsageProblem(f"{where}: {key} must be one line of text or null; got {text!r:.60}")
    return Reported(**{**values, "ci95": tuple(ends)}, extrapolated=beyond, why=words["why"], note=words["note"])


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= sys.float_info.max  # an endless integer has no float; NaN is in no order
