"""ModelCard: what a model was trained on and how, from its name, its published table or its registration; never guessed.

Facts of training sets and the rules that read names are data (`data/cards`), each with its source. What no rule says is
None. Loads no library and no weights.
"""

from __future__ import annotations

import csv
import functools
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_zoo.published import PublishedAccuracy
from model_zoo.registration import Registration

DATA = Path(__file__).parent / "data" / "cards"
UNITS = {"b": 10**9, "m": 10**6}
SHARED = {
    "clip_benchmark": "openclip",
    "clip_benchmark_scaling": "openclip",
}  # tables that name models as open_clip does
CAPTIONS = "captions"


@dataclass(frozen=True)
class ModelCard:
    """None where it is not known.

    trained_on     training sets in order, in words
    images         training images of the largest of them
    samples_seen   images shown in training, repeats counted, where the name states it
    supervision    labels, captions, hashtags, pseudo-labels or none, in the order of training
    lineage        what a reader groups by: `labels`, `more labels`, `captions`, `captions, then labels`, or None
    robust         the model had a robustness intervention (augmentation, adversarial training, anti-aliasing)
    sources        where each fact is from
    """

    model: str
    trained_on: str | None = None
    images: int | None = None
    samples_seen: int | None = None
    supervision: str | None = None
    loss: str | None = None
    image_tower: str | None = None
    lineage: str | None = None
    robust: bool | None = None
    note: str | None = None
    sources: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {**vars(self), "sources": list(self.sources)}


@dataclass(frozen=True)
class TrainingSet:
    """A set that cards name; `by` is what teaches on it. images None where its source states no number."""

    title: str
    by: str
    source: str
    images: int | None = None


@functools.cache
def training_sets() -> dict[str, TrainingSet]:
    """Every training set by its short name."""
    declared = tomllib.loads((DATA / "datasets.toml").read_text(encoding="utf-8"))
    return {name: TrainingSet(**facts) for name, facts in declared.items()}


@functools.cache
def _rules() -> dict[str, list[tuple[re.Pattern[str], dict[str, Any]]]]:
    declared = tomllib.loads((DATA / "rules.toml").read_text(encoding="utf-8"))
    return {source: [(re.compile(rule["match"]), rule) for rule in rules] for source, rules in declared.items()}


def card_of_published(row: PublishedAccuracy) -> ModelCard:
    """The card of a published row: its table's rules, read on its name and its training column."""
    return card_of_row(row.source, row.model, row.training_data)


def card_of_row(source: str, model: str, training_data: str | None) -> ModelCard:
    """The same, from the three facts it needs."""
    return _card(model, SHARED.get(source, source), training_data, f"published table {source}")


def card_of_spec(spec: str, registration: Registration | None = None) -> ModelCard:
    """The card of `scheme:name@weights`, or of a registered model as its owner described it."""
    if registration is not None:
        return _registered(spec, registration)
    scheme, _, rest = spec.partition(":")
    if scheme == "pocket" and rest in _pocket():
        return _drawn(spec, _pocket()[rest])
    training = None
    if scheme == "timm":
        training = timm_training(rest.partition("@")[0])
        if "@" in rest:  # a file's weights are not the tag's
            return ModelCard(spec, image_tower=rest.partition(".")[0])
    return _card(spec, scheme, training, "the model's name")


@functools.cache
def _timm() -> dict[str, str | None]:
    from model_zoo.published import published

    return {row.model: row.training_data for row in published("timm")}


def timm_training(name: str) -> str | None:
    """The training column of timm's table for ARCH.TAG, or None where the table lacks the model."""
    return _timm().get(name)


@functools.cache
def _notable() -> dict[tuple[str, str], tuple[str, int]]:
    with (DATA / "notable.csv").open(newline="", encoding="utf-8") as file:
        rows = enumerate(csv.DictReader(file))
        return {(f"published:{row['source']}", row["model"]): (row["name"], place) for place, row in rows}


def notable(source: str, model: str) -> tuple[str, int] | None:
    """The name a picture writes beside a published model that readers look for, and its turn; None for the others."""
    return _notable().get((source, model))


def _card(model: str, source: str, training: str | None, named_by: str) -> ModelCard:
    name = model.removeprefix(f"{source}:")
    facts: dict[str, Any] = {}
    sources = [named_by]
    for pattern, rule in _rules().get(source, []):
        if "when" in rule and training not in rule["when"]:
            continue
        match = pattern.search(name)
        if match is None:
            continue
        for key, value in (*rule.items(), *match.groupdict().items()):
            if value is not None:
                facts.setdefault(key, value)
        if rule.get("stop"):
            break
    sets = [training_sets()[each] for each in facts.get("data", [])]
    taught = facts.get("taught") or [each.by for each in sets]
    sources += [f"{each.title}: {each.source}" for each in dict.fromkeys(sets)]
    sizes = [each.images for each in sets]
    return ModelCard(
        model=model,
        trained_on=_in_order([each.title for each in sets]),
        images=max(size for size in sizes if size is not None) if sizes and None not in sizes else None,
        samples_seen=_number(facts.get("samples")),
        supervision=_in_order(taught),
        loss=facts.get("loss"),
        image_tower=facts.get("tower"),
        lineage=_lineage(taught, training),
        robust=None if training is None else training == "robust_intv",
        note=facts.get("note"),
        sources=tuple(sources),
    )


@functools.cache
def _pocket() -> dict[str, dict[str, Any]]:
    """The shipped pocket models as their recipe describes them."""
    models: dict[str, dict[str, Any]] = json.loads((DATA.parent / "pocket" / "models.json").read_text("utf-8"))[
        "models"
    ]
    return models


def _drawn(spec: str, facts: Mapping[str, Any]) -> ModelCard:
    """The card of a shipped pocket model; a classifier sees `per_class` pictures of each of the 20 classes an epoch."""
    contrastive = facts["kind"] == "contrastive"
    images = int(facts["images"]) if contrastive else 20 * int(facts["training"]["per_class"])
    return ModelCard(
        model=spec,
        trained_on="pocket-web" if contrastive else "pocket-train",
        images=images,
        samples_seen=images * int(facts["training"]["epochs"]),
        supervision=CAPTIONS if contrastive else "labels",
        loss="contrastive" if contrastive else "cross-entropy",
        image_tower=facts["family"],
        lineage=CAPTIONS if contrastive else "labels",
        robust=False,
        note="drawn pictures of twenty things: says nothing of photographs",
        sources=("model_zoo/data/pocket/models.json", "recipes/pocket.py"),
    )


def _in_order(words: list[str]) -> str | None:
    """`a, then b`; a word that follows itself once; None for none."""
    changes = [word for i, word in enumerate(words) if i == 0 or words[i - 1] != word]
    return ", then ".join(changes) or None


def _number(text: str | None) -> int | None:
    """`34b` as 34,000,000,000."""
    return None if text is None else int(text[:-1]) * UNITS[text[-1].lower()]


def _lineage(taught: list[str], training: str | None) -> str | None:
    if CAPTIONS in taught:
        return CAPTIONS if taught[-1] == CAPTIONS else f"{CAPTIONS}, then labels"
    if training == "more_data":
        return "more labels" if taught else None
    return "labels" if taught else None


def _registered(spec: str, record: Registration) -> ModelCard:
    lineage = {"captions": CAPTIONS, "labels": "labels"}.get(record.supervision or "")
    facts: Mapping[str, Any] = {
        "trained_on": record.trained_on,
        "images": record.images,
        "supervision": record.supervision,
        "loss": record.loss,
        "image_tower": record.arch or record.like,
    }
    stated = any(value is not None for value in facts.values())
    return ModelCard(model=spec, lineage=lineage, sources=("as registered",) if stated else (), **facts)
