"""report.md from the report's plain data: what was asked, what came out, and what it can and cannot say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from recipes.five_causes.prose import BESIDE_THE_PAPER, LIMITS, LINE, PAPER, REFERENCE, RULES, SETTING, TIME, TRAINING
from recipes.five_causes.questions import CAUSES, QUESTIONS
from recipes.five_causes.standings import MEAN, SHIFTS

Entry = Mapping[str, Any]


def page(report: Entry) -> str:
    """The whole page."""
    parts = [
        "# The five causes on the pocket sets\n",
        SETTING.format(seeds=report["causes"][0]["seeds"]),
        "## What came out\n",
        _table(
            ("cause", "question", "effect, logits [95 %]", "contrasts", "p (Holm)", "verdict", "at most", "in points"),
            ([f"**{CAUSES[c['cause']]}**", c["question"], _size(c), _spread(c), _p(c["p_adjusted"]), _judged(c, "**"),
              f"{c['at_most']:.2f}", _points(c)] for c in report["causes"]),
        ),
        _sentence(report["causes"]),
        *(f"Of {CAUSES[c['cause']]}: {c['note']}.\n" for c in report["causes"] if c["note"]),
        BESIDE_THE_PAPER,
        _table(("cause", "the paper", "here"), ([CAUSES[c["cause"]], PAPER[c["cause"]], _beside(c)] for c in report["causes"])),
        _rules(report),
        _reference(report),
        "![Headlines and contrasts with their intervals](contrasts.png)\n",
        "## Every contrast\n",
        *(_question(report, question.text) for question in QUESTIONS),
        "## Overlap in doses\n",
        _doses(report),
        "![Effective robustness by dose of overlap](doses.png)\n",
        "## Shift by shift\n",
        _table(
            ("contrast", *SHIFTS),
            ([c["contrast"], *(_size(c["by_shift"][s]) for s in SHIFTS)] for c in report["contrasts"]),
        ),
        _line(report["baseline"]),
        "![Every run beside the line](lines.png)\n",
        "## The arms\n",
        _arms(report["arms"], report["baseline"]["lines"]),
        _configurations(report["arms"]),
        _training(report),
        LIMITS,
    ]  # fmt: skip
    return "\n".join(parts)


def _question(report: Entry, question: str) -> str:
    """One question's contrasts."""
    asked = [c for c in report["contrasts"] if c["question"] == question]
    cause = CAUSES[asked[0]["cause"]]
    rows = (
        [c["contrast"], _factor(c), _size(c), _between(c["seeds_ci95"]), _p(c["p_adjusted"]), _judged(c), _points(c)]
        for c in asked
    )
    head = ("contrast", "factor", "effect, logits [95 %]", "over seeds alone", "p (Holm)", "verdict", "in points")
    return f"**{cause[0].upper()}{cause[1:]}**: {question}.\n\n{_table(head, rows)}"


def _factor(found: Entry) -> str:
    high, low = found["factor_values"]
    return f"{found['factor'].replace('_', ' ')}: {_value(high)} against {_value(low)}"


def _value(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.0%}" if isinstance(value, float) else str(value)


def _sentence(causes: Sequence[Entry]) -> str:
    by: dict[str, list[str]] = {}
    for cause in causes:
        moved = "raised" if cause["value"] > 0 else "lowered"
        by.setdefault(moved if cause["verdict"] == "moves it" else cause["verdict"], []).append(CAUSES[cause["cause"]])
    told = {
        "raised": "raised effective robustness here",
        "lowered": "lowered it",
        "equivalent": "changed it by no more than the margin",
        "cannot tell": "cannot be told from these runs",
    }
    said = "; ".join(f"{_and(by[verdict])} {words}" for verdict, words in told.items() if verdict in by)
    return said[0].upper() + said[1:] + ".\n"


def _beside(cause: Entry) -> str:
    """How a headline stands to what the paper found of its cause."""
    expected = cause["cause"] == "distribution"
    if cause["verdict"] == "equivalent":
        return "little or nothing too" if not expected else "otherwise: nothing in this world"
    if cause["differs"]:
        return "open: more than the factor differs"
    if cause["verdict"] == "cannot tell":
        low, high = cause["ci95"]
        return f"open: the mean is {cause['value']:+.2f} [{low:+.2f}, {high:+.2f}], and its contrasts do not settle it"
    but = f", in the mean; but {cause['note']}" if cause.get("note") else ""
    if cause["value"] > 0:
        return (
            f"as there: it lifts models above the line{but}"
            if expected
            else "otherwise: it adds robustness in this world"
        )
    return (
        "otherwise: it takes robustness away"
        if expected
        else f"it adds none either: in this world it takes some away{but}"
    )


def _rules(report: Entry) -> str:
    first, reference = report["causes"][0], report["reference"]
    return RULES.format(
        shifts=", ".join(SHIFTS),
        margin=report["margin"],
        model=reference["model"],
        reference=reference["value"],
        alpha=report["alpha"],
        at=first["points_at"],
        seeds=first["seeds"],
        singles=len(report["contrasts"]) - sum(cause["parts"] == 1 for cause in report["causes"]),
        families=next(iter(report["baseline"]["lines"].values()))["families"],
    )


def _reference(report: Entry) -> str:
    """Why the model that the margin is a share of stands elsewhere than the web's CLIP."""
    reference, arms = report["reference"], dosed(report)
    styles = reference["styles"]
    return REFERENCE.format(
        model=reference["model"],
        reference=reference["value"],
        arm=arms[0][1]["shifts"][MEAN]["value"],
        overlap=arms[-1][1]["shifts"][MEAN]["value"],
        shared=sum(share for style, share in styles.items() if style != "photo"),
        styled=report["styled_share"],
        pictures=reference["pictures"],
        side=reference["side"],
        **{style: styles[style] for style in ("rendition", "sketch", "odd")},
    )


def _doses(report: Entry) -> str:
    """Effective robustness of CLIP on the web by the share of its styled pictures that are in the test sets' styles."""
    arms = dosed(report)
    head = (
        "overlap",
        "clean",
        *(s.removeprefix("pocket-") for s in SHIFTS),
        "effective robustness, logits [95 % over seeds]",
    )
    return _table(
        head,
        ([f"{dose:.0%}", _mean(a["shifts"]["pocket-v2"]["clean"]),
          *(f"{a['shifts'][s]['value']:+.2f}" for s in SHIFTS), _size(a["shifts"][MEAN])] for dose, a in arms),
    )  # fmt: skip


def dosed(report: Entry) -> list[tuple[float, Entry]]:
    """CLIP's arms that differ from the plain web arm in the overlap alone, least first."""
    plain = next(a for a in report["arms"] if a["arm"] == "clip-web" and a["prompts"] == "name-only")["configuration"]
    same = [a for a in report["arms"] if {**a["configuration"], "overlap": 0.0} == plain]
    return sorted(((a["configuration"]["overlap"], a) for a in same), key=lambda pair: pair[0])


def _line(baseline: Entry) -> str:
    lines = baseline["lines"]
    first = next(iter(lines.values()))
    said = LINE.format(name=baseline["name"], n=first["n"], families=first["families"])
    table = _table(
        ("shift", "n", "slope [95 % by family]", "intercept", "R²", "residual, logits", "clean accuracy from – to"),
        ([s, str(f["n"]), f"{f['slope']:.2f} {_between(f['slope_ci95_by_family'])}", f"{f['intercept']:+.2f}",
          f"{f['r2']:.2f}", f"{f['residual_std']:.2f}", f"{f['x_min']:.2f} – {f['x_max']:.2f}"]
         for s, f in lines.items()),
    )  # fmt: skip
    return f"## The line\n\n{said}\n{table}"


def _arms(arms: Sequence[Entry], lines: Mapping[str, Entry]) -> str:
    return "Means over seeds, in per cent; effective robustness in logits on the mean of the four.\n\n" + _table(
        ("arm (read-out)", "clean", *(s.removeprefix("pocket-") for s in SHIFTS), "effective robustness [95 % over seeds]"),
        ([a["name"], _mean(a["shifts"]["pocket-v2"]["clean"]), *(_mean(a["shifts"][s]["accuracy"]) for s in SHIFTS),
          _size(a["shifts"][MEAN]) + (" (outside the line)" if a["shifts"][MEAN]["extrapolated"] else "")] for a in arms),
    ) + _outside(arms, lines)  # fmt: skip


def _outside(arms: Sequence[Entry], lines: Mapping[str, Entry]) -> str:
    """Which arms lie outside the line, where and how far."""
    said = []
    for arm in arms:
        for shift, line in lines.items():
            clean = arm["shifts"][shift]["clean"]
            low, high = min(clean), max(clean)
            if high > line["x_max"]:
                said.append(f"{arm['name']} reaches {high:.1%} clean on {shift}, the line {line['x_max']:.1%}")
            if low < line["x_min"]:
                said.append(f"{arm['name']} falls to {low:.1%} clean on {shift}, the line to {line['x_min']:.1%}")
    return "\nNo arm lies outside the line.\n" if not said else f"\nOutside the line: {'; '.join(said)}.\n"


def _configurations(arms: Sequence[Entry]) -> str:
    keys = list(arms[0]["configuration"])
    rows = ([a["name"], *(_value(a["configuration"][key]) for key in keys)] for a in arms)
    return "Every factor's value, arm by arm; two arms are compared on the key they differ in.\n\n" + _table(
        ("arm (read-out)", *(key.replace("_", " ") for key in keys)), rows
    )


def _training(report: Entry) -> str:
    spent, seeds = report["processor_seconds"], report["grid"]["seeds"]
    rows = ([f"`{arm['name']}`", f"{spent.get(arm['name'], 0):.0f} s"] for arm in report["grid"]["arms"])
    times = {"minutes": spent["all"] / 60, "line": spent.get("line", 0), "evaluation": spent.get("evaluation", 0)}
    table = _table(("arm", f"training, {seeds} seeds"), rows)
    return f"{TRAINING.format(**report['grid']['settings'])}\n{table}\n{TIME.format(**times)}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


def _size(found: Entry) -> str:
    return f"{found['value']:+.2f} {_between(found['ci95'])}"


def _spread(found: Entry) -> str:
    if found["parts"] == 1:
        return "1"
    return "{}, from {:+.2f} to {:+.2f}".format(found["parts"], *found["spread"])


def _points(found: Entry) -> str:
    low, high = found["ci95_points"]
    return f"{100 * found['value_points']:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"


def _between(ends: Sequence[float]) -> str:
    return f"[{ends[0]:+.2f}, {ends[1]:+.2f}]"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _judged(found: Entry, mark: str = "") -> str:
    verdict = found["verdict"]
    if verdict == "moves it":
        verdict = "lifts it" if found["value"] > 0 else "lowers it"
    return f"{mark}{verdict}{mark}" + ("" if found["why"] is None else f" ({found['why']})")


def _mean(values: Sequence[float]) -> str:
    return f"{100 * sum(values) / len(values):.1f}"


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
