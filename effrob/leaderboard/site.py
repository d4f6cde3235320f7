"""The page: a folder that opens from disk and asks nothing of the network. Needs the extra `site`.

Templates, style and scripts are ours (`page/`); the chart library is copied from the installed plotly package.
"""

from __future__ import annotations

import hashlib
import math
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

from effrob.errors import UsageProblem
from effrob.files import replaced_folder
from effrob.leaderboard.analyses import SuiteAnalyses, analyses
from effrob.leaderboard.board import Board, board
from effrob.leaderboard.formatting import interval, joined, logits, percent, points, title
from effrob.leaderboard.gather import Gathered
from effrob.leaderboard.judging.numbers import VERDICTS
from effrob.leaderboard.page_data import analysis_file, analysis_text, board_data, script, script_of
from effrob.leaderboard.points import card_of, family, group_of
from effrob.leaderboard.render import csv_text, how
from effrob.results.store import slug
from effrob.robustness.lines import LineOptions
from model_zoo.published import source
from shifts.bounds.files import read_text

SAID = "This folder is replaced when the leaderboard is written again. The files it may lose with that:"
MARK = "effrob-leaderboard"  # a file that tells our folder from a user's
SCRIPTS = (
    "theme", "data", "state", "rows", "place", "names", "chart", "table", "picked", "controls", "find", "main",
)  # fmt: skip
OURS = ("board.css", *(f"{name}.js" for name in SCRIPTS))


def write_site(gathered: Gathered, line: LineOptions, out: Path, axis_asked: bool = False) -> int:
    """Write the page into the folder `out`, which appears whole; returns the number of rows on it.

    axis_asked  the page opens on the line's own axis; else on the one that ranks most rows together
    A folder this function wrote before is replaced. Raises UsageProblem where `out` holds anything else, and where jinja2
    or plotly is missing.
    """
    _check_ours(out)
    chart_library = _plotly()
    templates = _templates()
    by_suite = analyses(gathered, line)
    with replaced_folder(out) as draft:
        _write(draft, out, gathered, by_suite, templates, chart_library, axis_asked)
        written = sorted(name for name, _ in _held(draft))
        (draft / MARK).write_text("\n".join([SAID, *written]) + "\n", encoding="utf-8")
        _check_ours(out)  # again: the page took seconds to make
    return sum(len(each.rows) for each in by_suite.values())


def _check_ours(out: Path) -> None:
    """Raises UsageProblem where `out` is a link, or holds anything that the mark in it does not list."""
    if out.is_symlink():
        raise UsageProblem(f"{out} is a link, and a page is written through none: name the folder itself with --out")
    if not out.exists():
        return
    mark = out / MARK
    held = list(_held(out)) if out.is_dir() else [(out.name, False)]
    if held and (mark.is_symlink() or not mark.is_file()):
        raise UsageProblem(f"{out} holds files that are not a leaderboard's: name an empty or a new folder with --out")
    if not held:
        return
    listed = set(read_text(mark).splitlines()[1:])
    known = listed or {*OURS, "plotly.min.js", "board.csv", "index.html"}  # none: of a version that listed nothing
    for name, is_link in held:
        of_old = not listed and name.startswith(("data/", "models/"))
        if name != MARK and (is_link or not (name in known or of_old)):
            raise UsageProblem(
                f"{out / name} is no file of the page and would be lost: move it away, or name another --out"
            )


def _held(folder: Path, below: str = "") -> Iterator[tuple[str, bool]]:
    """(path inside the folder, whether it is a link) of everything in it but folders themselves."""
    with os.scandir(folder / below) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _held(folder, f"{below}{entry.name}/")
            else:
                yield f"{below}{entry.name}", entry.is_symlink()


def _write(
    folder: Path,
    before: Path,
    gathered: Gathered,
    by_suite: Mapping[str, SuiteAnalyses],
    templates: Any,
    chart_library: Path,
    axis_asked: bool,
) -> None:
    """Write the page into `folder`, which will take the place of the one at `before`."""
    (folder / "models").mkdir()
    (folder / "data").mkdir()
    for name in OURS:
        (folder / name).write_bytes(resources.files("effrob.leaderboard").joinpath("page", name).read_bytes())
    shutil.copyfile(chart_library, folder / "plotly.min.js")
    models = dict.fromkeys(row.model for each in by_suite.values() for row in each.rows)
    pages = page_names(models)
    opens = {suite: (each.each[0] if axis_asked else each.opening).key for suite, each in by_suite.items()}
    (folder / "data" / "board.js").write_text(script("board", board_data(by_suite, pages, opens)), encoding="utf-8")
    for each in by_suite.values():
        for analysis in each.each:
            text = script_of("analysis", analysis_text(analysis, each.shifts))
            (folder / "data" / analysis_file(analysis.key)).write_text(text, encoding="utf-8")
    chosen = board([row for each in by_suite.values() for row in each.rows])
    (folder / "board.csv").write_text(csv_text(chosen), encoding="utf-8")
    context = {
        "suites": list(by_suite),
        "first": {suite: analysis_file(key) for suite, key in opens.items()},
    }
    index = templates.get_template("index.html").render(problems=gathered.problems, **context)
    (folder / "index.html").write_text(index, encoding="utf-8")
    template, models_folder, there = (
        templates.get_template("model.html"),
        folder / "models",
        (before / "models").is_dir(),
    )
    for model, rows in _by_model(by_suite).items():
        facts = _model_facts(model, rows, next(iter(by_suite)), chosen)
        page = template.render(**facts).encode()
        if not (there and _same_as(before / "models" / pages[model], page, models_folder / pages[model])):
            (models_folder / pages[model]).write_bytes(page)


def _same_as(old: Path, page: bytes, new: Path) -> bool:
    """Whether the old page's file holds this very page, and is now the new one's too.

    Two thousand files made and two thousand deleted cost a file system up to a second, when boards follow within a minute.
    """
    try:
        if old.read_bytes() == page:
            os.link(old, new, follow_symlinks=False)
            return True
    except OSError:  # it is not there, or the disk has no such links
        pass
    return False


def page_names(models: Iterable[str]) -> dict[str, str]:
    """Model -> file name: readable, and apart even where two names differ only in what a file name cannot hold."""
    return {model: f"{slug(model)}-{hashlib.sha256(model.encode()).hexdigest()[:8]}.html" for model in models}


def _by_model(by_suite: Mapping[str, SuiteAnalyses]) -> dict[str, list[tuple[SuiteAnalyses, int]]]:
    """Model -> the analyses of its suites, each with the places of its rows there."""
    grouped: dict[str, list[tuple[SuiteAnalyses, int]]] = {}
    for each in by_suite.values():
        for i, row in enumerate(each.rows):
            grouped.setdefault(row.model, []).append((each, i))
    return grouped


def _model_facts(model: str, places: Sequence[tuple[SuiteAnalyses, int]], suite: str, chosen: Board) -> dict[str, Any]:
    """What a model's page shows; `suite` is the one the board opens with, `chosen` the board by the chosen line."""
    analyses, i = places[0]
    first = analyses.rows[i]
    card = card_of(first)
    group = family(group_of(card), first.suite)
    link = urlencode({"model": model} if first.suite == suite else {"suite": first.suite, "model": model})
    rows = [_row_facts(*place, chosen) for place in places]
    return {"model": model, "card": card, "group": group, "rows": rows, "link": link}


def _row_facts(analyses: SuiteAnalyses, i: int, chosen: Board) -> SimpleNamespace:
    """Attributes, not keys: a template looks for an attribute first, and finds a key dearly."""
    row = analyses.rows[i]
    return SimpleNamespace(
        source=row.source,
        how=how(row).removesuffix(row.protocol) + f"protocol {row.protocol}",
        img_size=row.img_size,
        axis=row.axis,
        clean="-" if row.clean_full is None else percent(row.clean_full.value),
        clean_ci=_beside(None if row.clean_full is None else row.clean_full.clopper_pearson()),
        mean=joined(points(row.mean), interval(row.mean_ci95, signed=True)),
        mean_logit=logits(row.mean_logit),
        shifts=[_shift_facts(analyses, i, shift, chosen) for shift in row.cells],
        details=row.details,
        origin=source(row.source.removeprefix("published:")).title if row.origin == "published" else None,
    )


def _shift_facts(analyses: SuiteAnalyses, i: int, shift: str, chosen: Board) -> tuple[tuple[Any, ...], tuple[str, ...]]:
    """Words, and numbers as they are written, which holds nothing that a page must escape."""
    cell = analyses.rows[i].cells[shift]
    facts, at = cell.robustness, (i, analyses.shifts.index(shift))
    counts = dict(zip(VERDICTS, analyses.votes[at].tolist()))
    least, most = (float(each[at]) for each in analyses.ranges)
    verdict, q = facts["verdict"], chosen.discovery(cell).q
    words = (
        title(shift),
        cell.partial,
        verdict,
        verdict in ("above", "below") and chosen.discovery(cell).by_chance,
        cell.why_not or f"{cell.baseline}, {cell.axis} axis, {cell.scale}",
        ", ".join(facts["flags"]),
        cell.disputed,
    )
    numbers = (
        percent(cell.accuracy.value),
        _beside(cell.accuracy_ci95),
        f"{round(cell.accuracy.n):,}",
        "-" if cell.clean is None else percent(cell.clean.value),
        points(cell.effective_robustness),
        _beside(facts["effective_robustness_ci95"], signed=True),
        _beside(facts["effective_robustness_pi95"], signed=True),
        str(counts.get(verdict, 0)),
        str(sum(counts.values())),
        "" if q is None else f"{q:.2g}",
        "-" if math.isnan(least) else f"{points(least)} to {points(most)}",
    )
    return words, numbers


def _beside(ends: Sequence[float] | None, signed: bool = False) -> str:
    """An interval with the space that sets it off the number before it, or nothing."""
    return "" if ends is None else f" {interval(ends, signed)}"


def _plotly() -> Path:
    try:
        bundled = resources.files("plotly").joinpath("package_data", "plotly.min.js")
    except ModuleNotFoundError:
        raise UsageProblem("the page needs jinja2 and plotly: pip install 'effrob[site]'") from None
    path = Path(str(bundled))
    if not path.is_file():
        raise UsageProblem(f"the installed plotly lacks its script {path.name}: pip install --force-reinstall plotly")
    return path


def _templates() -> Any:
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ModuleNotFoundError:
        raise UsageProblem("the page needs jinja2 and plotly: pip install 'effrob[site]'") from None
    loader = PackageLoader("effrob.leaderboard", "page")
    made = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    made.filters["said"] = lambda value: "not stated" if value is None else value
    made.filters["many"] = lambda value: "not stated" if value is None else f"{value:,}"
    return made
