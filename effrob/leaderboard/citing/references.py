"""The works that sets, published tables, protocols and methods come from, as BibTeX, and which of them a result rests on."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from string import ascii_lowercase

from shifts import Suite, suite_of

METHOD = (
    "taori2020measuring",
    "fang2022data",
    "miller2021accuracy",
)  # the quantity, its use, and why the line is straight
INTERVALS = ("clopper1934", "zou2008")
SETS: Mapping[str, str] = {
    "imagenet": "russakovsky2015",
    "imagenet-real": "beyer2020",
    "imagenet-v2": "recht2019",
    "imagenet-v2-threshold-0.7": "recht2019",
    "imagenet-v2-top-images": "recht2019",
    "imagenet-r": "hendrycks2021many",
    "imagenet-sketch": "wang2019",
    "objectnet": "barbu2019",
    "imagenet-a": "hendrycks2021natural",
}
TABLES: Mapping[str, tuple[str, ...]] = {
    "testbed": ("taori2020measuring",),
    "openclip": ("openclip", "cherti2023"),
    "timm": ("timm",),
    "model_soups": ("wortsman2022soups",),
    "clip_benchmark": ("clipbenchmark", "cherti2023"),
    "clip_benchmark_scaling": ("clipbenchmark", "cherti2023"),
    "mobileclip": ("vasu2024", "faghri2025"),
    "systems": ("yu2022", "zhai2022", "radford2021"),
    "papers": (),  # a reference a row, told beside it
}
PROTOCOLS: Mapping[str, tuple[str, ...]] = {"clip-benchmark": ("clipbenchmark",), "testbed": ("taori2020measuring",)}


@dataclass(frozen=True)
class CitedWork:
    """One entry of a bibliography; `bibtex` is the entry word for word."""

    key: str
    bibtex: str

    def field(self, name: str) -> str | None:
        """A field as plain text, None where the entry has none."""
        match = re.search(rf"^  {name} = \{{(.*)\}},?$", self.bibtex, re.MULTILINE)
        return None if match is None else _plain(match[1])

    @property
    def short(self) -> str:
        """Author and year, as `Taori et al. 2020`; with a letter, as `2021a`, where others of the bibliography are of both."""
        return self.author_year + _letters().get(self.key, "")

    @property
    def author_year(self) -> str:
        """Author and year without a letter."""
        names = [name.partition(",")[0] for name in (self.field("author") or "").split(" and ")]
        who = names[0] if len(names) == 1 else f"{names[0]} and {names[1]}" if len(names) == 2 else f"{names[0]} et al."
        return f"{who} {self.field('year') or ''}".strip()

    @property
    def text(self) -> str:
        """The entry as a line of a reference list."""
        where = next((match for name in ("booktitle", "journal", "howpublished") if (match := self.field(name))), None)
        eprint = self.field("eprint")
        parts = [self.short, self.field("title"), where, self.field("note"), f"arXiv:{eprint}" if eprint else None]
        return " ".join(part if part.endswith((".", "?")) else f"{part}." for part in parts if part)


_ACCENTS = {r"{\'e}": "é", r"{\"a}": "ä", r"\_": "_"}


def _plain(text: str) -> str:
    for code, letter in _ACCENTS.items():
        text = text.replace(code, letter)
    return text.replace("{", "").replace("}", "")


@functools.cache
def bibliography() -> dict[str, CitedWork]:
    """Key -> entry."""
    text = resources.files("effrob.leaderboard.citing").joinpath("references.bib").read_text(encoding="utf-8")
    entries = re.findall(r"^@\w+\{([\w-]+),\n.*?^\}$", text, re.MULTILINE | re.DOTALL)
    bodies = re.findall(r"^@\w+\{[\w-]+,\n.*?^\}$", text, re.MULTILINE | re.DOTALL)
    return {key: CitedWork(key, body) for key, body in zip(entries, bodies, strict=True)}


@functools.cache
def _letters() -> dict[str, str]:
    """Key -> a, b, ... for works of the same authors and year, in the order of their titles without an article."""
    alike: dict[str, list[CitedWork]] = {}
    for work in bibliography().values():
        alike.setdefault(work.author_year, []).append(work)
    several = [sorted(works, key=_title) for works in alike.values() if len(works) > 1]
    return {work.key: letter for works in several for work, letter in zip(works, ascii_lowercase)}


def _title(work: CitedWork) -> str:
    return re.sub(r"^(the|an?) ", "", (work.field("title") or "").casefold())


def of_set(name: str) -> CitedWork | None:
    """The work a test set comes from; for a set of a suite of the user's own, what its file says, if it says anything."""
    if name in SETS:
        return bibliography()[SETS[name]]
    owner: Suite = suite_of(name)
    told = owner.sets[name].citation if name in owner.sets else ""
    key = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return CitedWork(key, f"@misc{{{key},\n  note = {{{told}}}\n}}") if told else None


def of_source(source: str) -> tuple[CitedWork, ...]:
    """The works a published source (`published:TABLE`) comes from; none for what was measured, imported or given."""
    names = [part.removeprefix("published:") for part in source.split("+") if part.startswith("published:")]
    return references(key for name in names for key in TABLES.get(name, ()))


def references(keys: Iterable[str]) -> tuple[CitedWork, ...]:
    """Entries, each once, in the order named."""
    return tuple(bibliography()[key] for key in dict.fromkeys(keys))
