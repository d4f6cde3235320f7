"""Which column of a classifier is which class, by WordNet id or name in any of its published forms.

The forms of ImageNet's names are those of timm (all lemmas, first lemma), torchvision and open_clip; a set's own ids and
names count too. A class that no column names, or two do, is an error and never a guess.
"""

from __future__ import annotations

import functools
import re
from collections import defaultdict
from collections.abc import Sequence

from model_zoo.errors import ModelError

Tier = dict[str, set[int]]

_WORDNET = re.compile(r"\bn\d{8}\b")
_NUMBERED = re.compile(r"^\s*\d{1,5}\s*[:.)=]\s*")  # 1:tench
_SPACES = re.compile(r"[\s_\-]+")


def columns_of(labels: Sequence[str], ids: Sequence[str], names: Sequence[str]) -> tuple[int, ...]:
    """(K,) columns: class k is column columns[k] of a classifier whose columns are called `labels`.

    ids, names  those of the K classes. Raises ModelError naming the first class and the first column that do not match.
    """
    tiers = _tiers(tuple(ids), tuple(names))
    candidates = [_candidates(label, tiers) for label in labels]
    taken: dict[int, int] = {}
    open_columns: dict[frozenset[int], list[int]] = defaultdict(list)
    for column, classes in enumerate(candidates):
        if len(classes) == 1:
            (k,) = classes
            if k in taken:
                raise ModelError(
                    f"its columns {taken[k]} ({labels[taken[k]]!r}) and {column} ({labels[column]!r}) both name the class "
                    f"{ids[k]} ({names[k]}): give every column a name of its own in id2label, or its WordNet id"
                )
            taken[k] = column
        elif classes:
            open_columns[frozenset(classes)].append(column)
    offsets = {column - k for k, column in taken.items()}  # one alone where the order is the set's, a background aside
    for shared, columns in open_columns.items():  # ImageNet has two cranes, two maillots, two missiles
        left = sorted(k for k in shared if k not in taken)
        if len(offsets) == 1 and all(column - max(offsets) in left for column in columns):
            taken |= {column - max(offsets): column for column in columns}
        elif len(columns) == len(left) and (len(left) == 1 or _alphabetical(labels)):
            taken |= dict(zip(left, sorted(columns), strict=True))
        elif len(columns) >= len(left):
            raise ModelError(
                f"its columns {', '.join(map(str, columns))} are called {labels[columns[0]]!r}, which names "
                f"{len(left)} classes of the set, and nothing says which is which: give their WordNet ids in id2label"
            )
    missing = [k for k in range(len(ids)) if k not in taken]
    if missing:
        k = missing[0]
        strange = [column for column, classes in enumerate(candidates) if not classes]
        first = f"; the first column of an unknown name is {strange[0]}, {labels[strange[0]]!r}" if strange else ""
        raise ModelError(
            f"its labels name {len(taken)} of the set's {len(ids)} classes, and not {ids[k]} ({names[k]}){first}: "
            "use --head linear-probe, or correct id2label"
        )
    return tuple(taken[k] for k in range(len(ids)))


def _alphabetical(labels: Sequence[str]) -> bool:
    """Whether labels are sorted by name, background aside: then equal names keep the order of their classes."""
    folded = [label.casefold() for label in labels if "background" not in label.casefold()]
    return folded == sorted(folded)


def _candidates(label: str, tiers: tuple[Tier, ...]) -> set[int]:
    """The classes a label may mean: by the most telling form that any class has."""
    wordnet = _WORDNET.search(label)
    forms = [wordnet.group()] if wordnet else []
    forms.append(_plain(label))
    for tier in tiers:
        for form in forms:
            if form in tier:
                return tier[form]
    return set()


@functools.cache
def _tiers(ids: tuple[str, ...], names: tuple[str, ...]) -> tuple[Tier, ...]:
    """Form -> classes: ids; the set's names; whole published names; first lemmas; any lemma."""
    by_id: Tier = defaultdict(set)
    own: Tier = defaultdict(set)
    whole: Tier = defaultdict(set)
    first: Tier = defaultdict(set)
    lemma: Tier = defaultdict(set)
    published = _published() if any(_WORDNET.fullmatch(each) for each in ids) else {}
    for k, (identifier, name) in enumerate(zip(ids, names, strict=True)):
        by_id[identifier].add(k)
        by_id[_plain(identifier)].add(k)
        own[_plain(name)].add(k)
        for form in published.get(identifier, ()):
            whole[_plain(form)].add(k)
        lemmas = [part for form in published.get(identifier, ())[:1] for part in form.split(", ")]
        for place, part in enumerate(lemmas):
            (first if place == 0 else lemma)[_plain(part)].add(k)
    for form, classes in first.items():  # a first lemma of one class and another's whole name are the same words
        whole[form] = whole[form] | classes
    # A name of the set that is also published for other classes is as ambiguous as the published one
    for form in own:
        if form in whole and len(own[form]) == 1:
            own[form] = own[form] | (whole[form] if len(whole[form]) > 1 else set())
    return tuple(map(dict, (by_id, own, whole, lemma)))


@functools.cache
def _published() -> dict[str, tuple[str, ...]]:
    """WordNet id -> names: timm's lemmas, torchvision's category, open_clip's class name."""
    from open_clip.zero_shot_metadata import IMAGENET_CLASSNAMES
    from timm.data import ImageNetInfo
    from torchvision.models._meta import _IMAGENET_CATEGORIES

    about = ImageNetInfo("imagenet-1k")
    synsets = about.label_names()
    described = about.label_descriptions()
    return {
        synset: (str(lemmas), str(category), str(prompt))
        for synset, lemmas, category, prompt in zip(
            synsets, described, _IMAGENET_CATEGORIES, IMAGENET_CLASSNAMES, strict=True
        )
    }


def _plain(text: str) -> str:
    """Lower case, single spaces, without quotes and a WordNet id before the name."""
    text = _WORDNET.sub(" ", text) if _WORDNET.search(text) and not _WORDNET.fullmatch(text.strip()) else text
    text = _NUMBERED.sub("", text)
    return _SPACES.sub(" ", text.casefold().replace("'", "").replace('"', "")).strip(" ,:;.")
