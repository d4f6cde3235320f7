"""Reader: a study file, checked key by key and name by name; whatever is wrong is said in a sentence with its line.

Only the form is checked here: models, tables and baselines are looked up when the study is run.
"""

from __future__ import annotations

import math
import re
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from importlib.resources import files
from pathlib import Path
from typing import Any, NoReturn

from effrob.errors import UsageProblem, suggest
from effrob.results.model_result import AXES
from effrob.studies.study import Arm, Contrast, Study, TomlLocation
from shifts.bounds.files import read_bytes

SHIPPED = Path(str(files("effrob.studies"))) / "data"
CAUSES = ("i", "ii", "iii", "iv", "v")
FEWEST = {"pair": 2, "trend": 3, "line": 1, "mean": 0}  # arms a contrast of each kind has at least
DEEP = 20  # brackets inside brackets; a study has three
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_STRINGS = re.compile(r'"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'|#[^\n]*', re.DOTALL)
NOT_WRITTEN = {
    Study: {"arms", "contrasts", "location"},
    Arm: {"location"},
    Contrast: set[str](),
}  # fields that are no keys


def shipped() -> dict[str, Path]:
    """Name -> file of every study that ships, the causes in their order first."""
    content = {path.stem: path for path in sorted(SHIPPED.glob("*.toml"))}
    causes = {name: read(path).cause for name, path in content.items()}
    order = {name: CAUSES.index(cause) if cause in CAUSES else len(CAUSES) for name, cause in causes.items()}
    return dict(sorted(content.items(), key=lambda item: order[item[0]]))


def find(name: str) -> Study:
    """A shipped study by name, or one in a file. Raises UsageProblem with near names, or with the line that is wrong."""
    return read(path_of(name))


def path_of(name: str) -> Path:
    """The file of a shipped study, or the file named. Raises UsageProblem where there is neither."""
    known = {path.stem: path for path in SHIPPED.glob("*.toml")}
    if (path := known.get(name, Path(name))).is_file():
        return path
    if path.suffix == ".toml" or len(path.parts) > 1:
        raise UsageProblem(f"there is no study file {name}: give the path of a TOML file, or see `effrob study list`")
    raise UsageProblem(f"no study is named {name!r}{suggest(name, known)}; a study of your own is a file, NAME.toml")


def read(path: Path) -> Study:
    """Read and check a study file. Raises UsageProblem with the line that is wrong."""
    try:
        raw = read_bytes(path)
    except OSError as error:
        raise UsageProblem(f"{path} cannot be read ({error.strerror}): give the path of a TOML file") from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UsageProblem(f"{path.name} line {line} is not UTF-8: save the study file in UTF-8") from None
    return parse(text, path.stem, path.name)


def parse(text: str, name: str, where: str) -> Study:
    """A study from its text; `where` names it in what is raised."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        at = re.search(r"line (\d+)", str(error))
        line = at[1] if at else len(_lines(text.removesuffix("\n")))
        said = re.sub(r"\s*\(at [^)]*\)$", "", str(error))
        raise UsageProblem(f"{where} line {line} is not TOML: {said}; mend that line") from None
    except (ValueError, RecursionError) as error:  # what Python's integers and stack refuse
        deep = isinstance(error, RecursionError)
        said = "is nested without end" if deep else "holds a number of thousands of digits"
        raise UsageProblem(f"{where} line {_line_of(text, deep)} {said}; mend that line") from None
    return _Reader(text, where).study(content, name)


@dataclass(frozen=True)
class _Reader:
    text: str
    where: str

    def location(self, table: str = "", index: int = 0) -> TomlLocation:
        line, keys = lines_of(self.text, table, index)
        return TomlLocation(self.where, line, keys)

    def wrong(self, said: str, table: str = "", index: int = 0, key: str = "") -> NoReturn:
        location = self.location(table, index)
        raise UsageProblem(f"{self.where} line {location.keys.get(key, location.line)}: {said}")

    def study(self, content: dict[str, Any], name: str) -> Study:
        for key in ("arms", "contrasts"):
            if key in content:
                self.wrong(f"write a [[{key[:-1]}]] table for each of the {key}", key=key)
        arms = tuple(self._arm(table, i) for i, table in enumerate(self._tables(content, "arm")))
        names = [arm.name for arm in arms]
        for i, each in enumerate(names):
            if each in names[:i]:
                self.wrong(f"a second arm is named {each!r}; give each arm a name of its own", "arm", i, "name")
        contrasts = tuple(self._contrast(table, i, arms) for i, table in enumerate(self._tables(content, "contrast")))
        titles = [contrast.name for contrast in contrasts]
        for i, each in enumerate(titles):
            if each in titles[:i]:
                self.wrong(f"a second contrast is named {each!r}; give each a name of its own", "contrast", i, "name")
        for i, contrast in enumerate(contrasts):
            self._mean(contrast, contrasts, i)
        known = self._checked(Study, {"name": name, **content}, "", 0)
        study = Study(**known, arms=arms, contrasts=contrasts, location=self.location())
        self._check(study, names, titles)
        return study

    def _check(self, study: Study, arms: list[str], contrasts: list[str]) -> None:
        if study.axis not in AXES:
            self.wrong(f"no axis is named {study.axis!r}{suggest(study.axis, AXES)}", key="axis")
        if not study.shifts:
            self.wrong("a study needs at least one shift", key="shifts")
        if twice := [shift for i, shift in enumerate(study.shifts) if shift in study.shifts[:i]]:
            self.wrong(f"a shift stands in a study once, and {twice[0]!r} is there again", key="shifts")
        if not 0 < study.margin_share < 1:
            self.wrong(f"margin_share is a share between 0 and 1; got {study.margin_share:g}", key="margin_share")
        if study.margin_points is not None and not 0 < study.margin_points < 1:
            said = f"margin_points is a fraction between 0 and 1 (0.01 is one point); got {study.margin_points:g}"
            self.wrong(said, key="margin_points")
        if study.margin_arm is not None and study.margin_arm not in arms:
            self.wrong(
                f"margin_arm names no arm: {study.margin_arm!r}{suggest(study.margin_arm, arms)}", key="margin_arm"
            )
        if contrasts and study.headline is None:
            self.wrong("a study with contrasts names one of them as its `headline`", key="headline")
        if study.headline is not None and study.headline not in contrasts:
            said = f"headline names no contrast: {study.headline!r}{suggest(study.headline, contrasts)}"
            self.wrong(said, key="headline")

    def _tables(self, content: dict[str, Any], key: str) -> list[dict[str, Any]]:
        tables = content.pop(key, [])
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            self.wrong(f"{key} is a list of tables: write [[{key}]] before each", key=key)
        return tables

    def _arm(self, table: dict[str, Any], index: int) -> Arm:
        if ("model" in table) == ("models" in table):
            self.wrong("an arm has either `model`, one name, or `models`, its replicates", "arm", index)
        if "model" in table:
            model = table.pop("model")
            if plain := _misfit("str", model):
                self.wrong(f"model must be {plain}; got {_shown(model)}", "arm", index, "model")
            table["models"] = [model]
        made = Arm(**self._checked(Arm, table, "arm", index), location=self.location("arm", index))
        if not made.models or len(set(made.models)) < len(made.models):
            self.wrong(f"the models of arm {made.name!r} are one or more names, each once", "arm", index, "models")
        if made.amount is not None and not (made.amount > 0 and math.isfinite(made.amount)):
            self.wrong(f"amount is a positive number; got {made.amount}", "arm", index, "amount")
        if made.head is not None and made.source not in ("measured", "imported"):
            said = f"head chooses among your own records, and arm {made.name!r} is a row of {made.source}: leave it out"
            self.wrong(said, "arm", index, "head")
        return made

    def _contrast(self, table: dict[str, Any], index: int, arms: tuple[Arm, ...]) -> Contrast:
        made = Contrast(**self._checked(Contrast, table, "contrast", index))
        if made.kind not in FEWEST:
            self.wrong(f"a contrast's kind is {', '.join(FEWEST)}; got {made.kind!r}", "contrast", index, "kind")
        names = [arm.name for arm in arms]
        for name in made.arms:
            if name not in names:
                self.wrong(f"no arm is named {name!r}{suggest(name, names)}", "contrast", index, "arms")
        if len(set(made.arms)) < len(made.arms):
            self.wrong("an arm stands in a contrast once", "contrast", index, "arms")
        wanted = FEWEST[made.kind]
        if len(made.arms) < wanted or (made.kind == "pair" and len(made.arms) != wanted):
            count = f"{'' if made.kind == 'pair' else 'at least '}{wanted}"
            self.wrong(f"a {made.kind} has {count} arms; got {len(made.arms)}", "contrast", index, "arms")
        chosen = [arm for arm in arms if arm.name in made.arms]
        amounts = [None if arm.amount is None else math.log2(arm.amount) for arm in chosen]
        if made.kind == "trend" and (None in amounts or len(set(amounts)) < 2):
            self.wrong("each arm of a trend has an `amount`, and they differ", "contrast", index, "arms")
        stands: dict[tuple[str, str, str | None], str] = {}
        for arm in chosen:
            for model in arm.models:
                other = stands.setdefault((model, arm.source, arm.head), arm.name)
                if other != arm.name:
                    said = f"{model} is in both {other!r} and {arm.name!r}: arms of a contrast share no model"
                    self.wrong(said, "contrast", index, "arms")
        return made

    def _mean(self, made: Contrast, contrasts: tuple[Contrast, ...], index: int) -> None:
        if made.kind != "mean":
            return None if not made.of else self.wrong("`of` names the pairs of a mean", "contrast", index, "of")
        pairs = {each.name: each.arms for each in contrasts if each.kind == "pair"}
        if unknown := [name for name in made.of if name not in pairs]:
            self.wrong(f"no pair is named {unknown[0]!r}{suggest(unknown[0], pairs)}", "contrast", index, "of")
        arms = [arm for name in made.of for arm in pairs[name]]
        if made.arms or len(made.of) < 2 or len(set(arms)) < len(arms):
            self.wrong("a mean is `of` two or more pairs that share no arm, and has no `arms`", "contrast", index, "of")
        return None

    def _checked(self, kind: Any, table: Mapping[str, Any], name: str, index: int) -> dict[str, Any]:
        """A dataclass's arguments from a table: no unknown key, none missing, each of its type."""
        known = {each.name: each for each in fields(kind) if each.name not in NOT_WRITTEN[kind]}
        title = f"[[{name}]]" if name else "a study"
        for key, value in table.items():
            if key not in known:
                self.wrong(f"{title} has no key {key!r}{suggest(key, known)}", name, index, key)
            plain = _misfit(str(known[key].type), value)
            if plain:
                self.wrong(f"{key} must be {plain}; got {_shown(value)}", name, index, key)
            if key == "name" and "\n" in value:
                self.wrong(f"a name is one line of text; got {_shown(value)}", name, index, key)
        for key, each in known.items():
            if key not in table and each.default is MISSING:
                self.wrong(f"{title} lacks `{key}`", name, index)
        return {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}


def _misfit(annotation: str, value: Any) -> str | None:
    """What a field of this annotation wants, in words; None where the value is that."""

    def text(each: Any) -> bool:
        return isinstance(each, str) and bool(each.strip()) and not _CONTROL.search(each)

    if annotation.startswith("tuple"):
        return None if isinstance(value, list) and all(map(text, value)) else "a list of texts in quotes"
    if annotation.startswith("float"):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        fits = number and (isinstance(value, float) or abs(value) <= sys.float_info.max)
        return None if fits else "a number below 1e308" if number else "a number"
    if isinstance(value, str) and _CONTROL.search(value):
        return "text without control characters"
    return None if text(value) else "text in quotes"


def _shown(value: Any) -> str:
    """A value in a sentence, cut where it is long; an integer of thousands of digits has no decimal form in Python."""
    if isinstance(value, int) and abs(value) > sys.float_info.max:
        return "a larger one"
    try:
        said = repr(value)
    except (ValueError, RecursionError):
        return f"a {type(value).__name__}"
    return said if len(said) <= 80 else f"{said[:77]}..."


def _lines(text: str) -> list[str]:
    """TOML's lines; str.splitlines would break at characters that TOML does not break at."""
    return text.replace("\r\n", "\n").split("\n")


def _line_of(text: str, deep: bool) -> int:
    """The line that is nested deeper than any study, or that holds the longest number."""
    lines = _lines(_STRINGS.sub(lambda match: "\n" * match[0].count("\n"), text))
    if not deep:
        longest = [max((len(run) for run in re.findall(r"[\d_]+", line)), default=0) for line in lines]
        return 1 + longest.index(max(longest))
    depth = 0
    for number, line in enumerate(lines, 1):
        for sign in line:
            depth += (sign in "[{") - (sign in "]}")
            if depth > DEEP:
                return number
    return 1


def _emptied(match: re.Match[str]) -> str:
    """A text over several lines, or a comment, without what looks like TOML in it; its line breaks stay."""
    return match[0] if match[0][0] in "\"'" and match[0][:3] not in ('"""', "'''") else "\n" * match[0].count("\n")


def lines_of(text: str, table: str = "", index: int = 0) -> tuple[int, dict[str, int]]:
    """The line, from 1, on which the `index`-th [[table]] opens (1 for the top level), and the line of each of its keys.

    At the top level the other tables' headings count as keys too. Read from the text, because tomllib keeps no lines.
    """
    keys: dict[str, int] = {}
    start, seen, inside = 1, -1, not table
    for number, line in enumerate(_lines(_STRINGS.sub(_emptied, text)), 1):
        heading = re.match(r"\s*\[+\s*([^\]\s]+)\s*\]+\s*$", line)
        if heading:
            title = heading[1].strip("\"'")
            if not table:
                inside = False
                keys.setdefault(title, number)
            else:
                seen += title == table
                inside = title == table and seen == index
                start = number if inside else start
        elif inside and (match := re.match(r"\s*(\"[^\"]+\"|'[^']+'|[\w-]+)\s*(\.[^=]*)?=", line)):
            keys.setdefault(match[1].strip("\"'"), number)
    if table and seen < index:  # written in line, `arm = [{...}]`
        start = lines_of(text)[1].get(table, 1)
    return start, keys
