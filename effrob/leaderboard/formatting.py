"""How numbers are written, once for the terminal, Markdown, LaTeX and the page: percent, points, logits, intervals, labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from effrob.results.model_result import MEANS
from shifts import suite_of

DEEPER = 2  # digits more, at most, that an interval is given
LOWEST_P = 1e-300  # what a p-value below the smallest float is written as


def percent(value: float | None, signed: bool = False, digits: int = 2) -> str:
    """A fraction as percent; `-` where there is none."""
    if value is None:
        return "-"
    return format(100 * value, f"+z.{digits}f" if signed else f"z.{digits}f")  # z: no minus zero


def points(value: float | None, digits: int = 2) -> str:
    """A difference of fractions as signed percentage points; `-` where there is none."""
    return percent(value, signed=True, digits=digits)


def interval(ends: Sequence[float] | None, signed: bool = False, digits: int = 1) -> str:
    """`[low, high]` in percent, or nothing; up to DEEPER more digits where an end that is not 0 would read as 0."""
    if ends is None:
        return ""
    low, high = ends
    enough = (d for d in range(digits, digits + DEEPER + 1) if _kept(low, d) and _kept(high, d))
    digits = next(enough, digits)
    return f"[{percent(low, signed, digits)}, {percent(high, signed, digits)}]"


def _kept(end: float, digits: int) -> bool:
    """Whether an end is 0, or is not read as 0 in percent with so many digits."""
    return abs(end) > 0.01 or end == 0 or abs(round(100 * end, digits)) > 0  # a percent and more never is


def logits(value: float | None, digits: int = 3) -> str:
    """A signed difference of logits; `-` where there is none."""
    return "-" if value is None else f"{value:+.{digits}f}"


def logit_interval(ends: Sequence[float] | None, digits: int = 2) -> str:
    """`[low, high]` in logits, or nothing."""
    return "" if ends is None else f"[{ends[0]:+.{digits}f}, {ends[1]:+.{digits}f}]"


def p_text(p: float) -> str:
    """A p-value with two significant digits."""
    return f"{max(p, LOWEST_P):.2g}"


def joined(*parts: str) -> str:
    """The parts that are not empty, with spaces between: a value and its interval."""
    return " ".join(part for part in parts if part)


def reading(head: str, prompts: str | None) -> str:
    """A head and, where it has words, its prompt set."""
    return head if prompts is None else f"{head}, {prompts}"


def title(shift: str) -> str:
    """The heading of a shift's column."""
    return "mean of four" if shift in MEANS else suite_of(shift).set_title(shift)


def columns(rows: Iterable[Sequence[str]], rule: bool = False) -> list[str]:
    """Rows of cells as aligned lines, the first being the heading; with `rule`, underlined."""
    cells = list(rows)
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip() for row in cells]
    return [lines[0], "  ".join("-" * width for width in widths), *lines[1:]] if rule else lines
