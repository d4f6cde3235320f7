"""report.md from the report's plain data: what was asked, what came out, and what it can and cannot say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from recipes.five_causes.questions import CAUSES
from recipes.five_causes.standings import MEAN, SHIFTS

Entry = Mapping[str, Any]

LIMITS = """\
## What twenty drawn classes can and cannot say

They can say that the instrument works end to end: each cause was given its own arms, trained by the field's contrastive
trainer or by a plain loop with the same optimiser, measured by effrob's own records against a line of ordinary classifiers,
and judged over seeds by rules fixed before the runs. They can say in which direction each factor moved effective
robustness in a world of this structure, where architecture, schedule and data are all known and what could be held equal
was.

They cannot say how much any factor matters for CLIP. Pictures here are drawn by a program at 32 pixels; the "web" is the
narrow set's drawings in more styles, poses and places, and its styles overlap with two of the shifts **by construction**.
So a distribution contrast above zero says that training nearer to the shifts lifts robustness, as it must; it does not say
that the web's photographs do. Size works through the same overlap: on the web more pictures are more of the shifts' styles,
on the narrow set they are not. The captions are templates with noise: they hold little more than the class, so
language had little to add, and an effect of rich captions cannot appear. With thousands of pictures where CLIP has
hundreds of millions, "size" spans two doublings. Twenty classes in a batch of 64 make many pairs that a contrastive loss
calls different although they show the same thing, which may cost the contrastive arms accuracy. A verdict of
`equivalent` or `cannot tell` here is no evidence about ImageNet; the published tables are asked in `effrob study`, and
`python -m recipes.five_causes --scale imagenet` prints the runs that would answer.

Each contrast varies one factor as far as it can be varied alone; what else differs stands beside it. Intervals are over
training seeds, which also draw the pictures; the test pictures are the same throughout, so their own draw is not in them.
"""

RULES = """\
Effective robustness is the logit residual above the line, each shift on its class-matched clean axis; the size of a contrast is
the difference of its two arms' means over {shifts}, paired by seed. Its interval is Student's t over {seeds} seeds.
The verdict was fixed beforehand: *equivalent* when the 90 % interval lies within ±{margin} logits ({half:.0f} points at an
accuracy of one half); else *moves it* when p is under {alpha} after Holm's correction over the five headlines and the
interval still excludes zero with the line's own uncertainty in it (families of classifiers resampled); else *cannot tell*.
An arm whose clean accuracy lies outside the line's range makes it *cannot tell*. The other contrasts carry their own p.
"""


def page(report: Entry) -> str:
    """The whole page."""
    seeds = report["causes"][0]["seeds"]
    margin = report["margin_logit"]
    names = ", ".join(SHIFTS)
    rules = RULES.format(shifts=names, seeds=seeds, margin=margin, half=25 * margin, alpha=report["alpha"])
    parts = [
        "# The five causes on the pocket sets\n",
        "Fang et al. 2022 ask which of five things makes CLIP robust. This is their experiment in small: every arm trained\n"
        "here, measured by effrob, by one command, which wrote this page: `python -m recipes.five_causes --scale pocket`.\n",
        "## What came out\n",
        _table(
            ("cause", "contrast", "effect, logits [95 % over seeds]", "points", "p (Holm)", "verdict"),
            ([f"**{CAUSES[c['cause']]}**", c["contrast"], _size(c), _points(c["points"]), _p(c["p_adjusted"]),
              _judged(c, "**")] for c in report["causes"]),
        ),
        _sentence(report["causes"]),
        rules,
        "![Contrasts with their intervals](contrasts.png)\n",
        "## Every contrast\n",
        _table(
            ("cause", "contrast", "effect, logits", "with the line's uncertainty", "verdict", "what else differs"),
            ([CAUSES[c["cause"]], c["contrast"], _size(c), _between(c["with_line_ci95"]), _judged(c), c["caveat"]]
             for c in report["contrasts"]),
        ),
        "Shift by shift, in logits:\n",
        _table(
            ("contrast", *SHIFTS),
            ([c["contrast"], *(_size(c["by_shift"][s]["logit"]) for s in SHIFTS)] for c in report["contrasts"]),
        ),
        "And in points of accuracy:\n",
        _table(
            ("contrast", *SHIFTS),
            ([c["contrast"], *(_points(c["by_shift"][s]["points"]) for s in SHIFTS)] for c in report["contrasts"]),
        ),
        _line(report["baseline"]),
        "![Every run beside the line](lines.png)\n",
        "On the shipped `pocket` baseline alone, which does not reach as far down, the headlines are:\n",
        _table(
            ("cause", "effect, logits", "verdict"),
            ([CAUSES[c["cause"]], _size(c["on_pocket_baseline"]), _judged(c["on_pocket_baseline"])] for c in report["causes"]),
        ),
        "## The arms\n",
        _arms(report["arms"], report["baseline"]["lines"]),
        _training(report),
        LIMITS,
    ]  # fmt: skip
    return "\n".join(parts)


def _sentence(causes: Sequence[Entry]) -> str:
    by: dict[str, list[str]] = {}
    for cause in causes:
        moved = "raised" if cause["effect"] > 0 else "lowered"
        by.setdefault(moved if cause["verdict"] == "moves it" else cause["verdict"], []).append(CAUSES[cause["cause"]])
    told = {
        "raised": "raised effective robustness here",
        "lowered": "lowered it",
        "equivalent": "changed it by no more than the margin",
        "cannot tell": "cannot be told from these runs",
    }
    said = "; ".join(f"{_and(by[verdict])} {words}" for verdict, words in told.items() if verdict in by)
    return said[0].upper() + said[1:] + ".\n"


def _line(baseline: Entry) -> str:
    lines = baseline["lines"]
    first = next(iter(lines.values()))
    return "\n".join([
        "## The line\n",
        f"`{baseline['name']}`: {first['n']} classifiers of pocket-train, the shipped `pocket` baseline's and the same\n"
        "networks trained on fewer pictures of each class, so that the line reaches down to where contrastive models of this\n"
        "size stand.\n",
        _table(
            ("shift", "n", "slope [95 % by family]", "intercept", "R²", "residual, logits", "clean accuracy from – to"),
            ([s, str(f["n"]), f"{f['slope']:.2f} {_between(f['slope_ci95_by_family'])}", f"{f['intercept']:+.2f}",
              f"{f['r2']:.2f}", f"{f['residual_std']:.2f}", f"{f['x_min']:.2f} – {f['x_max']:.2f}"]
             for s, f in lines.items()),
        ),
    ])  # fmt: skip


def _arms(arms: Sequence[Entry], lines: Mapping[str, Entry]) -> str:
    return "Means over seeds; effective robustness in logits on the mean of the four [95 %].\n\n" + _table(
        ("arm (head)", "clean", *(s.removeprefix("pocket-") for s in SHIFTS), "effective robustness", "in points"),
        ([a["name"], _mean(a["shifts"]["pocket-v2"]["clean"]), *(_mean(a["shifts"][s]["accuracy"]) for s in SHIFTS),
          _size(a["shifts"][MEAN]["logit"]) + _flag(a["shifts"][MEAN]), _points(a["shifts"][MEAN]["points"])] for a in arms),
    ) + _outside(arms, lines)  # fmt: skip


def _outside(arms: Sequence[Entry], lines: Mapping[str, Entry]) -> str:
    """Which arms lie outside the line, where and how far."""
    said = []
    for arm in arms:
        for shift, line in lines.items():
            clean = arm["shifts"][shift]["clean"]
            low, high = min(clean), max(clean)
            if high > line["x_max"]:
                said.append(
                    f"{arm['name']} reaches {100 * high:.1f} % clean on {shift}, the line {100 * line['x_max']:.1f} %"
                )
            if low < line["x_min"]:
                said.append(
                    f"{arm['name']} falls to {100 * low:.1f} % clean on {shift}, the line to {100 * line['x_min']:.1f} %"
                )
    return "" if not said else f"\nOutside the line: {'; '.join(said)}.\n"


def _training(report: Entry) -> str:
    grid, settings, spent = report["grid"], report["grid"]["settings"], report["processor_seconds"]
    arms = (
        [f"`{arm['name']}`", arm["method"], f"pocket-{arm['source']}", f"{arm['images']:,}", arm["text"],
         f"{spent.get(arm['name'], 0):.0f} s"] for arm in grid["arms"]
    )  # fmt: skip
    return "\n".join([
        f"Every arm has the same image tower (three convolutions read out flat, 32 pixels), {settings['epochs']} epochs of\n"
        f"AdamW (rate {settings['rate']}, decay {settings['decay']}, cosine with {settings['warmup']} steps of warm-up) in "
        f"batches of {settings['batch']}, and random crops of at\nleast {settings['crop']} of a picture's area. Contrastive "
        "arms are `open_clip_train`'s; the others are plain loops over the same\n"
        f"crops. SimCLR has {settings['self_supervised_epochs']} epochs of its own views. Pictures are drawn by seed, "
        "smaller sets inside larger ones.\n",
        _table(("arm", "method", "pictures of", "how many", "text", f"processor time, {grid['seeds']} seeds"), arms),
        f"In all {spent['all'] / 60:.0f} minutes of one processor core, the line's classifiers and every evaluation among "
        "them.\n",
    ])  # fmt: skip


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


def _size(found: Entry) -> str:
    return f"{found['effect']:+.2f} {_between(found['ci95'])}"


def _points(found: Entry) -> str:
    low, high = found["ci95"]
    return f"{100 * found['effect']:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"


def _between(ends: Sequence[float]) -> str:
    return f"[{ends[0]:+.2f}, {ends[1]:+.2f}]"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _judged(found: Entry, mark: str = "") -> str:
    return f"{mark}{found['verdict']}{mark}{_flag(found)}"


def _flag(found: Entry) -> str:
    return " (extrapolated)" if found["extrapolated"] else ""


def _mean(values: Sequence[float]) -> str:
    return f"{100 * sum(values) / len(values):.1f}"


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
