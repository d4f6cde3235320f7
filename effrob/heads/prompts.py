"""Prompt sets: the sentences a zero-shot head puts a class name into. Plain data, no torch."""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from effrob.errors import UsageProblem, suggest
from shifts.bounds.files import read_json

NAMES = ("openai", "simple", "name-only", "photo-only")


@dataclass(frozen=True)
class PromptSet:
    """A named list of templates with one `{}` each."""

    name: str
    templates: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.templates:
            raise UsageProblem(f"prompt set {self.name} is empty: give a JSON list of templates with one {{}} each")
        for template in self.templates:
            if not isinstance(template, str) or template.count("{}") != 1:
                raise UsageProblem(f"prompt set {self.name}: a template holds {{}} exactly once, found {template!r}")

    def fill(self, name: str) -> list[str]:
        """One prompt a template, with the class name put in as it is."""
        return [template.replace("{}", name) for template in self.templates]

    @property
    def digest(self) -> str:
        """SHA-256 of the templates; the name does not count."""
        return hashlib.sha256(json.dumps(self.templates).encode()).hexdigest()


@functools.cache
def _shipped() -> dict[str, tuple[str, ...]]:
    kept = json.loads((resources.files("effrob.heads") / "data" / "prompts.json").read_text(encoding="utf-8"))
    renditions = set(kept["renditions"])
    sets = {name: tuple(kept[name]) for name in ("openai", "simple", "name-only")}
    return {**sets, "photo-only": tuple(t for t in kept["openai"] if t not in renditions)}


def prompt_set(name_or_file: str) -> PromptSet:
    """A shipped set by name, or a JSON file holding a list of templates; the set's name is then the file's stem.

    Raises UsageProblem where there is no such set, or the file is not a list of templates.
    """
    if name_or_file in _shipped():
        return PromptSet(name_or_file, _shipped()[name_or_file])
    path = Path(name_or_file)
    if not path.is_file():
        raise UsageProblem(f"no prompt set and no file is called {name_or_file!r}{suggest(name_or_file, NAMES)}")
    try:
        templates = read_json(path)
    except (OSError, ValueError) as error:
        raise UsageProblem(f"{path} must hold a JSON list of templates with one {{}} each: {error}") from error
    if not isinstance(templates, list):
        raise UsageProblem(
            f"{path} must hold a JSON list of templates with one {{}} each, found {type(templates).__name__}"
        )
    return PromptSet(path.stem, tuple(templates))
