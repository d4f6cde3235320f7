"""The table `effrob eval` ends with: one line a row, percent, intervals, and what stands behind the numbers."""

from __future__ import annotations

from collections.abc import Sequence

from effrob.rows import Row

HEADINGS = (
    "model",
    "shift",
    "head",
    "n",
    "accuracy [95 %]",
    "clean",
    "eff. robustness [95 % | line ± models]",
    "verdict",
)


def percent(value: float | None, signed: bool = False) -> str:
    """A fraction as percent with two decimals; `-` where there is none."""
    if value is None:
        return "-"
    return f"{100 * value:+.2f}" if signed else f"{100 * value:.2f}"


def _interval(ends: Sequence[float] | None, signed: bool = False) -> str:
    return "" if ends is None else f"[{percent(ends[0], signed)}, {percent(ends[1], signed)}]"


def _cells(row: Row) -> tuple[str, ...]:
    facts = row.robustness
    robustness = percent(facts["effective_robustness"], signed=True)
    if facts["effective_robustness"] is not None:
        sampling, scatter = facts["effective_robustness_ci95"], facts["effective_robustness_pi95"]
        robustness += f" {_interval(sampling, True)} | {_interval(scatter, True)}"
    verdict = (facts["verdict"] or "-") + (" (extrapolated)" if facts["extrapolated"] else "")
    n = str(row.n) if not row.partial else f"{row.n} of {row.n_expected} (partial)"
    head = row.head if row.prompts is None else f"{row.head}, {row.prompts}"
    accuracy = f"{percent(row.accuracy)} {_interval(row.accuracy_ci95)}"
    return (row.model, row.shift, head, n, accuracy, percent(row.clean_accuracy), robustness, verdict)


def table(rows: Sequence[Row]) -> str:
    """An aligned table in percent, with the lines it stands on named below it."""
    cells = [HEADINGS, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEADINGS))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(line, widths)).rstrip() for line in cells]
    lines.insert(1, "  ".join("-" * width for width in widths))
    stands = sorted(
        {f"{r.baseline}, {r.axis} axis, {r.scale} scale" for r in rows if r.effective_robustness is not None}
    )
    notes = [f"effective robustness: points above the line of baseline {stand}" for stand in stands]
    notes += sorted(
        {f"{row.shift}: {row.why_not}" for row in rows if row.why_not and "is a clean set" not in row.why_not}
    )
    if any(row.shift.endswith(("imagenet-a", "pocket-a")) and row.effective_robustness is not None for row in rows):
        notes.append("-A was filtered against one network: its effective robustness is a diagnostic and never ranked")
    return "\n".join([*lines, "", *notes])
