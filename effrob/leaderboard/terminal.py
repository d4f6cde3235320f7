"""The table `effrob eval` ends with: a block a model, percent, and what stands behind the numbers; or every number there is."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from effrob.leaderboard.formatting import columns, interval, joined, logits, percent, points, reading
from effrob.robustness.rows import Row
from shifts import suite_of

HEADINGS = (
    "model",
    "shift",
    "head",
    "n",
    "accuracy [95 %]",
    "clean",
    "eff. robustness [95 % | line ± models]",
    "verdict",
    "logits",
    "p (Holm)",
    "flags",
)
LEVEL = 0.05


def cells(row: Row) -> tuple[str, ...]:
    """A row's cells under HEADINGS."""
    facts = row.robustness
    robustness = points(facts["effective_robustness"])
    if facts["effective_robustness"] is not None:
        sampling, scatter = facts["effective_robustness_ci95"], facts["effective_robustness_pi95"]
        robustness += f" {interval(sampling, True, 2)} | {interval(scatter, True, 2)}"
    verdict = (facts["verdict"] or "-") + (" (extrapolated)" if facts["extrapolated"] else "")
    verdict += " !" if _by_chance(row) else ""
    n = str(row.n) if not row.partial else f"{row.n} of {row.n_expected} (partial)"
    head = reading(row.head, row.prompts)
    accuracy = joined(percent(row.accuracy), interval(row.accuracy_ci95, digits=2))
    return (
        row.model,
        row.shift,
        head,
        n,
        accuracy,
        f"{percent(row.clean_accuracy_full)} (full)" if row.axis == "full" else percent(row.clean_accuracy),
        robustness,
        verdict,
        logits(facts["effective_robustness_logit"]),
        _p(facts["p_adjusted"]),
        ", ".join(facts.get("flags") or ()) or "-",
    )


def _p(value: float | None) -> str:
    return "-" if value is None else "<1e-99" if value < 1e-99 else f"{value:.2g}"


def _by_chance(row: Row) -> bool:
    """Above or below by its own interval, but not once all questions of the command are counted."""
    p = row.robustness["p_adjusted"]
    return row.robustness["verdict"] in ("above", "below") and p is not None and p >= LEVEL


WIDTH = 100  # columns of a terminal the short table fits
SHORT = ("shift", "accuracy", "clean", "eff. robustness", "verdict", "notes")
UNCERTAIN = "too uncertain"


def table(rows: Sequence[Row], verbose: bool = False, more: str = "-v shows every interval") -> str:
    """A block a model, percent, what it stands on below; with `verbose` every interval, logits, p-values and flags.

    The block has one interval a number: of effective robustness, half the width of the prediction interval, which the verdict
    is read from. The mean over the suite's ranked sets comes first, where all of them are there.

    more  how the other intervals are seen, for the legend
    """
    if verbose:
        return _verbose(rows)
    lines: list[str] = []
    for key, block in _blocks(rows).items():
        lines += [*([""] if lines else []), *_fold(key)]
        lines += ["  " + line for line in columns([SHORT, *_mean(block), *map(_short, block)])]
        lines += [f"  {line}" for line in textwrap.wrap(_aloud(block), WIDTH - 2)]
    return "\n".join([*lines, "", *(line for note in _notes(rows, False, more) for line in textwrap.wrap(note, WIDTH))])


def _blocks(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows of one model under one reading, protocol and source, in the order they came."""
    made: dict[str, list[Row]] = {}
    for row in rows:
        origin = "" if row.source == "measured" else f", {row.source}"
        made.setdefault(f"{row.model} ({reading(row.head, row.prompts)}; protocol {row.protocol}{origin})", []).append(
            row
        )
    return made


def _fold(title: str) -> list[str]:
    return textwrap.wrap(title, WIDTH, subsequent_indent="    ", break_long_words=True)


def _short(row: Row) -> tuple[str, ...]:
    facts = row.robustness
    name = row.shift + (f" ({row.n} of {row.n_expected})" if row.partial else "")
    clean = percent(row.clean_accuracy_full) + " f" if row.axis == "full" else percent(row.clean_accuracy)
    return name, percent(row.accuracy), clean, _plus_minus(facts), _word(row), " ".join(_letters(row))


def _plus_minus(facts: Mapping[str, Any]) -> str:
    ends, value = facts["effective_robustness_pi95"], facts["effective_robustness"]
    return points(value) if ends is None or value is None else _with_ends(value, *ends)


UNEVEN = 0.1  # of half an interval's width: the value lies farther from its middle, so ± would tell other ends


def _with_ends(value: float, low: float, high: float) -> str:
    """`value ± half`, or `value [low, high]` where the value does not lie in the middle; points."""
    half = (high - low) / 2
    if abs(value - (low + high) / 2) > UNEVEN * half:
        return f"{points(value)} {interval((low, high), True, 2)}"
    return f"{points(value)} ± {100 * half:.2f}"


def _word(row: Row) -> str:
    """The verdict; what it was read with, in words."""
    facts = row.robustness
    if facts["verdict"] is None:
        return "-"
    flags = [FLAGS[flag] for flag in facts.get("flags") or () if flag in FLAGS]
    word = UNCERTAIN if facts["verdict"] == "cannot-tell" else str(facts["verdict"])
    return ", ".join([word + (" !" if _by_chance(row) else ""), *flags])


# What a flag says in a row, in words beside the verdict or by a letter that the legend spells out; others the verdict tells.
FLAGS = {"extrapolated": "extrapolated", "no-line": "no line", "below-noise-floor": "within noise"}
WORDS = {
    "extrapolated": "extrapolated: beyond the clean accuracies of the baseline's models, where the line is a guess",
    "below-noise-floor": "within noise: no farther from the line than the sampling of images alone brings a model",
}
LETTERS = {
    "disputed": ("†", "other evidence contradicts the accuracy"),
    "in-baseline": ("i", "in the baseline: a member of it, left out of the line where it was measured here"),
    "conservative-interval": (
        "c", "conservative: no answers an image are shared with the baseline, so the interval is too wide, not too narrow",
    ),
    "other-harness": ("h", "other harness: others measured the baseline's models"),
    "nondeterministic": ("≈", "nondeterministic: answers depend on more than the image; the record holds how far"),
    "beta-set": ("b", "beta set: the baseline's ObjectNet is 1.0-beta, 18,514 images"),
}  # fmt: skip


def _letters(row: Row) -> list[str]:
    flags = row.robustness.get("flags") or ()
    return [letter for flag, (letter, _) in LETTERS.items() if flag in flags]


ALOUD = {
    "above": "more robust than its clean accuracy predicts on",
    "below": "less robust than it predicts on",
    "on": "as its clean accuracy predicts on",
    "cannot-tell": "too uncertain to tell on",
}


def _aloud(rows: Sequence[Row]) -> str:
    """What the block says of the model, in a sentence: the ranked sets under each verdict; nothing where none has one."""
    by_verdict: dict[str, list[str]] = {}
    for row in rows:
        verdict = row.robustness["verdict"]
        if verdict is not None and row.shift not in suite_of(row.shift).diagnostic:
            doubt = " (perhaps by chance)" if _by_chance(row) else ""
            by_verdict.setdefault(verdict, []).append(row.shift + doubt)
    said = "; ".join(f"{words} {', '.join(by_verdict[key])}" for key, words in ALOUD.items() if key in by_verdict)
    return f"{said[0].upper()}{said[1:]}." if said else ""


def _mean(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """The means over the ranked sets of the suite, where every one has an effective robustness."""
    ranked = suite_of(rows[0].shift).ranked
    by_shift = {row.shift: row for row in rows}
    four = [
        by_shift[shift] for shift in ranked if shift in by_shift and by_shift[shift].effective_robustness is not None
    ]
    axes = {row.axis for row in four if row.clean_accuracy != row.clean_accuracy_full}  # equal: both axes are one
    if len(four) < 2 or len(four) < len(ranked) or len(axes) > 1:
        return []
    accuracy = sum(row.accuracy for row in four) / len(four)
    robust = sum(row.effective_robustness or 0.0 for row in four) / len(four)
    ends = [row.robustness["effective_robustness_pi95"] for row in four]
    known = [pair for pair in ends if pair is not None]
    told = points(robust)
    if len(known) == len(four):
        low, high = (sum(each) / len(known) for each in zip(*known))
        told = _with_ends(robust, low, high)
    return [(f"mean of {len(four)}", percent(accuracy), "", told, "", "")]


def _verbose(rows: Sequence[Row]) -> str:
    lines = columns([HEADINGS, *map(cells, rows)], rule=True)
    return "\n".join([*lines, "", *_notes(rows, True, "")])


def _notes(rows: Sequence[Row], verbose: bool, more: str) -> list[str]:
    """What the numbers stand on, a sentence each."""
    stands = sorted(
        {f"{r.baseline}, {r.axis} axis, {r.scale} scale" for r in rows if r.effective_robustness is not None}
    )
    notes = [f"effective robustness: points above the line of baseline {stand}" for stand in stands]
    if stands and not verbose:
        notes.append(
            "±: half of the 95 % interval of a model like the baseline's, or [its ends] where the value is not in its middle; "
            "from it the verdict is read: `on` is on the line, "
            f"`above` and `below` leave it; of a mean, the mean of its sets' intervals, the widest case. {more}"
        )
    if not verbose and any(row.axis == "full" and row.effective_robustness is not None for row in rows):
        notes.append("f: on the full axis, clean accuracy over all classes of the clean set")
    if not verbose and any(row.robustness["verdict"] == "cannot-tell" for row in rows):
        reasons = sorted({str(row.robustness["why"]) for row in rows if row.robustness.get("why")})
        wide = [why for why in reasons if why.startswith(f"{UNCERTAIN}: ±")]
        if wide or not reasons:
            notes.append(
                f"{UNCERTAIN}: an effect as large as that of the line's reference model could have been missed"
            )
        notes += [f"{UNCERTAIN}: {why}" for why in reasons if why not in wide]
    asked = sum(row.robustness["p_adjusted"] is not None for row in rows)
    if asked and verbose:
        notes.append(
            "p (Holm): how seldom a model of the baseline's kind stands so far off the line, adjusted for "
            + ("the one row asked about" if asked == 1 else f"the {asked} rows asked about at once")
        )
    flags = {flag for row in rows for flag in row.robustness.get("flags") or ()}
    notes += [said for flag, said in WORDS.items() if flag in flags and not verbose]
    notes += [f"{flag if verbose else letter}: {said}" for flag, (letter, said) in LETTERS.items() if flag in flags]
    notes += [f"† {said}" for said in dict.fromkeys(said for row in rows for said in row.disputed)]
    if any(map(_by_chance, rows)):
        notes.append(
            "!: its own interval leaves the line out, but among so many rows one may by chance: not more than noise"
        )
    notes += sorted(
        {f"{row.shift}: {row.why_not}" for row in rows if row.why_not and "is a clean set" not in row.why_not}
    )
    if verbose:
        notes += sorted(
            {f"{row.model} on {row.shift}: cannot tell, {why}" for row in rows if (why := row.robustness.get("why"))}
        )
    shown = {row.shift for row in rows if row.effective_robustness is not None}
    if diagnostic := sorted(shift for shift in shown if shift in suite_of(shift).diagnostic):
        notes.append(f"{', '.join(diagnostic)}: a diagnostic, its effective robustness is never ranked")
    if "imagenet-a" in shown:
        notes.append("ImageNet-A was filtered against one network, ResNet-50")
    return notes
