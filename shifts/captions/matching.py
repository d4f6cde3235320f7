"""Labels out of captions: which classes a text names, by two rules, and what is done where it names several.

`substring` is the published one: a class's name as it is written, anywhere, case and all. `words` looks for any of the
class's WordNet lemmas as whole words in any case.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import pairwise
from typing import NamedTuple, Protocol

from shifts.classes import DATA, ClassTable
from shifts.errors import DataError

RULES = ("substring", "words")
SEVERAL: Mapping[str, str] = {
    "longest": "a name inside a longer one does not count; of what is left there must be one class",
    "one": "texts that name more than one class get no label, even where one name lies inside the other",
    "first": "the name that begins first, the longest where several begin there",
    "all": "a label for every class named: an image may stand in the list several times",
}
KEY = 4  # characters that a name is looked up by; names of ImageNet have 2 and more
_WORD = re.compile(r"[^\W_]+")
_JOINTS = frozenset(
    {" ", "-", "_"}
)  # what may stand between the words of a name, beside what it has itself: "wall-clock"


class Hit(NamedTuple):
    """A class named in a text, from `start` to `end`."""

    label: int
    start: int
    end: int


class Matcher(Protocol):
    """Finds every class a text names, overlapping names included."""

    def find(self, text: str) -> list[Hit]:
        """Hits in order of their start."""


class SubstringMatcher:
    """Case-sensitive substrings. Equal names of two classes are hits of both."""

    def __init__(self, names: Sequence[str]) -> None:
        if not all(names):
            raise DataError("a class has an empty name, which every text would hold; name every class")
        self._by_key: dict[str, list[tuple[str, int]]] = {}
        for label, name in enumerate(names):
            self._by_key.setdefault(name[:KEY], []).append((name, label))
        self._lengths = sorted({len(key) for key in self._by_key})

    def find(self, text: str) -> list[Hit]:
        """Hits in order of their start."""
        hits, table = [], self._by_key
        for length in self._lengths:
            for start in range(len(text) - length + 1):
                for name, label in table.get(text[start : start + length], ()):
                    if text.startswith(name, start):
                        hits.append(Hit(label, start, start + len(name)))
        return sorted(hits, key=lambda hit: (hit.start, hit.label))


class WordMatcher:
    """Whole words in any case: each class has several lemmas, the words of one joined by a space, hyphen or underscore."""

    def __init__(self, lemmas: Sequence[Sequence[str]]) -> None:
        self._by_first: dict[str, list[tuple[tuple[str, ...], tuple[str, ...], int]]] = {}
        for label, own in enumerate(lemmas):
            for words, joints in dict.fromkeys(_parted(_words(lemma), lemma) for lemma in own):
                if not words:
                    raise DataError(f"class {label} has a lemma without a word; give every class names of letters")
                self._by_first.setdefault(words[0], []).append((words, joints, label))

    def find(self, text: str) -> list[Hit]:
        """Hits in order of their start, a class once at each."""
        places = _words(text)
        hits: set[Hit] = set()
        for at, (word, start, _) in enumerate(places):
            for words, joints, label in self._by_first.get(word, ()):
                here = places[at : at + len(words)]
                if len(words) == 1:
                    hits.add(Hit(label, start, here[0][2]))
                    continue
                said, between = _parted(here, text)
                if said == words and all(j in _JOINTS or j == own for j, own in zip(between, joints, strict=True)):
                    hits.add(Hit(label, start, here[-1][2]))
        return sorted(hits, key=lambda hit: (hit.start, hit.label, hit.end))


def _words(text: str) -> list[tuple[str, int, int]]:
    """The words of a text without their case, and where each begins and ends."""
    return [(match[0].casefold(), match.start(), match.end()) for match in _WORD.finditer(text)]


def _parted(places: Sequence[tuple[str, int, int]], text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Words, and what stands between them; both kinds of apostrophe are one."""
    between = (text[a[2] : b[1]].replace("’", "'") for a, b in pairwise(places))
    return tuple(place[0] for place in places), tuple(between)


def matcher(rule: str, table: ClassTable) -> Matcher:
    """The matcher of a rule over a table's classes."""
    if rule == "substring":
        return SubstringMatcher(table.names)
    if rule == "words":
        return WordMatcher(lemmas(table))
    raise DataError(f"no rule is called {rule!r}; the rules are {' and '.join(RULES)}")


@cache
def _imagenet_lemmas() -> tuple[tuple[str, ...], ...]:
    lines = (DATA / "imagenet_lemmas.txt").read_text(encoding="utf-8").splitlines()
    return tuple(tuple(line.split(", ")) for line in lines)


def lemmas(table: ClassTable) -> tuple[tuple[str, ...], ...]:
    """Per class, the words for it: WordNet's lemmas for ImageNet, the names themselves for other tables."""
    return _imagenet_lemmas() if table.name == "imagenet" else tuple((name,) for name in table.names)


def labels(hits: Sequence[Hit], several: str) -> tuple[int, ...]:
    """The labels a text gets, ascending: none, one, or with `all` every class named."""
    if several not in SEVERAL:
        raise DataError(f"--several is one of {', '.join(SEVERAL)}; got {several!r}")
    if not hits:
        return ()
    if several == "longest":
        hits = [hit for hit in hits if not any(_inside(hit, other) for other in hits)]
    elif several == "first":
        start, end = min((hit.start, -hit.end) for hit in hits)
        hits = [hit for hit in hits if hit.start == start and hit.end == -end]
    named = tuple(sorted({hit.label for hit in hits}))
    return named if several == "all" or len(named) == 1 else ()


def _inside(hit: Hit, other: Hit) -> bool:
    return other.start <= hit.start and hit.end <= other.end and other.end - other.start > hit.end - hit.start
