"""A board as LaTeX: booktabs tables to \\input, every name escaped, the best of each column in bold.

Needs \\usepackage{booktabs}, and \\usepackage{longtable} where a table is longer than a page.
"""

from __future__ import annotations

from collections.abc import Sequence

from effrob.leaderboard.board import Board
from effrob.leaderboard.formatting import logits, percent, points, title
from effrob.leaderboard.render import RULE, Section, name, sections, shifts_shown
from effrob.leaderboard.row import BoardRow
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


def latex(ranking: Board, top: int | None = None) -> str:
    """One table a section, each with a caption that says what it stands on."""
    parts = ["% \\usepackage{booktabs,longtable,textcomp}  accuracy and effective robustness in percent and points"]
    parts += [_table(ranking, section) for section in sections(ranking, top)]
    if not ranking.rows:
        parts.append("% no rows")
    return "\n\n".join(parts) + "\n"


def _best(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return max(known) if len(known) > 1 else None


def _table(ranking: Board, section: Section) -> str:
    shifts = shifts_shown(section)
    columns = [_column(section.rows, shift) for shift in shifts]
    best = [_best([value for _, value in column]) for column in columns]
    best_logit, best_mean = _best([r.mean_logit for r in section.rows]), _best([r.mean for r in section.rows])
    unranked = suite(section.suite).diagnostic
    lines = []
    for i, row in enumerate(section.rows):
        rank = ranking.rank_range(row).rank
        logit = "--" if row.mean_logit is None else _bold(logits(row.mean_logit), row.mean_logit == best_logit)
        cells = [
            "--" if rank is None else str(rank),
            escape(name(row)),
            "--" if row.clean_full is None else percent(row.clean_full.value, digits=1),
            logit,
            _bold(_signed(row.mean), row.mean is not None and row.mean == best_mean),
        ]
        for j, column in enumerate(columns):
            accuracy, robustness = column[i]
            # A diagnostic set has no best: nothing is ranked by it.
            marked = robustness is not None and robustness == best[j] and shifts[j] not in unranked
            cells += [percent(accuracy, digits=1).replace("-", "--"), _bold(_signed(robustness), marked)]
        lines.append(" & ".join(cells) + r" \\")
    return _frame(section, shifts, lines)


def _column(rows: Sequence[BoardRow], shift: str) -> list[tuple[float | None, float | None]]:
    cells = [row.cells.get(shift) for row in rows]
    return [(None, None) if c is None else (c.accuracy.value, c.effective_robustness) for c in cells]


def _signed(value: float | None) -> str:
    return "--" if value is None else f"${points(value, 1)}$"


def _bold(text: str, yes: bool) -> str:
    if not yes:
        return text
    return rf"$\mathbf{{{text.strip('$')}}}$"


def _frame(section: Section, shifts: Sequence[str], lines: Sequence[str]) -> str:
    spec = "rlr" + "rr" + "rr" * len(shifts)
    groups = " & ".join(rf"\multicolumn{{2}}{{c}}{{{escape(title(shift))}}}" for shift in shifts)
    rules = "".join(rf"\cmidrule(lr){{{6 + 2 * i}-{7 + 2 * i}}}" for i in range(len(shifts)))
    heading = (
        rf" & & & \multicolumn{{2}}{{c}}{{mean}} & {groups} \\" + "\n" + rf"\cmidrule(lr){{4-5}}{rules}" + "\n"
        r" & model & clean & logit & points" + " & acc. & eff. rob." * len(shifts) + r" \\"
    )
    caption = escape(f"{section.title}: {section.stands}. {RULE}")
    if len(lines) <= PAGE:
        body = "\n".join([r"\toprule", heading, r"\midrule", *lines, r"\bottomrule"])
        return (
            "\\begin{table*}\n\\centering\\footnotesize\n\\setlength{\\tabcolsep}{3pt}\n"
            f"\\caption{{{caption}}}\n\\begin{{tabular}}{{{spec}}}\n{body}\n\\end{{tabular}}\n\\end{{table*}}"
        )
    head = "\n".join([r"\toprule", heading, r"\midrule", r"\endhead", r"\bottomrule", r"\endfoot"])
    rows = "\n".join(lines)
    return (
        "{\\footnotesize\n\\setlength{\\tabcolsep}{3pt}\n"
        f"\\begin{{longtable}}{{{spec}}}\n\\caption{{{caption}}}\\\\\n{head}\n{rows}\n\\end{{longtable}}}}"
    )
