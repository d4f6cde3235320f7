"""A shift's picture before it is drawn: which points, on which line, and what is left out."""

from __future__ import annotations

from dataclasses import dataclass

from effrob.errors import UsageProblem, suggest
from effrob.leaderboard.board import Board
from effrob.leaderboard.points import Point, line_of, points
from effrob.results.model_result import MEANS
from effrob.robustness.fit import RobustnessFit
from effrob.robustness.lines import Lines
from shifts import suite_of

LOWEST = 0.2  # clean accuracy below which a model is left out of the picture


@dataclass(frozen=True)
class Panel:
    """One shift's picture: its points, its line or why it has none, and what was left out."""

    shift: str
    axis: str
    points: tuple[Point, ...]
    fit: RobustnessFit | str
    without_axis: int
    too_low: int
    incomplete: tuple[str, ...] = ()  # models of the user's own that lack a part of a mean

    def notices(self) -> list[str]:
        """What the picture does not show, a sentence each."""
        said = []
        if isinstance(self.fit, str):
            said.append(f"{self.shift}: no line is drawn: {self.fit}")
        if self.without_axis:
            said.append(f"{self.shift}: {_without(self.without_axis, self.axis)}, and not drawn")
        if self.incomplete:
            names = f"{', '.join(self.incomplete[:3])}{' …' if len(self.incomplete) > 3 else ''}"
            some = "lacks a part" if len(self.incomplete) == 1 else "lack a part"
            said.append(f"{self.shift}: {names} {some} of the mean, and so a point; --shift draws single sets")
        if self.too_low:
            said.append(f"{self.shift}: {self.too_low} models under {LOWEST:.0%} clean accuracy are not drawn")
        if self.disputed:
            many = "1 accuracy drawn is" if len(self.disputed) == 1 else f"{len(self.disputed)} accuracies drawn are"
            said.append(
                f"{self.shift}: {many} disputed (†), the first of {self.disputed[0].row.model}; `effrob models MODEL` "
                "shows both values"
            )
        return said

    @property
    def disputed(self) -> list[Point]:
        """The points whose accuracy, or a part of whose mean, other evidence contradicts."""
        parts = MEANS.get(self.shift, (self.shift,))
        return [p for p in self.points if any(p.row.cells[part].disputed for part in parts if part in p.row.cells)]


def default_shifts(ranking: Board) -> list[str]:
    """What is drawn where no shift is named: the mean of the four where a row has it, else the ranked shifts of a suite."""
    if any(all(part in row.cells for part in MEANS["mean-of-four"]) for row in ranking.rows) or not ranking.rows:
        return ["mean-of-four"]
    present = {name for row in ranking.rows for name in row.cells}
    return [name for name in suite_of(next(iter(ranking.rows[0].cells))).ranked if name in present] or sorted(present)


def panel(ranking: Board, lines: Lines, shift: str) -> Panel:
    """The picture of one shift. Raises UsageProblem where no row has it."""
    axis = "full" if shift == "mean-of-four" else lines.options.axis
    every, left = points(ranking, shift, axis)
    if not every and not left:
        known = [name for name in dict.fromkeys(name for row in ranking.rows for name in row.cells) if name != shift]
        others = f"rows have {', '.join(known)}" if known else "rows have one on the clean set alone"
        raise UsageProblem(f"no row has an accuracy on {shift!r}{suggest(shift, known)}; {others}")
    shown = [p for p in every if 0 < p.x < 1 and 0 < p.y < 1]
    kept = [p for p in shown if p.x >= LOWEST] or shown
    if not kept:
        why = _without(left, axis) if left else "every accuracy is 0 or 1, which has no place on the scale"
        raise UsageProblem(f"{shift}: there is nothing to draw: {why}")
    incomplete = _incomplete(ranking, shift)
    return Panel(shift, axis, tuple(kept), line_of(lines, shift, axis), left, len(shown) - len(kept), incomplete)


def _without(rows: int, axis: str) -> str:
    """What keeps rows off the picture, and what would draw them."""
    have = "1 row has" if rows == 1 else f"{rows} rows have"
    if axis == "full":
        return f"{have} no accuracy on the clean set to stand over"
    return f"{have} no class-matched clean accuracy (--axis full draws those with an accuracy on all its classes)"


def _incomplete(ranking: Board, shift: str) -> tuple[str, ...]:
    """Models of the user's own that have some parts of a mean and not all."""
    parts = MEANS.get(shift, ())
    own = [row for row in ranking.rows if row.origin != "published"]
    return tuple(row.model for row in own if 0 < sum(part in row.cells for part in parts) < len(parts))
