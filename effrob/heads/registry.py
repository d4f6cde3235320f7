"""Which heads there are: name -> what makes one, plus entry points `effrob.heads`. Imports no torch until one is made."""

from __future__ import annotations

import functools
import importlib
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

from effrob.errors import UsageProblem, suggest
from effrob.heads.prompts import PromptSet, prompt_set
from effrob.heads.shared import PREFIX, WITHOUT_TRAINING, ImportedProbe

if TYPE_CHECKING:
    from effrob.heads.classifier import Head

TABLE = {
    "native": "effrob.heads.native:Native",
    "zero-shot": "effrob.heads.zero_shot:ZeroShot",
    "linear-probe": "effrob.heads.probe:Probe",
    "few-shot": "effrob.heads.few_shot:FewShot",
    "ridge": "effrob.heads.ridge:RidgeHead",
    "knn": "effrob.heads.knn:Knn",
}
VERSION = 1  # of what the learning heads do: a change gives records a new key
_STRENGTH = re.compile(r"linear-probe@(?P<share>share)?(?P<C>\S+)")
PATH = "linear-probe@path"
# penalty / (rows x summed variance of the features), from strong to weak: what PATH stands for
RELATIVE_PENALTIES = ("1e-2", "1e-3", "1e-4", "1e-5", "1e-6", "1e-7")
_SHOTS = re.compile(r"few-shot-(?P<shots>[1-9]\d*)(@(?P<seed>\d+))?")


@dataclass(frozen=True)
class HeadChoice:
    """A head as asked for: its name, its prompt set where it has one, and whether it learns from a training set."""

    name: str
    prompts: PromptSet | None = None

    @property
    def trains(self) -> bool:
        return self.name not in WITHOUT_TRAINING and not self.name.startswith(PREFIX)

    @property
    def digest(self) -> str:
        """Covers the templates; a prompt set's name does not count."""
        if self.prompts is not None:
            return f"{self.name}:{self.prompts.digest}"
        if self.name.startswith(PREFIX):
            return ImportedProbe(self.name).digest
        return f"{self.name}:{VERSION}" if self.trains else self.name

    def make(self, progress: bool = False) -> Head:
        """The head itself."""
        if self.name.startswith(PREFIX):
            return ImportedProbe(self.name)
        factory, options = _resolve(self.name)
        head: Head
        if self.prompts is not None:
            head = factory(self.prompts, progress)
        elif self.name.startswith("linear-probe"):
            head = factory(progress=progress, **options)
        else:
            head = factory(**options)
        return head


@functools.cache  # looking through every installed package takes 30 ms, and a sweep asks for each cell
def _offered(find: Callable[..., Iterable[EntryPoint]]) -> tuple[EntryPoint, ...]:
    return tuple(find(group="effrob.heads"))


def names() -> list[str]:
    """Every head that can be asked for; K of `few-shot-K` is a number. Some take more after an @, as `linear-probe@C` does."""
    shipped = (f"{name}-K" if name == "few-shot" else name for name in TABLE)
    return sorted({*shipped, *(entry.name for entry in entry_points(group="effrob.heads"))})


def _resolve(name: str) -> tuple[Callable[..., Head], dict[str, Any]]:
    """What makes the head and with which options. Raises UsageProblem for a name nobody knows."""
    family, options = _parsed(name)
    target = TABLE.get(family)
    if target is not None:
        module, _, attribute = target.partition(":")
        return getattr(importlib.import_module(module), attribute), options
    for entry in _offered(entry_points):
        if entry.name == name:
            return entry.load(), {}
    raise UsageProblem(f"no head is called {name!r}{suggest(name, names())}")


def _parsed(name: str) -> tuple[str, dict[str, Any]]:
    """Family and options of a head's name: `linear-probe@0.1` is a linear-probe with C = 0.1. The family may be unknown."""
    if name == "few-shot":
        raise UsageProblem("a few-shot head says how many shots a class: few-shot-1, few-shot-4, few-shot-16, ...")
    shots = _SHOTS.fullmatch(name)
    if shots is not None:
        return "few-shot", {"shots": int(shots["shots"]), "seed": int(shots["seed"] or 0)}
    probe = _STRENGTH.fullmatch(name)
    if probe is None:
        return name, {}
    try:
        strength = float(probe["C"])
    except ValueError:
        strength = math.nan
    if not (math.isfinite(strength) and strength > 0):
        raise UsageProblem(
            "linear-probe@C takes a strength above 0, as in linear-probe@0.1, linear-probe@share1e-3 a part of rows x "
            f"variance, and linear-probe@path several of those: {name.partition('@')[2]!r} is none of them"
        )
    return "linear-probe", {"share" if probe["share"] else "strength": strength}


def _expanded(asked: tuple[str, ...]) -> list[str]:
    """The names with PATH written out, a head a strength."""
    expanded: list[str] = []
    for name in asked:
        expanded += [f"linear-probe@share{share}" for share in RELATIVE_PENALTIES] if name == PATH else [name]
    return expanded


def _prompt_sets(asked: tuple[str, ...]) -> list[PromptSet]:
    """The sets of these names and files. Raises UsageProblem where two of one name differ: rows are told apart by it."""
    by_name: dict[str, PromptSet] = {}
    for one in map(prompt_set, asked):
        if by_name.setdefault(one.name, one) != one:
            raise UsageProblem(f"two prompt sets are called {one.name}, and rows are told apart by that: rename a file")
    return list(by_name.values())


def choose(asked: tuple[str, ...], prompts: tuple[str, ...], has_text: bool) -> list[HeadChoice]:
    """The heads to run for one model: those asked for, or zero-shot where it has a text tower, else its own.

    Several prompt sets give a zero-shot head each. Raises UsageProblem for a name nobody knows.
    """
    chosen: list[HeadChoice] = []
    for name in _expanded(asked or (("zero-shot",) if has_text else ("native",))):
        if name.startswith(PREFIX):
            chosen.append(HeadChoice(ImportedProbe(name).name))
            continue
        family = _parsed(name)[0]
        if family not in TABLE and family not in names():
            raise UsageProblem(f"no head is called {name!r}{suggest(name, names())}")
        if name == "zero-shot":
            chosen += [HeadChoice(name, one) for one in _prompt_sets(prompts)]
        else:
            chosen.append(HeadChoice(name))
    return list(dict.fromkeys(chosen))
