"""The table `effrob eval` ends with: one line a row, percent, intervals, and what stands behind the numbers."""

from __future__ import annotations

from collections.abc import Sequence

from effrob.leaderboard.formatting import columns, interval, joined, percent, points, reading
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
    "p (Holm)",
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
        _p(facts["p_adjusted"]),
    )


def _p(value: float | None) -> str:
    return "-" if value is None else "<1e-99" if value < 1e-99 else f"{value:.2g}"


def _by_chance(row: Row) -> bool:
    """Above or below by its own interval, but not once all questions of the command are counted."""
    p = row.robustness["p_adjusted"]
    return row.robustness["verdict"] in ("above", "below") and p is not None and p >= LEVEL


def table(rows: Sequence[Row]) -> str:
    """An aligned table in percent, with the lines it stands on named below it."""
    lines = columns([HEADINGS, *map(cells, rows)], rule=True)
    stands = sorted(
        {f"{r.baseline}, {r.axis} axis, {r.scale} scale" for r in rows if r.effective_robustness is not None}
    )
    notes = [f"effective robustness: points above the line of baseline {stand}" for stand in stands]
    asked = sum(row.robustness["p_adjusted"] is not None for row in rows)
    if asked:
        notes.append(
            "p (Holm): how seldom a model of the baseline's kind stands so far off the line, adjusted for "
            + ("the one row asked about" if asked == 1 else f"the {asked} rows asked about at once")
        )
    if any(map(_by_chance, rows)):
        notes.append(
            "!: its own interval leaves the line out, but among so many rows one may by chance: not more than noise"
        )
    notes += sorted(
        {f"{row.shift}: {row.why_not}" for row in rows if row.why_not and "is a clean set" not in row.why_not}
    )
    if any(row.shift in suite_of(row.shift).diagnostic and row.effective_robustness is not None for row in rows):
        notes.append("-A was filtered against one network: its effective robustness is a diagnostic and never ranked")
    return "\n".join([*lines, "", *notes])
