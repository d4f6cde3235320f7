"""Which heads there are: name -> what makes one, plus entry points `effrob.heads`. Imports no torch until one is made."""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from effrob.errors import UsageProblem, near
from effrob.heads.prompts import PromptSet, prompt_set

if TYPE_CHECKING:
    from effrob.heads.head import Head

TABLE = {
    "native": "effrob.heads.native:Native",
    "zero-shot": "effrob.heads.zeroshot:ZeroShot",
}
_SHOTS = re.compile(r"few-shot-(\d+)")


@dataclass(frozen=True)
class HeadChoice:
    """A head as asked for: its name, its prompt set where it has one, and whether it learns from a training set."""

    name: str
    prompts: PromptSet | None = None

    @property
    def trains(self) -> bool:
        return self.name not in ("native", "zero-shot")

    @property
    def digest(self) -> str:
        """Covers the templates; a prompt set's name does not count."""
        return self.name if self.prompts is None else f"{self.name}:{self.prompts.digest}"

    def make(self, progress: bool = False) -> Head:
        """The head itself."""
        made = _resolve(self.name)
        head: Head = made(self.prompts, progress) if self.prompts is not None else made()
        return head


def names() -> list[str]:
    """Every head that can be asked for; `few-shot-K` takes a number for K."""
    return sorted({*TABLE, *(entry.name for entry in entry_points(group="effrob.heads"))})


def _resolve(name: str):  # type: ignore[no-untyped-def]
    target = TABLE.get(name)
    if target is not None:
        module, _, attribute = target.partition(":")
        return getattr(importlib.import_module(module), attribute)
    for entry in entry_points(group="effrob.heads"):
        if entry.name == name:
            return entry.load()
    raise UsageProblem(f"no head is called {name!r}{near(name, names())}")


def choose(asked: tuple[str, ...], prompts: tuple[str, ...], has_text: bool) -> list[HeadChoice]:
    """The heads to run for one model: those asked for, or zero-shot where it has a text tower, else its own.

    Several prompt sets give a zero-shot head each. Raises UsageProblem for a name nobody knows.
    """
    chosen: list[HeadChoice] = []
    for name in asked or (("zero-shot",) if has_text else ("native",)):
        if name not in names():
            raise UsageProblem(f"no head is called {name!r}{near(name, names())}")
        if name == "zero-shot":
            chosen += [HeadChoice(name, prompt_set(which)) for which in prompts]
        else:
            chosen.append(HeadChoice(name))
    return list(dict.fromkeys(chosen))
