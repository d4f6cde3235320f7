"""Summary: studies side by side, ranked where ranking is fair, with what a training run reported beside them.

A study enters the ranking with its headline contrast on the mean of the four shifts, unless that is confounded or cannot be
worked out; ranks are ranges, as wide as the intervals leave them.
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any

from effrob.errors import UsageProblem, suggest
from effrob.files import whole_file
from effrob.leaderboard.formatting import interval, points, title
from effrob.studies.finding import EQUIVALENT, MOVES, UNKNOWN, Answer, Finding
from effrob.studies.reader import CAUSES, shipped
from effrob.studies.report import WIDTH
from effrob.studies.study import MEAN

BEGIN, END = "<!-- effrob study summary: begin -->", "<!-- effrob study summary: end -->"
POCKET = (
    "The pocket run trains small networks on twenty drawn classes, several seeds an arm, arms made to differ in one factor; "
    "its report says where they cannot. It measures them with the same instrument, so it can show whether a factor is able to "
    "move effective robustness, and which way; for causes iii and iv no published pair can. It cannot say how much the factor "
    "moved CLIP: its pictures, captions and shifts are drawn by a program, its sets and networks are smaller by orders of "
    "magnitude, and what appears only at scale does not appear in it."
)
RULE = (
    "Effect: effective robustness of the study's headline contrast on the mean of V2, R, Sketch and ObjectNet (else shift by "
    "shift), in points with its 95 % interval, and the line it stands on. Share: of OpenAI ViT-B/32's on the same line. "
    "Equivalent: within a tenth of that. Ranked by size among contrasts that are not confounded and were measured on all four "
    "shifts; a range is what the intervals leave open. `effrob study run NAME` shows every arm, shift and caveat."
)


@dataclass(frozen=True)
class Ranked:
    """A finding in a summary. `best` and `worst` rank, of `of`; None where it cannot be ranked, and `why_not` says why."""

    found: Finding
    effect: Answer | None
    best: int | None = None
    worst: int | None = None
    of: int = 0
    why_not: str | None = None


@dataclass(frozen=True)
class Reported:
    """One cause in a training run's report. `effect` and `ci95` are fractions, or logits where `scale_of_effect` says so.

    extrapolated  whether an arm lies outside the range of the line's models; may be left out
    """

    cause: str
    effect: float
    ci95: tuple[float, float]
    seeds: int
    verdict: str
    contrast: str
    scale_of_effect: str
    extrapolated: bool = False

    @property
    def text(self) -> str:
        """Effect, interval, seeds and verdict in a few words."""
        if self.scale_of_effect == "points":
            size = f"{points(self.effect, 1)} {interval(self.ci95, True)}"
        else:
            size = "{:+.2f} [{:+.2f}, {:+.2f}] logits".format(self.effect, *self.ci95)
        beyond = ", beyond the range of the line's models" if self.extrapolated else ""
        return f"{size}, {self.seeds} seeds{beyond}: {self.verdict} ({self.contrast})"


def summarise(findings: Iterable[Finding]) -> list[Ranked]:
    """The findings in their order, each with its rank among those that can be ranked."""
    made = [_unranked(found) for found in findings]
    reach = {id(each): _reach(each.effect) for each in made if each.effect is not None and each.why_not is None}
    ranked = []
    for each in made:
        if id(each) not in reach:
            ranked.append(each)
            continue
        low, high = reach[id(each)]
        best = 1 + sum(other[0] > high for other in reach.values())
        worst = len(reach) - sum(other[1] < low for other in reach.values())
        ranked.append(Ranked(each.found, each.effect, best, worst, len(reach)))
    return ranked


def _unranked(found: Finding) -> Ranked:
    study = found.study
    head = next((c for c in study.contrasts if c.name == study.headline), None)
    if head is None:
        return Ranked(found, None, why_not="no published arm" if not study.arms else "no contrast")
    effect = next((a for a in found.of(head.name) if a.shift == MEAN and a.reckoned.estimate is not None), None)
    if head.confounded:
        return Ranked(found, effect, why_not="confounded")
    return Ranked(found, effect, why_not=None if effect else "not measured on all four shifts")


def _reach(effect: Answer | None) -> tuple[float, float]:
    """Smallest and largest size of an effect that its interval allows, on the wider baseline too where there is one."""
    ends = []
    for answer in (effect, None if effect is None else effect.wide):
        found = None if answer is None else answer.reckoned.estimate
        ends += list((found and found.interval()) or ())
    low, high = min(ends), max(ends)
    return (0.0 if low <= 0 <= high else min(abs(low), abs(high))), max(abs(low), abs(high))


def read_report(path: Path) -> dict[str, tuple[Reported, ...]]:
    """Cause -> what a training run reported of it. Raises UsageProblem with the number of the entry that is wrong."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UsageProblem(
            f"{path} cannot be read ({error.strerror}): name the report.json of a training run"
        ) from None
    except (ValueError, RecursionError) as error:
        raise UsageProblem(f"{path} is not JSON ({error}): name the report.json of a training run") from None
    causes = content.get("causes") if isinstance(content, dict) else None
    if not isinstance(causes, list):
        raise UsageProblem(f"{path} has no list `causes`: name the report.json of a training run")
    found: dict[str, tuple[Reported, ...]] = {}
    for number, entry in enumerate(causes, 1):
        made = _entry(entry, f"{path.name} entry {number}")
        found[made.cause] = (*found.get(made.cause, ()), made)
    return found


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
    verdicts, scales = (MOVES, EQUIVALENT, UNKNOWN), ("logit", "points")
    for key, known in (("cause", tuple(shipped())), ("verdict", verdicts), ("scale_of_effect", scales)):
        if values[key] not in known:
            said = suggest(str(values[key]), known)
            raise UsageProblem(f"{where}: {key} is {', '.join(known)}; got {values[key]!r}{said}")
    return Reported(**{**values, "ci95": tuple(ends)}, extrapolated=beyond)


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= sys.float_info.max  # an endless integer has no float; NaN is in no order


def markdown(ranked: Sequence[Ranked], reported: Mapping[str, tuple[Reported, ...]] | None = None) -> str:
    """One pipe table, a study a row, with the rule under it; the run's column only where there is a report."""
    head = ["cause", "headline contrast in published tables", "effect", "share of CLIP's", "verdict", "rank"]
    rows = [head + (["pocket run"] if reported is not None else []), ["---"] * (len(head) + (reported is not None))]
    for each in ranked:
        row = _cells(each)
        if reported is not None:
            row.append("; ".join(one.text for one in reported.get(each.found.study.name, ())) or "not in the report")
        rows.append(row)
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    lines += ["", *_wrap(RULE)]
    for each in ranked:
        study = each.found.study
        if each.found.verdict == UNKNOWN and study.instead:
            open_question = study.cannot_decide[:1].lower() + study.cannot_decide[1:]
            lines += ["", *_wrap(f"**{_title(each)}**, not to be decided here: {open_question} {study.instead}")]
    if reported is not None:
        lines += ["", *_wrap(POCKET)]
    return "\n".join(lines) + "\n"


def _wrap(text: str) -> list[str]:
    """Lines of a paragraph; a command in backticks stays on one."""
    held = re.sub("`[^`]*`", lambda found: found[0].replace(" ", "\0"), text)
    return [line.replace("\0", " ") for line in textwrap.wrap(held, WIDTH, break_on_hyphens=False)]


def _title(each: Ranked) -> str:
    study = each.found.study
    return (f"{study.cause}. " if study.cause in CAUSES else "") + (study.title or study.name)


def _cells(each: Ranked) -> list[str]:
    verdict = f"**{each.found.verdict}**" + (f" ({each.why_not})" if each.why_not else "")
    share = None if each.effect is None else each.effect.share
    shown = "-" if share is None else f"{100 * share:+.0f} %"
    rank = "-" if each.best is None else str(each.best) if each.best == each.worst else f"{each.best} to {each.worst}"
    return [_title(each), each.found.study.headline or "none", _effect(each), shown, verdict, rank]


def _effect(each: Ranked) -> str:
    """The effect on the mean of the four; else its size on each shift."""
    if each.effect is not None:
        wide = each.effect.wide
        return _sized(each.effect) + ("" if wide is None else f"; {_sized(wide)}")
    answers = [a for a in each.found.of(each.found.study.headline or "") if a.size is not None]
    sizes = ", ".join(f"{title(a.shift)} {points(a.size, 1)}" for a in answers)
    return f"{sizes} ({answers[0].baseline}, {answers[0].axis})" if answers else "-"


def _sized(answer: Answer) -> str:
    found = answer.reckoned.estimate
    ends = None if found is None else found.interval()
    return f"{points(answer.size, 1)} {interval(ends, True)} ({answer.baseline}, {answer.axis})"


def put_into(path: Path, text: str) -> None:
    """Replace what stands between the two marks of a document. Raises UsageProblem where they are not there."""
    try:
        old = path.read_bytes().decode()  # line ends stay as they are
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageProblem(f"{path} cannot be read ({why}): name a document that holds the two marks") from None
    before, begun, rest = old.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not begun or not ended:
        raise UsageProblem(f"{path} has no place for the table: write `{BEGIN}` and, below it, `{END}`")
    with whole_file(path) as file:
        file.write(f"{before}{BEGIN}\n\n{text}\n{END}{after}".encode())


def as_json(
    ranked: Sequence[Ranked], reported: Mapping[str, tuple[Reported, ...]] | None = None
) -> list[dict[str, Any]]:
    """A list of rows, fractions, strict JSON."""
    return [
        {
            "study": each.found.study.name,
            "cause": each.found.study.cause,
            "headline": each.found.study.headline,
            "verdict": each.found.verdict,
            "effect": None if each.effect is None else each.effect.as_json(),
            "by_shift": [a.as_json() for a in each.found.of(each.found.study.headline or "")],
            "rank": None if each.best is None else [each.best, each.worst],
            "ranked_among": each.of,
            "why_not_ranked": each.why_not,
            "reported": [
                {**asdict(one), "ci95": list(one.ci95)} for one in (reported or {}).get(each.found.study.name, ())
            ],
        }
        for each in ranked
    ]
