"""A board as LaTeX: booktabs tables to \\input, every name escaped.

Bold is an effective robustness or a mean that can be told from those of all other rows, where no mark casts doubt on it.

Needs booktabs, graphicx and textcomp, and longtable where a table is longer than a page. A table wider than the text is shrunk
to its width, and TeX warns by how much; with intervals each row has a second line that holds them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from effrob.leaderboard.board import Board
from effrob.leaderboard.formatting import interval, logit_interval, logits, percent, points, title
from effrob.leaderboard.render import RANKS, RULE, Section, marks, name, rank_text, sections
from effrob.leaderboard.scored_shift import Interval, ScoredShift
from shifts import suite

PAGE = 45  # rows a page holds in \\footnotesize
SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    "'": r"\textquotesingle{}",
}


def escape(text: str) -> str:
    """Any text as literal LaTeX under any engine; what is not printable ASCII becomes its code point, which pdflatex has."""
    ascii_only = "".join(c if " " <= c <= "~" else " " if c.isspace() else f"[U+{ord(c):04X}]" for c in text)
    return "".join(SPECIAL.get(c, c) for c in ascii_only).replace("--", "-{}-")


def latex(ranking: Board, top: int | None = None, ci: bool = False) -> str:
    """One table a section, each with a caption that says what it stands on. ci: with 95 % intervals and marks."""
    parts = [
        "% \\usepackage{booktabs,graphicx,longtable,textcomp}  accuracy and effective robustness in percent and points"
    ]
    tables = [_table(ranking, section, ci) for section in sections(ranking, top)]
    parts += [*([FIT] if any(r"\effrobfit" in table for table in tables) else []), *tables]
    if not ranking.rows:
        parts.append("% no rows")
    return "\n\n".join(parts) + "\n"


MARKS = {"*": r"\ast", "●": r"\bullet", "?": "?", "!": "!", "~": r"\sim", "≈": r"\approx", "†": r"\dagger"}
MEANT = {
    "●": "on the line: it holds 0",
    "?": "cannot tell: no usable line, or too much uncertainty",
    "*": "extrapolated: cannot tell either",
    "!": "leaves 0 out alone, not among so many",
    "~": "part of the set",
    "≈": "nondeterministic",
    "†": "disputed",
}


BRACKETS = (
    "Brackets below numbers are 95 % confidence intervals; of effective robustness: sampling of both accuracies, and the line. "
    "Marks read the wider prediction interval, which adds the scatter of baseline models; without a mark it leaves 0 out:"
)
RANGE = re.compile(r"\d+ \(\d+--\d+\) &")  # a line that begins with a rank and the ranks left open
# A macro that sets a table no wider than the text, and no larger than it is.
FIT = r"""% A table wider than the text is shrunk to it, and TeX warns by how much. To avoid that, name fewer sets with --shift,
% leave --ci out, or write sidewaystable* (of the package rotating) in place of table*.
\providecommand{\effrobfit}[1]{\sbox0{#1}\ifdim\wd0>\textwidth
  \GenericWarning{}{LaTeX Warning: table of effrob shrunk to
    \the\numexpr\dimexpr\textwidth\relax/(\dimexpr\wd0\relax/100)\relax\space percent, see its source}%
  \resizebox{\textwidth}{!}{\usebox0}\else\usebox0\fi}"""


def _best(values: Sequence[tuple[float | None, Interval | None]]) -> float | None:
    """The largest value where its interval lies above every other row's; None where it cannot be told from another."""
    known = [(value, ends or Interval(value, value)) for value, ends in values if value is not None]
    if len(known) < 2:
        return None
    known.sort(key=lambda each: -each[0])
    (value, ends), others = known[0], known[1:]
    return value if all(ends.low > other.high for _, other in others) else None


def _table(ranking: Board, section: Section, ci: bool) -> str:
    shifts = section.shifts
    columns = [[row.cells.get(shift) for row in section.rows] for shift in shifts]
    best = [_best([_robustness(cell) for cell in column]) for column in columns]
    best_logit = _best([(row.mean_logit, row.mean_logit_ci95) for row in section.rows])
    best_mean = _best([(row.mean, row.mean_ci95) for row in section.rows])
    unranked = suite(section.suite).diagnostic
    lines = []
    for i, row in enumerate(section.rows):
        rank = rank_text(ranking, row)
        dagger = r"$^\dagger$" if row.disputed and row.mean is not None else ""
        value = "--" if row.mean_logit is None else f"${logits(row.mean_logit)}$"
        logit = _bold(value, not dagger and row.mean_logit is not None and row.mean_logit == best_logit) + dagger
        mean = _bold(_signed(row.mean), not dagger and row.mean is not None and row.mean == best_mean) + dagger
        cells = [
            rank.replace("-", "--"),
            escape(name(row)),
            "--" if row.clean_full is None else percent(row.clean_full.value, digits=1),
            logit,
            mean,
        ]
        ends = ["", "", "", _small(logit_interval(row.mean_logit_ci95)), _small(interval(row.mean_ci95, signed=True))]
        for j, column in enumerate(columns):
            # A diagnostic set has no best: nothing is ranked by it.
            cells += _cell(ranking, column[i], best[j] if shifts[j] not in unranked else None, ci)
            ends += _ends(column[i])
        lines.append(" & ".join(cells) + (r" \\*" if ci else r" \\"))
        if ci:
            lines.append(" & ".join(ends) + r" \\")
    return _frame(section, shifts, lines, _marks_said() if ci else "")


def _robustness(cell: ScoredShift | None) -> tuple[float | None, Interval | None]:
    if cell is None or cell.effective is None:
        return None, None
    ends = cell.effective.ci95
    return cell.effective_robustness, None if ends is None else Interval(*ends)


def _cell(ranking: Board, cell: ScoredShift | None, best: float | None, ci: bool) -> list[str]:
    """Accuracy and effective robustness of one set; with `ci` the marks of the Markdown board."""
    if cell is None:
        return ["--", "--"]
    value, _ = _robustness(cell)
    marked = marks(cell, ranking.discovery(cell).by_chance)
    sure = not marked.replace("●", "")  # what a mark casts doubt on is nobody's best
    accuracy = percent(cell.accuracy.value, digits=1)
    robustness = _bold(_signed(value), sure and value is not None and value == best)
    if not ci:
        return [accuracy + (r"$^\dagger$" if cell.disputed else ""), robustness]
    said = "".join(MARKS[mark] for mark in marked)
    return [accuracy, robustness + (f"$^{{{said}}}$" if said else "")]


def _ends(cell: ScoredShift | None) -> list[str]:
    """The intervals of a set's two cells, for the line below them."""
    if cell is None:
        return ["", ""]
    return [_small(interval(cell.accuracy_ci95)), _small(interval(_robustness(cell)[1], signed=True))]


def _small(text: str) -> str:
    """An interval, smaller than what it belongs to; a minus sign as TeX sets one."""
    return rf"{{\scriptsize ${text}$}}" if text else ""


def _signed(value: float | None) -> str:
    return "--" if value is None else f"${points(value, 1)}$"


def _bold(text: str, yes: bool) -> str:
    if not yes:
        return text
    return rf"$\mathbf{{{text.strip('$')}}}$"


def _marks_said() -> str:
    """What brackets and marks mean, each mark as the rows set it."""
    marks_meant = "; ".join(f"${MARKS[mark]}$ {escape(said)}" for mark, said in MEANT.items())
    return f"{escape(BRACKETS)} {marks_meant}."


def _frame(section: Section, shifts: Sequence[str], lines: Sequence[str], marks_said: str = "") -> str:
    spec = "rlr" + "rr" + "rr" * len(shifts)
    groups = " & ".join(rf"\multicolumn{{2}}{{c}}{{{escape(title(shift))}}}" for shift in shifts)
    rules = "".join(rf"\cmidrule(lr){{{6 + 2 * i}-{7 + 2 * i}}}" for i in range(len(shifts)))
    heading = (
        rf" & & & \multicolumn{{2}}{{c}}{{mean}} & {groups} \\" + "\n" + rf"\cmidrule(lr){{4-5}}{rules}" + "\n"
        r" & model & clean & logit & points" + " & acc. & eff. rob." * len(shifts) + r" \\"
    )
    if not marks_said and any("dagger" in line for line in lines):
        marks_said = r"$\dagger$ other evidence contradicts the accuracy, or one that a mean rests on."
    open_ranks = f" {RANKS}" if any(RANGE.match(line) for line in lines) else ""
    caption = f"{escape(f'{section.title}: {section.stands}. {RULE}{open_ranks}')} {marks_said}".rstrip()
    if len(section.rows) <= PAGE // (1 + any("scriptsize" in line for line in lines)):
        body = "\n".join([r"\toprule", heading, r"\midrule", *lines, r"\bottomrule"])
        return (
            "\\begin{table*}\n\\centering\\footnotesize\n\\setlength{\\tabcolsep}{3pt}\n"
            f"\\caption{{{caption}}}\n\\effrobfit{{%\n\\begin{{tabular}}{{{spec}}}\n{body}\n\\end{{tabular}}}}\n\\end{{table*}}"
        )
    head = "\n".join([r"\toprule", heading, r"\midrule", r"\endhead", r"\bottomrule", r"\endfoot"])
    rows = "\n".join(lines)
    return (
        "{\\footnotesize\n\\setlength{\\tabcolsep}{3pt}\n"
        f"\\begin{{longtable}}{{{spec}}}\n\\caption{{{caption}}}\\\\\n{head}\n{rows}\n\\end{{longtable}}}}"
    )
