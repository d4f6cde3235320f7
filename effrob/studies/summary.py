"""Summary: one row a cause: what the paper found, what published models say, and what a training run reported.

Effects are in logits, each the mean over the study's ranked shifts of the headline contrast; ranks are ranges, as wide as the
intervals leave them.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from effrob.errors import UsageProblem
from effrob.files import whole_file
from effrob.leaderboard.formatting import joined, logit_interval, logits, title
from effrob.studies.answer import EQUIVALENT, LIFTS, LOWERS, MOVES, UNKNOWN
from effrob.studies.finding import Finding, Overall
from effrob.studies.reader import CAUSES
from effrob.studies.report import WIDTH
from effrob.studies.reported import Reported
from effrob.studies.study import Contrast

BEGIN, END = "<!-- effrob study summary: begin -->", "<!-- effrob study summary: end -->"
PAPER = (
    "Fang et al. (2022) found that the training distribution makes CLIP robust, and that the other four add little or "
    "nothing."
)
POCKET = (
    "The pocket run changes one factor at a time over twenty drawn classes, and says where more differs: it shows whether a "
    "factor can move effective robustness and which way, not how much it moved CLIP. Language at test time is another "
    "question in each column: published models compare prompts with fine-tuning of the whole tower, the pocket run with a "
    "layer on the tower held as it is."
)
RULE = (
    "Effects are differences of effective robustness in logits, with their 95 % interval. `cannot tell`: something else "
    "than the factor differs too, contrasts disagree, or the interval is too wide. Published: the mean over the shifts that "
    "all arms were measured on; the interval is the mean of the shifts' intervals, the widest case, without other seeds, "
    "checkpoints and harnesses; `equivalent` is within a tenth of the effect of OpenAI's ViT-B/32; of contrasts, single "
    "ones are counted, not means of them."
)
POCKET_RULE = (
    "Pocket run: the mean over its four shifts; the interval is one Student's t over the seeds and the line's uncertainty; "
    "`lifts it` and `lowers it` hold after Holm's correction, whichever shift is left out, and with no two contrasts that are "
    "told from none each and differ in sign; `equivalent` is within a tenth of the effect of `pocket:clip`."
)
MORE = "`effrob study run NAME` shows every arm, shift, contrast and caveat."


@dataclass(frozen=True)
class Ranked:
    """A finding in a summary. `best` and `worst` rank, of `of`; None where it cannot be ranked, and `why_not` says why."""

    finding: Finding
    effect: Overall | None
    best: int | None = None
    worst: int | None = None
    of: int = 0
    why_not: str | None = None


def summarise(findings: Iterable[Finding]) -> list[Ranked]:
    """The findings in their order, each with its rank among those that can be ranked."""
    made = [_unranked(finding) for finding in findings]
    reach = {id(each): _reach(each.effect) for each in made if each.effect is not None and each.why_not is None}
    ranked = []
    for each in made:
        if id(each) not in reach:
            ranked.append(each)
            continue
        low, high = reach[id(each)]
        best = 1 + sum(other[0] > high for other in reach.values())
        worst = len(reach) - sum(other[1] < low for other in reach.values())
        ranked.append(Ranked(each.finding, each.effect, best, worst, len(reach)))
    return ranked


def _unranked(finding: Finding) -> Ranked:
    study = finding.study
    if study.headline is None:
        return Ranked(finding, None, why_not="no published arm" if not study.arms else "no contrast")
    head = study.contrast(study.headline)
    effect = finding.overall(head)
    if head.confounded:
        return Ranked(finding, effect, why_not=f"also differs: {head.confounded}")
    return Ranked(finding, effect, why_not=None if effect else "not measured on one shift by all arms")


def _reach(effect: Overall) -> tuple[float, float]:
    """Smallest and largest size of an effect that its interval allows, on the wider baseline too where there is one."""
    ends = [end for each in (effect, effect.wide) if each is not None for end in each.ci95]
    low, high = min(ends), max(ends)
    return (0.0 if low <= 0 <= high else min(abs(low), abs(high))), max(abs(low), abs(high))


def markdown(ranked: Sequence[Ranked], reported: Mapping[str, tuple[Reported, ...]] | None = None) -> str:
    """One pipe table, a cause a row, three sentences under it, and how to read it; the run's column only with a report."""
    head = ["cause", "what the paper found", "what published models say, logits"]
    scales = {one.scale for each in (reported or {}).values() for one in each} or {"pocket"}
    rows = [head + ([f"{' and '.join(sorted(scales))} run, logits"] if reported is not None else [])]
    rows.append(["---"] * len(rows[0]))
    for each in ranked:
        row = [_title(each), each.finding.study.paper or "-", _published(each)]
        if reported is not None:
            row.append("; ".join(one.text for one in reported.get(each.finding.study.name, ())) or "not in the report")
        rows.append(row)
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    said = [PAPER, _decided(ranked)]
    if reported is not None:
        said += [POCKET] * ("pocket" in scales) + _run(ranked, reported)
    lines += ["", *_wrap(" ".join(said))]
    rules = [RULE, *([POCKET_RULE] if reported is not None and "pocket" in scales else []), MORE]
    return "\n".join([*lines, "", *_wrap(" ".join(rules))]) + "\n"


def _decided(ranked: Sequence[Ranked]) -> str:
    """Which causes published models decide, and which they leave open, in a sentence."""
    decided = [each for each in ranked if each.finding.verdict != UNKNOWN]
    left = [each for each in ranked if each.finding.verdict == UNKNOWN]
    verdicts = ", ".join(f"{_name(each)}: {_said(each)}{_one_pair(each)}" for each in decided) or "none of the causes"
    said = f"Published models decide {verdicts}"
    if not left:
        return f"{said}."
    apart = [each for each in left if each.effect is not None and _reach(each.effect)[0] > 0]
    seen = ""
    if apart:
        differ = "differs" if len(apart) == 1 else "differ"
        seen = f" Models lie apart where {_and([_name(each) for each in apart])} {differ}, and what else differs may be why."
    return (
        f"{said}; they leave open {', '.join(map(_name, left))}, for want of models that differ in that factor alone or of "
        f"enough of them.{seen}"
    )


def _said(each: Ranked) -> str:
    """The published verdict, with its direction where all shifts that it moves agree."""
    finding = each.finding
    if finding.verdict != MOVES:
        return finding.verdict
    lifted = {(answer.size or 0) > 0 for answer in finding.of(finding.study.headline or "") if answer.verdict == MOVES}
    return MOVES if len(lifted) != 1 else LIFTS if lifted.pop() else LOWERS


def _one_pair(each: Ranked) -> str:
    """Where a verdict rests on one pair of models, which, and what changes between them."""
    study = each.finding.study
    head = study.contrast(study.headline or "")
    return f", by one pair ({head.name}), which changes {study.factor.partition(': ')[2] or study.factor}" * (
        head.kind == "pair"
    )


def _run(ranked: Sequence[Ranked], reported: Mapping[str, tuple[Reported, ...]]) -> list[str]:
    """What the run says of each cause, by verdict."""
    groups: dict[str, list[str]] = {LIFTS: [], LOWERS: [], MOVES: [], EQUIVALENT: [], UNKNOWN: []}
    for each in ranked:
        for said in dict.fromkeys(one.said for one in reported.get(each.finding.study.name, ())):
            groups[said].append(_name(each))
    few = {
        LIFTS: "lifts it",
        LOWERS: "lowers it",
        MOVES: "moves it",
        EQUIVALENT: "is equivalent",
        UNKNOWN: "cannot be told",
    }
    many = {
        LIFTS: "lift it",
        LOWERS: "lower it",
        MOVES: "move it",
        EQUIVALENT: "are equivalent",
        UNKNOWN: "cannot be told",
    }
    parts = [f"{_and(names)} {(few if len(names) == 1 else many)[said]}" for said, names in groups.items() if names]
    return [f"In the run, {'; '.join(parts)}."] if parts else []


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _name(each: Ranked) -> str:
    study = each.finding.study
    title = study.title or study.name
    return f"{title[:1].lower()}{title[1:]}" + (f" ({study.cause})" if study.cause in CAUSES else "")


def _title(each: Ranked) -> str:
    study = each.finding.study
    return (f"{study.cause}. " if study.cause in CAUSES else "") + (study.title or study.name)


def _single(each: Ranked) -> list[Contrast]:
    """The study's contrasts less the means of them, which are no further evidence."""
    return [contrast for contrast in each.finding.study.contrasts if contrast.kind != "mean"]


def _published(each: Ranked) -> str:
    finding, effect = each.finding, each.effect
    single = _single(each)
    alone = sum(contrast.confounded is None for contrast in single)
    count = f"{alone} of {len(single)} contrasts differ in the factor alone"
    if effect is None:
        return f"**{finding.verdict}**: {each.why_not}"
    why = f", {each.why_not or finding.why}" if finding.verdict == UNKNOWN else ""
    shifts = "" if effect.whole else f" (mean of {', '.join(map(title, effect.shifts))})"
    wide = "" if effect.wide is None else f", on the wider line {_effect(effect.wide)}"
    if any(answer.extrapolated and answer.wide is None for answer in finding.of(finding.study.headline or "")):
        wide += ", beyond the line's range and that of any wider one"
    return f"{_effect(effect)}{shifts}{wide}: **{_said(each)}**{why}; {count}"


def _effect(effect: Overall) -> str:
    return joined(logits(effect.value, 2), logit_interval(effect.ci95))


def _wrap(text: str) -> list[str]:
    """Lines of a paragraph; a command in backticks stays on one."""
    held = re.sub("`[^`]*`", lambda command: command[0].replace(" ", "\0"), text)
    return [line.replace("\0", " ") for line in textwrap.wrap(held, WIDTH, break_on_hyphens=False)]


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
    """A list of rows, effects in logits, strict JSON."""
    return [
        {
            "study": each.finding.study.name,
            "cause": each.finding.study.cause,
            "paper": each.finding.study.paper,
            "headline": each.finding.study.headline,
            "verdict": each.finding.verdict,
            "why": each.finding.why,
            "effect": None if each.effect is None else each.effect.as_json(),
            "by_shift": [answer.as_json() for answer in each.finding.of(each.finding.study.headline or "")],
            "rank": None if each.best is None else [each.best, each.worst],
            "ranked_among": each.of,
            "why_not_ranked": each.why_not,
            "contrasts": len(_single(each)),
            "unconfounded_contrasts": sum(c.confounded is None for c in _single(each)),
            "reported": [
                {**asdict(one), "ci95": list(one.ci95)} for one in (reported or {}).get(each.finding.study.name, ())
            ],
        }
        for each in ranked
    ]
