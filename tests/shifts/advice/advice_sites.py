"""Every sentence in `shifts` that gives advice, found in its source: where it stands, and its words.

A sentence is a string expression in a function (text or f-string, joined as Python joins them) that is no docstring. It gives
advice where it tells its reader what to do: a clause begins with a verb in the imperative, it names a command or an option,
or it says what is wanted, or must be there, in place of what is. Decided by these rules alone; no list names a sentence.

A sentence that says what is wrong and no more (`it is nested without end`) gives none, and needs no test of this kind.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import shifts

ROOT = Path(shifts.__file__).parent
VERBS = (
    "add|ask|bring|build|call|choose|close|complete|convert|correct|count|crop|declare|draw|drop|fetch|fill|forget|free|get|"
    "give|install|join|keep|label|leave|let|link|list|make|map|match|mend|move|name|put|read|register|reinstall|remove|rename|"
    "repack|run|save|set|shrink|sort|start|take|try|unpack|update|use|wait|write"
)
_CLAUSE = re.compile(rf"(?:[;:.] |,? or |; .* and |, (?=run this))({VERBS})\b", re.IGNORECASE)
_COMMAND = re.compile(r"`(effrob|tar|unzip|\{\}) ?|(?<![\w-])--[a-z]|\bpip install\b|\beffrob captions\b")
_WANTED = re.compile(r"\b(is|are|was|were) wanted\b|\bmust (be|have|hold|say)\b")


class Site(NamedTuple):
    """A sentence: its file below `shifts`, the function it stands in, and its words with `{}` for what is filled in."""

    file: str
    function: str
    words: str

    def said_in(self, sentence: str) -> bool:
        """Whether a message holds this sentence."""
        pattern = ".*?".join(re.escape(part) for part in self.words.split("{}"))
        return re.search(pattern, sentence, re.DOTALL) is not None


def _words(node: ast.AST) -> str | None:
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return None


def gives_advice(text: str) -> bool:
    """Whether a sentence tells its reader what to do."""
    return len(text.split()) > 2 and any(rule.search(text) for rule in (_CLAUSE, _COMMAND, _WANTED))


def _texts(node: ast.AST, function: str) -> Iterator[tuple[str, str]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.ClassDef):
            yield from _texts(child, f"{function}.{child.name}".lstrip("."))
        elif isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
            continue  # a docstring
        elif (text := _words(child)) is not None:
            yield function, text
        else:
            yield from _texts(child, function)


@cache
def sites() -> tuple[Site, ...]:
    """Every sentence in `shifts` that gives advice. Words of module level are tables: the functions that use them say them."""
    return tuple(
        Site(file.relative_to(ROOT).as_posix(), function, text)
        for file in sorted(ROOT.rglob("*.py"))
        for function, text in _texts(ast.parse(file.read_text(encoding="utf-8")), "")
        if function and gives_advice(text)
    )


def site_of(key: str) -> Site:
    """The one sentence of a key, `FILE: some of its words`."""
    file, _, words = key.partition(": ")
    found = [site for site in sites() if site.file == file and words in site.words]
    found = [site for site in found if site.words == words] or found
    assert len(found) == 1, f"{key} is {len(found)} sentences that give advice"
    return found[0]
